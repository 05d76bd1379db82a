"""Control groups, version 1 or 2: a tree of its own for each booted machine, and little memory for a process of one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_MEMORY = _ROOT / "memory"


def roots() -> list[Path]:
    """The hierarchies in which systemd tracks processes: the unified one, and version 1's named `systemd`."""
    return [root for root in (_ROOT / "systemd", _ROOT / "unified", _ROOT) if (root / "cgroup.procs").exists()]


def create(name: str) -> list[Path]:
    made = [root / name for root in roots()]
    for path in made:
        path.mkdir(exist_ok=True)
    return made


def limit_memory(name: str, pid: int, more: int) -> Callable[[], None]:
    """The kernel kills the process once it has taken that many bytes more. What is returned ends the limit.

    Version 2 knows a process in one group only, so there all of its group share the limit.
    """
    if (_MEMORY / "memory.limit_in_bytes").exists():
        group = _MEMORY / name
        group.mkdir(exist_ok=True)
        limit, former = group / "memory.limit_in_bytes", "-1"
        limit.write_text(str(more))
        (group / "cgroup.procs").write_text(str(pid))
    else:
        line = next(line for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if line.startswith("0::"))
        group = _ROOT / line.removeprefix("0::/")
        limit, former = group / "memory.max", (group / "memory.max").read_text()
        limit.write_text(str(int((group / "memory.current").read_text()) + more))

    def end() -> None:
        limit.write_text(former)
    return end


def _trees(prefix: str) -> list[Path]:
    return [tree for root in (*roots(), _MEMORY) for tree in root.glob(f"{prefix}*") if tree.is_dir()]


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
