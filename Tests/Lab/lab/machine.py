"""The VPS, whichever way it is booted: what tests and the demo may do with it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Sequence

from . import cgroups, keeper, keys, paths, tree
from .commands import CommandFailed, run
from .namespaces import Namespace
from .network import VPS


class Machine(Protocol):
    """Both kinds are real machines with systemd and sshd, reached at network.VPS."""

    folder: Path
    hosts: Path

    def prepare(self, authorized: Sequence[str], disk_bytes: int) -> None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def cut_power(self) -> None: ...
    def reboot(self) -> None: ...
    def exec(self, command: Sequence[str], *, input: str | bytes | None = None, timeout: float = 60) -> str: ...
    def wait_ready(self, timeout: float = 60) -> None: ...


class MachineDidNotStart(RuntimeError):
    """The VPS gave no sign of life in time; the message ends with its last console lines."""


def write_identity(etc: Path, hosts: Path, authorized: Sequence[str]) -> None:
    """Gives a machine's `/etc` fresh host keys (kept in `hosts` too) and lets the keys given log in as root."""
    ssh = etc / "ssh"
    ssh.mkdir(parents=True, exist_ok=True)
    for kind in ("ed25519", "ecdsa", "rsa"):
        made = keys.make(hosts, f"ssh_host_{kind}_key", kind)
        for file in (made.private, made.private.with_name(made.private.name + ".pub")):
            shutil.copy2(file, ssh / file.name)
    # No name server anywhere: what asks for a name (sudo, for the host's own) is answered at once.
    (etc / "hosts").write_text("127.0.0.1 localhost\n127.0.1.1 vps\n::1 localhost\n")
    (etc / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    folder = etc.parent / "root" / ".ssh"
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    folder.parent.chmod(0o700)
    (folder / "authorized_keys").write_text("".join(line + "\n" for line in authorized))


def known_hosts(hosts: Path, address: str = VPS, *, kinds: Sequence[str] = ("ed25519", "ecdsa", "rsa")) -> str:
    """known_hosts lines of a machine whose host keys are in the folder `hosts`."""
    return "".join(keys.known_hosts_line(address, (hosts / f"ssh_host_{kind}_key.pub").read_text()) for kind in kinds)


def wait_for_ssh(seen_from: Namespace, console: Path, timeout: float, address: str = VPS) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            with seen_from.connect(address, 22, timeout=2) as connection:
                if connection.recv(8).startswith(b"SSH-"):
                    return
        except OSError:
            pass
        time.sleep(0.05)
    tail = console.read_text(errors="replace")[-2000:] if console.exists() else "(no console)"
    raise MachineDidNotStart(f"no ssh banner from {address}:22 within {timeout:.0f} s; its console ends with:\n{tail}")


class NspawnMachine:
    """Debian booted by systemd-nspawn on this kernel: up in seconds, but no wireguard module (none is here)."""

    def __init__(self, instance: str, release: str = tree.RELEASE, systemd: bool = True, files: int | None = None):
        self.instance = instance
        self.release = release
        self.files = files
        self.systemd = systemd
        self.folder = paths.state(instance) / "vps"
        self.root = self.folder / "root"
        # Leads to the tree that it was booted from.
        self.tree = self.folder / "tree"
        self.hosts = self.folder / "host-keys"
        self.namespace = Namespace(instance, "vps")
        self.internet = Namespace(instance, "internet")

    def prepare(self, authorized: Sequence[str], disk_bytes: int) -> None:
        """Lays a fresh disk of that size over the cached Debian."""
        disk = self.folder / "disk"
        for path in (disk, self.root):
            path.mkdir(parents=True)
        run(["mount", "-t", "tmpfs", "-o", f"size={disk_bytes},mode=0755", "tidegate-lab", str(disk)])
        (disk / "upper").mkdir()
        (disk / "work").mkdir()
        self.tree.symlink_to(tree.vps_tree(self.release))
        run(["mount", "-t", "overlay", "-o", f"lowerdir={self.tree.resolve()},upperdir={disk}/upper,workdir={disk}/work",
             "tidegate-lab", str(self.root)])
        write_identity(self.root / "etc", self.hosts, authorized)
        if self.files is not None:
            (self.folder / "files").write_text(str(self.files))  # where the keeper looks for it
        if not self.systemd:
            # In the place where the keeper looks for it.
            (self.root / paths.OWN_INIT).write_text("#!/bin/sh\nmkdir -p /run/sshd\nexec /usr/sbin/sshd -D -e\n")
            (self.root / paths.OWN_INIT).chmod(0o755)

    def start(self) -> None:
        """Switches the machine on. Returns at once; see wait_ready."""
        (self.folder / "status.json").unlink(missing_ok=True)
        groups = cgroups.create(paths.namespace_name(self.instance, "keeper"))
        with open(self.folder / "keeper.log", "ab") as log:
            keeper = subprocess.Popen([sys.executable, "-m", "lab.keeper", self.instance], stdin=subprocess.DEVNULL, stdout=log,
                                      stderr=log, start_new_session=True, cwd=paths.PACKAGE.parent)
        for group in groups:
            (group / "cgroup.procs").write_text(str(keeper.pid))

    def status(self) -> dict:
        """boot: how often it started; pid: of systemd-nspawn while it runs; ended: its exit status afterwards."""
        try:
            return json.loads((self.folder / "status.json").read_text())
        except FileNotFoundError:
            return {"boot": 0}

    def wait_ready(self, timeout: float = 60) -> None:
        wait_for_ssh(self.internet, self.folder / "console.log", timeout)

    def stop(self, timeout: float = 30) -> None:
        """Shuts the machine down in an orderly way, and waits for it."""
        self._ask("poweroff")
        self._wait(lambda status: "ended" in status, timeout, "to power off")

    def reimage(self, authorized: Sequence[str], disk_bytes: int) -> None:
        """Builds the machine anew under the same address, as its provider would: another disk, other host keys."""
        self.stop()
        run(["umount", str(self.root)])
        run(["umount", str(self.folder / "disk")])
        for path in (self.root, self.folder / "disk", self.hosts):
            shutil.rmtree(path)
        self.tree.unlink()
        keeper.rewire(self.instance)
        self.prepare(authorized, disk_bytes)
        self.start()
        self.wait_ready()

    def cut_power(self) -> None:
        """Ends the machine at once. `start` after it is a boot with what was on its disk."""
        run(["kill", "-KILL", str(self._leader())])
        self._wait(lambda status: "ended" in status, 10, "to end")
        cgroups.remove(paths.namespace_name(self.instance, "vps"))

    def reboot(self, timeout: float = 60) -> None:
        """Reboots from inside, and waits for sshd to answer again."""
        before = self.status()["boot"]
        self._ask("reboot")
        self._wait(lambda status: status["boot"] > before, timeout, "to reboot")
        self.wait_ready(timeout)

    def exec(self, command: Sequence[str], *, input: str | bytes | None = None, timeout: float = 60) -> str:
        """Runs a program inside, as root, without ssh."""
        try:
            return run(["nsenter", "--target", str(self._leader()), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--",
                        "env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
                        "HOME=/root", "TERM=dumb", *command], input=input, timeout=timeout)
        except CommandFailed as error:
            raise CommandFailed(list(command), error.status, error.output) from None

    def limit_memory(self, pid: int, more: int) -> Callable[[], None]:
        """The kernel kills the process of that number inside once it has taken `more` bytes more. What is returned ends the limit."""
        for outside in cgroups.processes(paths.namespace_name(self.instance, "vps")):
            if f"\t{pid}\n" in next(line for line in Path(f"/proc/{outside}/status").read_text().splitlines(True) if line.startswith("NSpid:")):
                return cgroups.limit_memory(paths.namespace_name(self.instance, "memory"), outside, more)
        raise RuntimeError(f"the VPS has no process {pid}")

    def _ask(self, verb: str) -> None:
        # `systemctl` may lose its connection to the very systemd it stops: the outcome is what _wait sees.
        try:
            self.exec(["systemctl", "--no-block", verb])
        except CommandFailed:
            pass

    def _wait(self, condition, timeout: float, what: str) -> None:
        deadline = time.monotonic() + timeout
        while not condition(self.status()):
            if time.monotonic() > deadline:
                raise MachineDidNotStart(f"waited {timeout:.0f} s for the VPS {what}: {self.status()}")
            time.sleep(0.02)

    def _leader(self) -> int:
        """The process that is number 1 inside."""
        parent = self.status().get("pid")
        if parent is None:
            raise RuntimeError("the VPS is switched off")
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            for line in Path(f"/proc/{child}/status").read_text().splitlines():
                if line.startswith("NSpid:") and line.split()[-1] == "1":
                    return int(child)
        raise RuntimeError("the VPS has no process 1 yet")


def allow_password(machine: Machine, password: str) -> None:
    """Lets root log in with that password, by the methods password and keyboard-interactive."""
    machine.exec(["chpasswd"], input=f"root:{password}\n")
    machine.exec(["tee", "/etc/ssh/sshd_config.d/00-password.conf"],
                 input="PasswordAuthentication yes\nKbdInteractiveAuthentication yes\nUsePAM yes\n")
    machine.exec(["systemctl", "reload", "ssh"])


def add_user(machine: Machine, name: str, password: str, *, home: bool = True) -> None:
    """An account that root's keys can log in as. Without a home its keys are in /etc/ssh/keys."""
    machine.exec(["useradd", "--create-home" if home else "--no-create-home", "--shell", "/bin/sh", name])
    machine.exec(["chpasswd"], input=f"{name}:{password}\n")
    keys_file = f"/home/{name}/.ssh/authorized_keys" if home else f"/etc/ssh/keys/{name}"
    machine.exec(["install", "-D", "--mode=0644", "/root/.ssh/authorized_keys", keys_file])
    machine.exec(["tee", "/etc/ssh/sshd_config.d/01-users.conf"],
                 input="AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/keys/%u\n")
    machine.exec(["systemctl", "reload", "ssh"])


def set_sudo(machine: Machine, rules: str) -> None:
    """What sudoers says beside Debian's own lines."""
    machine.exec(["install", "--mode=0440", "/dev/stdin", "/etc/sudoers.d/lab"], input=rules)


def has_answer(seen_from: Namespace, address: str, port: int) -> bool:
    """Whether something accepts TCP connections there."""
    try:
        seen_from.connect(address, port, timeout=1).close()
        return True
    except (OSError, socket.timeout):
        return False
