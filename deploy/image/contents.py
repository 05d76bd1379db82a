"""What is in each image."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from archive import Entry, Image, Layer

LIBRARIES = "usr/lib/x86_64-linux-gnu"
# What deploy/agent/bundle made, for the VPSes.
PUSHED = ("edge-agent-x86_64.tar.gz", "edge-agent-x86_64.build", "edge-link-x86_64")
# The Debian whose libraries go into the images: this machine's, or a tree that deploy/image/debian made.
root = Path("/")


class Missing(Exception):
    """Something to put into an image is not there."""


def uplink(binaries: Path, agent: Path, envoy: Path | None) -> Image:
    wireguard = shipped_wireguard()
    return Image(
        layers=[
            skeleton("root", 0) | libraries([binaries / "uplink", wireguard])
            | {"usr/bin/wireguard-go": Entry(program(wireguard), mode=0o755), **records_of_shipped(wireguard)}
            # For links by a WebSocket through a web server's TLS.
            | authorities()
            # Where the pod's volumes are mounted.
            | {path: folder() for path in ("etc/tidegate/config", "etc/tidegate/keys", "run/wireguard")},
            {"usr/bin/uplink": Entry(program(binaries / "uplink"), mode=0o755)},
        ],
        entrypoint=["/usr/bin/uplink"], user="0:0", description="Tidegate's uplink: dials the relay and leads its traffic to the targets")


def controller(binaries: Path, agent: Path, envoy: Path | None) -> Image:
    bundle = {f"opt/tidegate/{name}": Entry(read(agent / name)) for name in PUSHED}
    return Image(
        layers=[
            skeleton("tidegate", 65532) | libraries([binaries / "tidegate"])
            | authorities(),
            # Pushed to each VPS, unless --envoy-source names another.
            *([{"opt/tidegate/envoy": Entry(read(envoy))}] if envoy else []),
            # In the bundle is a wireguard-go.
            bundle | {"usr/bin/tidegate": Entry(program(binaries / "tidegate"), mode=0o755), **records_of_shipped(shipped_wireguard())},
        ],
        entrypoint=["/usr/bin/tidegate"], arguments=["controller"], user="65532:65532",
        description="Tidegate's controller")


def authorities() -> Layer:
    """Whose certificates are believed."""
    return {"etc/ssl/certs/ca-certificates.crt": Entry(read(root / "etc/ssl/certs/ca-certificates.crt")), **copyright_of("ca-certificates")}


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
        "usr/lib/os-release": Entry(read(root / "usr/lib/os-release")), "etc/os-release": Entry(link="../usr/lib/os-release"),
    }


def libraries(programs: list[Path]) -> Layer:
    """The shared libraries of the programs, and the loader, where the loader looks for them."""
    layer: Layer = {}
    found: list[str] = []
    for path in programs:
        for line in linked(require(path)).splitlines():
            words = line.split()
            if "not" in words:
                raise Missing(f"{path} is linked with {words[0]}, which is not in the Debian of {root}")
            file = next((word for word in words if word.startswith("/")), None)
            if file is None:  # linux-vdso: the kernel's own
                continue
            place = f"usr/lib64/{Path(file).name}" if "=>" not in words else f"{LIBRARIES}/{words[0]}"
            layer[place] = Entry(read(root / file[1:]), mode=0o755)
            found.append(file)
    return layer | package_records(found)


def linked(path: Path) -> str:
    """What ldd says of the program under `root`."""
    if root == Path("/"):
        return run("ldd", str(path))
    with tempfile.NamedTemporaryFile(dir=root / "tmp") as copy:
        shutil.copy(path, copy.name)
        os.chmod(copy.name, 0o755)
        return run("/usr/sbin/chroot", str(root), "ldd", f"/tmp/{Path(copy.name).name}")


def package_records(files: list[str]) -> Layer:
    """The licences of the Debian packages that the files are of, and their records for vulnerability scanners."""
    # Packages name files as they were before /lib became a link.
    paths = {path for file in files for real in (file, resolved(file)) for path in (real, real.removeprefix("/usr"), f"/usr{real}")}
    # It fails where one of them is unknown, which most are.
    found = subprocess.run([*dpkg_query(), "--search", *sorted(paths)], capture_output=True, text=True, check=False).stdout
    layer: Layer = {}
    for line in found.splitlines():
        # Debian 13 tells of files that moved to /usr in words of their own.
        if line.startswith("diversion by "):
            continue
        layer |= copyright_of(line.split(": ")[0].split(",")[0])
    return layer


def shipped_wireguard() -> Path:
    return Path(run(str(Path(__file__).resolve().parent.parent / "agent/wireguard-go")).strip())


def records_of_shipped(program: Path) -> Layer:
    """As `package_records`; a program that was fetched from another release of Debian has its package's beside it."""
    if not (program.parent / "status").exists():
        return package_records([str(program)])
    return {
        "usr/share/doc/wireguard-go/copyright": Entry(read(program.parent / "copyright")),
        "var/lib/dpkg/status.d/wireguard-go": Entry(read(program.parent / "status")),
    }


def dpkg_query() -> list[str]:
    return ["dpkg-query", f"--admindir={root / 'var/lib/dpkg'}"]


def resolved(file: str) -> str:
    """The file that a link of a library means, as `root` has it."""
    real = (root / file[1:]).resolve()
    return f"/{real.relative_to(root.resolve())}"


def copyright_of(package: str) -> Layer:
    name = package.split(":")[0]
    return {
        f"usr/share/doc/{name}/copyright": Entry(read(root / f"usr/share/doc/{name}/copyright")),
        f"var/lib/dpkg/status.d/{name}": text(run(*dpkg_query(), "--status", package)),
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
