"""A pod's volumes as the kubelet keeps them: the files of ConfigMaps and Secrets swapped as one by a symbolic link."""

from __future__ import annotations

import os
import shutil
import stat
import time
from pathlib import Path
from typing import Callable

from .api import Manifest
from .container import CannotStart, field

# read(kind, name): the decoded data; nil when there is none
Read = Callable[[str, str], dict[str, bytes] | None]
Files = dict[str, tuple[bytes, int]]


class NotReady(Exception):
    """A volume cannot be made now, but may be later; the kubelet tries again (event FailedMount)."""


def place(pod: Manifest, folder: Path, read: Read) -> dict[str, Path]:
    """Makes all volumes of a pod, or brings them up to date; their folders or files by name. Raises NotReady, CannotStart."""
    made = {}
    for volume in pod["spec"].get("volumes", []):
        path = folder / volume["name"]
        if "emptyDir" in volume:
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o777)
        elif "hostPath" in volume:
            path = host_path(volume["hostPath"])
        else:
            write(path, files(volume, pod, read), pod["spec"].get("securityContext", {}).get("fsGroup"))
        made[volume["name"]] = path
    return made


def host_path(source: Manifest) -> Path:
    path, kind = Path(source["path"]), source.get("type", "")
    checks = {"CharDevice": path.is_char_device, "BlockDevice": path.is_block_device, "Directory": path.is_dir,
              "File": path.is_file, "Socket": path.is_socket}
    if kind == "DirectoryOrCreate" and not path.exists():
        raise CannotStart("FailedMount", f"hostPath {path}: the lab makes no folders on this machine")
    if kind in checks and not checks[kind]():
        raise NotReady(f"hostPath type check failed: {path} is not a {kind}")
    if not kind and not path.exists():
        raise NotReady(f"hostPath {path} does not exist")
    return path


def files(volume: Manifest, pod: Manifest, read: Read) -> Files:
    """name: (content, mode)"""
    for kind, key in (("configMap", "name"), ("secret", "secretName")):
        if kind in volume:
            return _chosen(kind, volume[kind][key], volume[kind], volume[kind].get("defaultMode", 0o644), read)
    if "downwardAPI" in volume:
        return _downward(volume["downwardAPI"], volume["downwardAPI"].get("defaultMode", 0o644), pod)
    if "projected" in volume:
        found: Files = {}
        mode = volume["projected"].get("defaultMode", 0o644)
        for source in volume["projected"].get("sources", []):
            for kind in ("configMap", "secret"):
                if kind in source:
                    found.update(_chosen(kind, source[kind]["name"], source[kind], mode, read))
            if "downwardAPI" in source:
                found.update(_downward(source["downwardAPI"], mode, pod))
        return found
    raise CannotStart("FailedMount", f"volume {volume['name']}: {sorted(set(volume) - {'name'})} is not emulated here")


def _chosen(kind: str, name: str, source: Manifest, mode: int, read: Read) -> Files:
    data = read("configmaps" if kind == "configMap" else "secrets", name)
    if data is None:
        if source.get("optional"):
            return {}
        raise NotReady(f"{kind.lower()} \"{name}\" not found")
    if "items" not in source:
        return {key: (value, mode) for key, value in data.items()}
    missing = [one["key"] for one in source["items"] if one["key"] not in data]
    if missing and not source.get("optional"):
        raise NotReady(f"references non-existent {kind.lower()} key: {missing[0]}")
    return {one["path"]: (data[one["key"]], one.get("mode", mode)) for one in source["items"] if one["key"] in data}


def _downward(source: Manifest, mode: int, pod: Manifest) -> Files:
    return {one["path"]: (field(pod, one["fieldRef"]["fieldPath"]).encode(), one.get("mode", mode)) for one in source.get("items", [])}


def write(folder: Path, wanted: Files, group: int | None) -> bool:
    """Puts the files in place all at once; true when anything changed. As kubernetes' pkg/volume/util/atomic_writer.go."""
    folder.mkdir(parents=True, exist_ok=True)
    # Owned by root and, with an fsGroup, setgid for it.
    folder.chmod(0o777 if group is None else 0o2777)
    data, old = folder / "..data", None
    if data.is_symlink():
        old = folder / os.readlink(data)
        if _same(old, wanted):
            return False
    fresh = folder / f"..{time.strftime('%Y_%m_%d_%H_%M_%S', time.gmtime())}.{time.monotonic_ns() % 10 ** 10:010d}"
    fresh.mkdir(mode=0o755)
    for name, (content, mode) in wanted.items():
        file = fresh / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        if group is not None:
            os.chown(file, 0, group)
            mode |= 0o440 if mode & 0o400 else 0
        file.chmod(mode)
    step = folder / "..data_tmp"
    step.symlink_to(fresh.name)
    os.rename(step, data)
    first_parts = {Path(name).parts[0] for name in wanted}
    for part in first_parts:
        if not (folder / part).is_symlink():
            (folder / part).symlink_to(f"..data/{part}")
    for entry in folder.iterdir():
        if not entry.name.startswith("..") and entry.name not in first_parts:
            entry.unlink()
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
    return True


def _same(folder: Path, wanted: Files) -> bool:
    found = {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}
    return set(found) == set(wanted) and all(
        found[name].read_bytes() == content and stat.S_IMODE(found[name].stat().st_mode) & ~0o040 == mode & ~0o040
        for name, (content, mode) in wanted.items())
