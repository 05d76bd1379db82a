"""The system calls of a container's making that Python has no name for."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)

# sched.h
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x40000000
# sys/mount.h
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_MNT_DETACH = 2
# linux/prctl.h
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 1, 24, 38, 47, 4
_SYS_PIVOT_ROOT = 155  # x86_64
_SYS_CAPSET = 126

# linux/capability.h, by number
CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
    "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
    "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
    "PERFMON", "BPF", "CHECKPOINT_RESTORE")


def _checked(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def setns(path: str, kind: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(_libc.setns(descriptor, kind), f"setns {path}")
    finally:
        os.close(descriptor)


def unshare(kinds: int) -> None:
    _checked(_libc.unshare(kinds), "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    _checked(_libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()),
             f"mount {kind or source} at {target}")


def bind(source: str, target: str, *, read_only: bool = False, flags: int = 0) -> None:
    mount(source, target, "", MS_BIND | MS_REC)
    if read_only or flags:
        mount("none", target, "", MS_BIND | MS_REMOUNT | flags | (MS_RDONLY if read_only else 0))


def pivot_root(new: str) -> None:
    """`new` becomes the root of this mount namespace, and the old one is gone."""
    os.chdir(new)
    _checked(_libc.syscall(_SYS_PIVOT_ROOT, b".", b"."), f"pivot_root {new}")
    _checked(_libc.umount2(b".", _MNT_DETACH), "detach the old root")
    os.chdir("/")


def die_with_parent() -> None:
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0), "PR_SET_PDEATHSIG")


def bound_capabilities(kept: set[str]) -> None:
    """Takes every capability that is not `kept` from this process and all it ever starts."""
    last = int(open("/proc/sys/kernel/cap_last_cap").read())
    for number in range(last + 1):
        name = CAPABILITIES[number] if number < len(CAPABILITIES) else ""
        if name not in kept:
            _checked(_libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), f"drop capability {number}")
    _checked(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "clear ambient capabilities")
    mask = sum(1 << number for number, name in enumerate(CAPABILITIES) if name in kept and number <= last)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)(mask & 0xFFFFFFFF, mask & 0xFFFFFFFF, 0, mask >> 32, mask >> 32, 0)
    _checked(_libc.syscall(_SYS_CAPSET, header, data), "capset")


def no_new_privileges() -> None:
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")


def take_rights(specification: dict) -> None:
    """Leaves this process what a container's specification says: groups, user, capabilities."""
    os.setgroups(specification["groups"])
    if specification["gid"]:
        os.setresgid(*[specification["gid"]] * 3)
    bound_capabilities(set(specification["capabilities"]) | ({"SETUID"} if specification["uid"] else set()))
    if specification["uid"]:
        os.setresuid(*[specification["uid"]] * 3)
    if specification["noNewPrivileges"]:
        no_new_privileges()
