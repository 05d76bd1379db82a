"""Ending everything of an instance, by name, whoever made it and however that one ended."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

from . import cgroups, paths
from .commands import CommandFailed, attempt, run


def instances() -> list[str]:
    """The ids that have something on this machine."""
    found = {path.name for path in paths.STATES.glob("*") if path.is_dir()}
    for path in Path("/run/netns").glob("tg-*"):
        found.add(path.name.split("-")[1])
    return sorted(found)


def reap(instance: str) -> None:
    """Ends the instance's processes and removes its mounts, namespaces, control groups and files. Also when there are none."""
    _end_processes(instance)
    _unmount(paths.state(instance))
    for path in _namespaces(instance):
        attempt(["ip", "netns", "del", path.name])
    cgroups.remove(f"tg-{instance}-")
    for left in (Path("/run/systemd/nspawn/propagate") / paths.namespace_name(instance, "vps"), paths.state(instance)):
        shutil.rmtree(left, ignore_errors=True)


def _namespaces(instance: str) -> list[Path]:
    return sorted(Path("/run/netns").glob(f"tg-{paths.checked_instance(instance)}-*"))


def _processes(instance: str) -> set[int]:
    found = cgroups.processes(f"tg-{instance}-")
    for path in _namespaces(instance):
        try:
            found.update(int(pid) for pid in run(["ip", "netns", "pids", path.name]).split())
        except CommandFailed:
            pass  # a name left without its namespace
    return found - {os.getpid()}


def _end_processes(instance: str) -> None:
    deadline = time.monotonic() + 10
    while pids := _processes(instance):
        # In the order of their start: whoever starts others goes first.
        for pid in sorted(pids):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if time.monotonic() > deadline:
            raise RuntimeError(f"lab {instance}: processes that survive SIGKILL: {sorted(pids)}")
        time.sleep(0.05)


def _unmount(folder: Path) -> None:
    prefix = f"{folder}/"
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((point for point in points if point.startswith(prefix)), key=len, reverse=True):
        if not attempt(["umount", point]):
            attempt(["umount", "--lazy", point])
