"""One network namespace of the lab: run programs in it, open sockets in it."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Iterator, Sequence

from . import paths
from .commands import CommandFailed, run

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000  # sched.h

# What a host has of its own beside the network: the folder of wireguard-go's sockets, a hosts file, and a resolver.
# All paths arrive as positional parameters; the script itself is constant.
_AS_HOST = """
mount --bind "$1/wireguard" /run/wireguard && mount --bind "$2/hosts_file" /etc/hosts &&
mount --bind "$2/resolv.conf" /etc/resolv.conf || exit 125
shift 2
exec "$@"
"""


class Namespace:
    """A host of the lab. Programs in it share `/run/wireguard` with each other and with no other host."""

    def __init__(self, instance: str, role: str):
        self.instance = instance
        self.role = role
        self.name = paths.namespace_name(instance, role)
        self.folder = paths.state(instance) / "hosts" / role

    def __repr__(self) -> str:
        return f"Namespace({self.name})"

    @property
    def handle(self) -> Path:
        return Path("/run/netns") / self.name

    def create(self) -> None:
        (self.folder / "wireguard").mkdir(parents=True, exist_ok=True)
        run(["ip", "netns", "add", self.name])
        self.configure(["link set lo up"])

    def delete(self) -> None:
        run(["ip", "netns", "del", self.name])

    def configure(self, lines: Sequence[str]) -> None:
        """Runs `ip` with one command a line, stopping at the first that fails."""
        run(["ip", "-n", self.name, "-batch", "-"], input="".join(line + "\n" for line in lines))

    def sysctl(self, settings: dict[str, str]) -> None:
        run(["ip", "netns", "exec", self.name, "sysctl", "-q", "-w", *(f"{key}={value}" for key, value in settings.items())])

    def argv(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` on this host."""
        Path("/run/wireguard").mkdir(exist_ok=True)
        return ["ip", "netns", "exec", self.name, "sh", "-c", _AS_HOST, "sh", str(self.folder),
                str(paths.state(self.instance)), *command]

    def run(self, command: Sequence[str], *, input: str | bytes | None = None, timeout: float = 60) -> str:
        """Runs a program on this host to its end; see commands.run."""
        try:
            return run(self.argv(command), input=input, timeout=timeout)
        except CommandFailed as error:
            raise CommandFailed(list(command), error.status, error.output) from None

    def start(self, command: Sequence[str], *, log: IO | int | None = None, env: dict[str, str] | None = None,
              cwd: str | None = None, stdin: int = subprocess.DEVNULL) -> subprocess.Popen:
        """Starts a program on this host. Its output goes to `log` (nowhere when nil).

        The process that Popen names is the program itself: everything before it execs.
        """
        out = subprocess.DEVNULL if log is None else log
        environment = None if env is None else {**os.environ, **env}
        return subprocess.Popen(self.argv(command), stdin=stdin, stdout=out, stderr=subprocess.STDOUT, env=environment,
                                cwd=cwd, start_new_session=True)

    def pids(self) -> list[int]:
        """The processes whose network namespace this is."""
        return [int(pid) for pid in run(["ip", "netns", "pids", self.name]).split()]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread in this namespace. Sockets opened meanwhile stay in it for their whole life."""
        home = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            there = os.open(self.handle, os.O_RDONLY | os.O_CLOEXEC)
            try:
                _set_namespace(there)
            finally:
                os.close(there)
            try:
                yield
            finally:
                _set_namespace(home)
        finally:
            os.close(home)

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A new socket of this host, for use by the calling program itself."""
        with self.entered():
            return socket.socket(family, kind)

    def connect(self, address: str, port: int, *, source: str | None = None, timeout: float = 5) -> socket.socket:
        """A TCP connection from this host. Raises OSError as socket.connect does."""
        opened = self.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        try:
            opened.settimeout(timeout)
            if source is not None:
                opened.bind((source, 0))
            opened.connect((address, port))
            return opened
        except BaseException:
            opened.close()
            raise


def _set_namespace(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"setns: {os.strerror(code)}")
