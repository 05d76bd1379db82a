"""Debian packages put into a machine that runs, which has no way out itself."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from . import paths
from .commands import run
from .machine import NspawnMachine
from .tree import RELEASE, locked


def add(machine: NspawnMachine, *names: str) -> None:
    """Unpacks these packages of this machine's own Debian there; what they depend on is to be named too. No script of theirs is run."""
    if machine.release != RELEASE:
        raise ValueError(f"packages are those of {RELEASE}, and the machine is {machine.release}")
    for name in names:
        # Not dpkg-deb --extract, which would put folders in the place of /bin and /lib, which are links.
        unpacked = subprocess.check_output(["dpkg-deb", "--fsys-tarfile", str(_file(name))])
        run(["tar", "--extract", "--keep-directory-symlink", "--directory", str(machine.root)], input=unpacked, timeout=120)


def _file(name: str) -> Path:
    """The package's file, fetched on first use by apt."""
    folder = paths.cache() / "packages"
    with locked("packages"):
        found = next(iter(folder.glob(f"{name}_*.deb")), None)
        if found is None:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                run(["apt-get", "-o", "APT::Sandbox::User=root", "download", name], cwd=scratch, timeout=300)
                fetched = next(Path(scratch).glob("*.deb"))
                found = fetched.rename(folder / fetched.name)
    return found
