"""What a container's image name stands for: a folder of files, and how it is started."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from lab import paths, tree
from lab.commands import run
from product.programs import libraries, programs

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Image:
    """`root` is read by any number of containers and written by none."""

    root: Path
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    working_folder: str = "/"
    user: str = "0"


def find(name: str, folder: Path) -> Image | None:
    """The image of that name, unpacked below `folder`; nil when there is none, whatever its tag.

    With TIDEGATE_IMAGES, a folder of OCI layouts `uplink`, …, as `deploy/image/build` makes them; else the built `uplink` with
    just the libraries it needs. `busybox` is there for tests of the cluster itself.
    """
    last = name.partition("@")[0].rpartition("/")[2].partition(":")[0]
    layouts = os.environ.get("TIDEGATE_IMAGES")
    if layouts and (Path(layouts) / last / "index.json").exists():
        return _unpacked(Path(layouts) / last, folder / last)
    if last == "uplink":
        return _made(folder / last, {"/usr/bin/uplink": programs().uplink, "/usr/bin/wireguard-go": shipped_wireguard()})
    return _made(folder / last, {"/bin/busybox": "/bin/busybox"}) if last == "busybox" else None


def shipped_wireguard() -> str:
    """The path of the wireguard-go that the uplink's image holds."""
    return run([str(paths.REPOSITORY / "deploy/agent/wireguard-go"), "--cached"]).strip()


def _made(root: Path, binaries: dict[str, str]) -> Image:
    """An image of these programs of this machine, by their places in it; the first is its entry point."""
    # The first pods of a StatefulSet want it at once.
    with tree.locked("image"):
        if not root.exists():
            fresh = root.with_name(root.name + ".new")
            shutil.rmtree(fresh, ignore_errors=True)
            for target, source in binaries.items():
                _copy(Path(source), fresh, target)
                for library in libraries(source):
                    _copy(Path(library).resolve(), fresh, library)
            for name in ("etc", "run", "tmp", "var"):
                (fresh / name).mkdir(parents=True, exist_ok=True)
            (fresh / "var/run").symlink_to("/run")
            (fresh / "etc/passwd").write_text("root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n")
            os.rename(fresh, root)
    return Image(root, entrypoint=[next(iter(binaries))], environment={"PATH": _PATH})


def _copy(source: Path, root: Path, target: str) -> None:
    place = root / target.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        shutil.copy2(source, place)


def _unpacked(layout: Path, root: Path) -> Image:
    """An OCI layout's image for this machine (image-spec v1: index.json, blobs, layers as tar archives)."""
    def blob(digest: str) -> Path:
        return layout / "blobs" / digest.replace(":", "/")

    manifest = json.loads((layout / "index.json").read_text())
    while "manifests" in manifest:
        manifest = json.loads(blob(manifest["manifests"][0]["digest"]).read_text())
    config = json.loads(blob(manifest["config"]["digest"]).read_text()).get("config", {})
    with tree.locked("image"):
        if not root.exists():
            fresh = root.with_name(root.name + ".new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            for layer in manifest["layers"]:
                with tarfile.open(blob(layer["digest"])) as archive:
                    archive.extractall(fresh, filter="tar")
            os.rename(fresh, root)
    environment = dict(entry.split("=", 1) for entry in config.get("Env") or [])
    return Image(root, config.get("Entrypoint") or [], config.get("Cmd") or [], {"PATH": _PATH, **environment},
                 config.get("WorkingDir") or "/", config.get("User") or "0")
