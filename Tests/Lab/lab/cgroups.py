"""Control groups, version 1 or 2, used for one thing: to give each booted machine a tree of its own."""

from __future__ import annotations

import os
import time
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


def roots() -> list[Path]:
    """The hierarchies in which systemd tracks processes: the unified one, and version 1's named `systemd`."""
    return [root for root in (_ROOT / "systemd", _ROOT / "unified", _ROOT) if (root / "cgroup.procs").exists()]


def create(name: str) -> list[Path]:
    made = [root / name for root in roots()]
    for path in made:
        path.mkdir(exist_ok=True)
    return made


def _trees(prefix: str) -> list[Path]:
    return [tree for root in roots() for tree in root.glob(f"{prefix}*") if tree.is_dir()]


def processes(prefix: str) -> set[int]:
    """Every process in a group whose name starts so, or below one."""
    found: set[int] = set()
    for tree in _trees(prefix):
        for folder, _, _ in os.walk(tree):
            try:
                found.update(int(pid) for pid in (Path(folder) / "cgroup.procs").read_text().split())
            except OSError:
                pass  # gone meanwhile
    return found


def remove(prefix: str) -> None:
    """Removes the groups whose names start so. Waits up to 3 s for their last processes to be gone."""
    deadline = time.monotonic() + 3
    while trees := _trees(prefix):
        for tree in trees:
            for folder, _, _ in os.walk(tree, topdown=False):
                try:
                    os.rmdir(folder)
                except OSError:
                    pass  # still in use: tried again below
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)
