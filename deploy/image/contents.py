"""What is in each image."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from archive import Entry, Image, Layer

LIBRARIES = "usr/lib/x86_64-linux-gnu"


class Missing(Exception):
    """Something to put into an image is not there."""


def uplink(binaries: Path, agent: Path, envoy: Path | None) -> Image:
    wireguard = shutil.which("wireguard-go")
    if wireguard is None:
        raise Missing("wireguard-go is missing: run Tests/Lab/setup")
    return Image(
        layers=[
            skeleton("root", 0) | libraries([binaries / "uplink", Path(wireguard)])
            | {"usr/bin/wireguard-go": Entry(program(Path(wireguard)), mode=0o755), **package_records([wireguard])}
            # Where the pod's volumes are mounted.
            | {path: folder() for path in ("etc/tidegate/config", "etc/tidegate/keys", "run/wireguard")},
            {"usr/bin/uplink": Entry(program(binaries / "uplink"), mode=0o755)},
        ],
        entrypoint=["/usr/bin/uplink"], user="0:0", description="Tidegate's uplink: dials the relay and leads its traffic to the targets")


def controller(binaries: Path, agent: Path, envoy: Path | None) -> Image:
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    bundle = {f"opt/tidegate/{name}": Entry(read(agent / name)) for name in ("edge-agent-x86_64.tar.gz", "edge-agent-x86_64.build")}
    return Image(
        layers=[
            skeleton("tidegate", 65532) | libraries([binaries / "tidegate"])
            | {str(certificates)[1:]: Entry(read(certificates)), **copyright_of("ca-certificates")},
            # Pushed to each VPS, unless --envoy-source names another.
            *([{"opt/tidegate/envoy": Entry(read(envoy))}] if envoy else []),
            bundle | {"usr/bin/tidegate": Entry(program(binaries / "tidegate"), mode=0o755)},
        ],
        entrypoint=["/usr/bin/tidegate"], arguments=["controller"], user="65532:65532",
        description="Tidegate's controller")


IMAGES: dict[str, Callable[[Path, Path, Path | None], Image]] = {"uplink": uplink, "controller": controller}


def skeleton(user: str, uid: int) -> Layer:
    """What every Linux program takes for granted."""
    users = {"root": 0, "nobody": 65534, user: uid}
    return {
        **{path: folder() for path in ("dev", "proc", "run", "sys", "usr/bin", "usr/lib64", "var")},
        "tmp": folder(0o1777),
        "bin": Entry(link="usr/bin"), "lib": Entry(link="usr/lib"), "lib64": Entry(link="usr/lib64"), "var/run": Entry(link="/run"),
        "etc/passwd": text("".join(f"{name}:x:{number}:{number}:{name}:/:/sbin/nologin\n" for name, number in users.items())),
        "etc/group": text("".join(f"{name}:x:{number}:\n" for name, number in users.items())),
        "etc/nsswitch.conf": text("passwd: files\ngroup: files\nhosts: files dns\n"),
        # By these two, scanners know whose libraries they look at.
        "usr/lib/os-release": Entry(read(Path("/usr/lib/os-release"))), "etc/os-release": Entry(link="../usr/lib/os-release"),
    }


def libraries(programs: list[Path]) -> Layer:
    """The shared libraries of the programs, and the loader, where the loader looks for them."""
    layer: Layer = {}
    found: list[str] = []
    for path in programs:
        for line in run("ldd", str(require(path))).splitlines():
            words = line.split()
            if "not" in words:
                raise Missing(f"{path} is linked with {words[0]}, which is not on this machine")
            file = next((word for word in words if word.startswith("/")), None)
            if file is None:  # linux-vdso: the kernel's own
                continue
            place = f"usr/lib64/{Path(file).name}" if "=>" not in words else f"{LIBRARIES}/{words[0]}"
            layer[place] = Entry(read(Path(file)), mode=0o755)
            found.append(file)
    return layer | package_records(found)


def package_records(files: list[str]) -> Layer:
    """The licences of the Debian packages that the files are of, and their records for vulnerability scanners."""
    # Packages name files as they were before /lib became a link.
    paths = {path for file in files for real in (file, str(Path(file).resolve())) for path in (real, real.removeprefix("/usr"), f"/usr{real}")}
    # It fails where one of them is unknown, which most are.
    found = subprocess.run(["dpkg-query", "--search", *sorted(paths)], capture_output=True, text=True, check=False).stdout
    layer: Layer = {}
    for line in found.splitlines():
        layer |= copyright_of(line.split(": ")[0].split(",")[0])
    return layer


def copyright_of(package: str) -> Layer:
    name = package.split(":")[0]
    return {
        f"usr/share/doc/{name}/copyright": Entry(read(Path(f"/usr/share/doc/{name}/copyright"))),
        f"var/lib/dpkg/status.d/{name}": text(run("dpkg-query", "--status", package)),
    }


def program(path: Path) -> bytes:
    """Without symbols."""
    with tempfile.TemporaryDirectory() as scratch:
        stripped = Path(scratch) / path.name
        run("strip", "--strip-all", "-o", str(stripped), str(require(path).resolve()))
        return stripped.read_bytes()


def folder(mode: int = 0o755) -> Entry:
    return Entry(mode=mode, is_folder=True)


def text(content: str) -> Entry:
    return Entry(content.encode())


def require(path: Path) -> Path:
    if not path.is_file():
        raise Missing(f"{path} is missing: run `make build`")
    return path


def read(path: Path) -> bytes:
    return require(path).read_bytes()


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Missing(f"{' '.join(command)}: {(done.stdout + done.stderr).strip()}")
    return done.stdout
