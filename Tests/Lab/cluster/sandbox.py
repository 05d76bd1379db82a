"""Runs one container: `python3 -m cluster.sandbox SPECIFICATION.json`, started by the kubelet, ends as the container does.

What a container runtime does for a container without seccomp: namespaces of its own, a root of the image's files, /proc with its
settings read-only, /dev with the eight ordinary devices, a bounding set, no new privileges. The specification is what
`container.specification` wrote. The number of the container's first process, as the machine sees it, goes to the file `pid`.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from pathlib import Path

from . import system
from .system import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUTS, MS_NODEV, MS_NOEXEC, MS_NOSUID

_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
# containerd's read-only and masked paths (oci/spec_opts, as of the OCI default).
_READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")
_MASKED = ("acpi", "kcore", "keys", "latency_stats", "timer_list", "sched_debug", "scsi")


def main(file: str) -> int:
    specification = json.loads(Path(file).read_text())
    # The shim ends with its container; what is sent to it is not for it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    system.setns(specification["network"], CLONE_NEWNET)
    # Not the mounts: the child's pivot_root would take this process's root along, and the file `pid` out of its reach.
    system.unshare(CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC)
    child = os.fork()
    if child == 0:
        try:
            become(specification)
        except BaseException as error:  # the only way out of a forked child is this one
            print(f"sandbox: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(128)
    fresh = Path(specification["pid"] + ".new")
    fresh.write_text(str(child))
    os.replace(fresh, specification["pid"])
    _, status = os.waitpid(child, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def become(specification: dict) -> None:
    """Turns this process into the container's first one."""
    system.die_with_parent()
    system.unshare(CLONE_NEWNS)
    make_root(specification)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    if not specification["privileged"]:
        restrict_proc()
    os.chdir(specification["workingDir"])
    system.take_rights(specification)
    os.umask(0o022)
    os.execvpe(specification["argv"][0], specification["argv"], specification["env"])


def make_root(specification: dict) -> None:
    system.mount("none", "/", "", system.MS_REC | system.MS_PRIVATE)
    base = specification["root"]
    os.makedirs(base, exist_ok=True)
    system.mount("container", base, "tmpfs", 0, "mode=0755")
    for name in ("upper", "work", "merged"):
        os.mkdir(f"{base}/{name}")
    root = f"{base}/merged"
    system.mount("container", root, "overlay", 0, f"lowerdir={specification['image']},upperdir={base}/upper,workdir={base}/work")
    for name in ("proc", "sys", "dev"):
        os.makedirs(f"{root}/{name}", exist_ok=True)
    system.mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    system.mount("sysfs", f"{root}/sys", "sysfs",
                 MS_NOSUID | MS_NODEV | MS_NOEXEC | (0 if specification["privileged"] else system.MS_RDONLY))
    make_devices(f"{root}/dev", specification["privileged"])
    for one in specification["mounts"]:
        place(root, one)
    if specification["readOnlyRoot"]:
        system.mount("none", root, "", system.MS_BIND | system.MS_REMOUNT | system.MS_RDONLY)
    system.pivot_root(root)


def make_devices(folder: str, privileged: bool) -> None:
    system.mount("tmpfs", folder, "tmpfs", MS_NOSUID, "mode=0755,size=65536k")
    mask = os.umask(0)
    for name, (major, minor) in _DEVICES.items():
        os.mknod(f"{folder}/{name}", stat.S_IFCHR | 0o666, os.makedev(major, minor))
    if privileged and os.path.exists("/dev/net/tun"):
        os.mkdir(f"{folder}/net", 0o755)
        os.mknod(f"{folder}/net/tun", stat.S_IFCHR | 0o666, os.makedev(10, 200))
    os.umask(mask)
    for name in ("pts", "shm"):
        os.mkdir(f"{folder}/{name}")
    system.mount("devpts", f"{folder}/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
    system.mount("shm", f"{folder}/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=65536k")
    for name, target in (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"),
                         ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")):
        os.symlink(target, f"{folder}/{name}")


def place(root: str, one: dict) -> None:
    """One mount of the container; its mount point is made in the container's own layer, as runtimes do."""
    target = inside(root, one["target"])
    if os.path.isdir(one["source"]):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.exists(target):
            open(target, "x").close()
    system.bind(one["source"], target, read_only=one["readOnly"])


def inside(root: str, path: str) -> str:
    """Where `path` of the container is, its symbolic links followed as the container would."""
    done, left, links = "/", [part for part in path.split("/") if part], 0
    while left:
        part = left.pop(0)
        if part == ".":
            continue
        step = os.path.dirname(done) if part == ".." else os.path.join(done, part)
        if os.path.islink(root + step) and links < 40:
            links += 1
            link = os.readlink(root + step)
            left = [part for part in link.split("/") if part] + left
            done = "/" if link.startswith("/") else done
        else:
            done = step
    return root + done


def restrict_proc() -> None:
    for name in _READ_ONLY:
        if os.path.exists(f"/proc/{name}"):
            system.bind(f"/proc/{name}", f"/proc/{name}", read_only=True, flags=MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for name in _MASKED:
        path = f"/proc/{name}"
        if os.path.isdir(path):
            system.mount("tmpfs", path, "tmpfs", system.MS_RDONLY)
        elif os.path.exists(path):
            system.bind("/dev/null", path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
