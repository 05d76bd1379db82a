"""What a VPS holds, for comparing before with after."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

from lab.laboratory import Lab
from lab.machine import NspawnMachine

# Places that every running Debian writes to by itself.
_OWN_LIFE = ("run/", "tmp/", "var/tmp/", "var/log/", "var/lib/systemd/", "var/lib/private", "var/lib/sudo/", "var/cache/private", "root/.ssh/", "dev/", "proc/", "sys/")
# Debian's own copies of the account files as they were before the last change, and the lock beside them.
_ACCOUNT_BACKUPS = ("etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "etc/subuid-", "etc/subgid-", "etc/.pwd.lock")
# Made of the interface's hardware address, which a reboot changes here; there a while after the machine is up.
_LINK_LOCAL = re.compile(r"fe80::.* dev eth0 ")
_COUNTERS = ("nf_conntrack_count", "stable_secret", "random")


def differences(before: dict[str, set[str]], after: dict[str, set[str]]) -> list[str]:
    """One line for each thing that came or went."""
    found = []
    for kind in before:
        found += [f"{kind} more: {one}" for one in sorted(after[kind] - before[kind])]
        found += [f"{kind} less: {one}" for one in sorted(before[kind] - after[kind])]
    return found


def snapshot(lab: Lab) -> dict[str, set[str]]:
    """Files, units, processes, interfaces and settings of the VPS. Only for a machine booted by systemd-nspawn."""
    machine = lab.vps
    assert isinstance(machine, NspawnMachine)
    return {
        "file": files(machine),
        "unit": {line.split()[0] for line in machine.exec(["systemctl", "list-unit-files", "--no-legend", "--no-pager"]).splitlines()},
        "process": set(machine.exec(["ps", "-eo", "args", "--no-headers"]).splitlines()) - {"ps -eo args --no-headers"},
        "interface": {line.split(":")[1].strip().partition("@")[0] for line in machine.exec(["ip", "-o", "link"]).splitlines()},
        "route": {line for line in machine.exec(["ip", "route", "show", "table", "all"]).splitlines() if not _LINK_LOCAL.search(line)},
        "setting": {line for line in machine.exec(["sysctl", "--all", "--pattern", r"^net\."]).splitlines()
                    if not any(word in line for word in _COUNTERS)},
        "feature": set(lab.vps.namespace.run(["ethtool", "-k", "eth0"]).splitlines()),
    }


def files(machine: NspawnMachine) -> set[str]:
    """What differs from the Debian it was booted from: the file's path, kind, mode and content, as the machine sees it."""
    upper, lower = machine.folder / "disk" / "upper", machine.tree
    found = set()
    for folder, names, entries in os.walk(upper):
        for name in names + entries:
            path = (Path(folder) / name).relative_to(upper)
            shown = str(path) + ("/" if name in names else "")
            if not shown.startswith(_OWN_LIFE) and str(path) not in _ACCOUNT_BACKUPS:
                seen = described(machine.root / path, str(path))
                # Written, and again what it was.
                if not (lower / path).is_symlink() and not (lower / path).exists() or seen != described(lower / path, str(path)):
                    found.add(seen)
    return found


def described(path: Path, shown: str) -> str:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return f"{shown} (removed)"
    if stat.S_ISREG(status.st_mode):
        return f"{shown} {stat.filemode(status.st_mode)} {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    if stat.S_ISLNK(status.st_mode):
        return f"{shown} -> {os.readlink(path)}"
    return f"{shown} {stat.filemode(status.st_mode)}"
