"""The lab as a whole: up, down, and its parts by name."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import keys, leftovers, paths, tree
from .certificates import Authority
from .machine import Machine, NspawnMachine, known_hosts
from .network import BACKEND, HOSTS, PLACES, VPS, Network
from .qemu import QemuMachine

_DISK = 1 << 30


class Lab:
    """One instance of the lab. An object for a running instance may be made any number of times: all state is on disk."""

    def __init__(self, instance: str = "lab"):
        self.instance = paths.checked_instance(instance)
        self.folder = paths.state(instance)
        self.network = Network(instance)
        self.client = self.network.hosts["client"]
        self.internet = self.network.hosts["internet"]
        self.nat = self.network.hosts["nat"]
        self.home = self.network.hosts["home"]
        self.uplinks = [self.network.hosts["uplink1"], self.network.hosts["uplink2"]]
        self.backend = self.network.hosts["backend"]
        self.vps: Machine = QemuMachine(instance) if QemuMachine.is_kind_of(instance) else NspawnMachine(instance)
        self._warden: subprocess.Popen | None = None

    # Taking it up and down

    def up(self, *, rtt_ms: float = 0, attached: bool = False, kernel_wireguard: bool = False, disk_bytes: int = _DISK,
           release: str = tree.RELEASE, systemd: bool = True, files: int | None = None) -> "Lab":
        """Builds the lab anew, ending what an earlier instance of the same id left.

        rtt_ms: round-trip time added between home and everything outside; 0 for none. attached: the lab ends with the
        calling process, even one killed. kernel_wireguard: the VPS is a QEMU machine with a kernel of its own (slow).
        disk_bytes: what the VPS can write before its disk is full. release: the VPS's Debian, one of tree.RELEASES.
        systemd: False for a VPS whose process 1 starts sshd and nothing else. files: the hard limit of open files of each of its
        processes, by which nothing on it can go; nil for this machine's own.
        """
        paths.STATES.mkdir(mode=0o700, exist_ok=True)
        with open(paths.STATES / f"{self.instance}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            leftovers.reap(self.instance)
            self.folder.mkdir(mode=0o700)
            if attached:
                self._appoint_warden()
            try:
                self._build(rtt_ms, kernel_wireguard, disk_bytes, release, systemd, files)
            except BaseException:
                leftovers.reap(self.instance)
                self._dismiss_warden()
                raise
        return self

    def down(self) -> None:
        """Ends and removes everything of this instance. Also when there is nothing."""
        paths.STATES.mkdir(mode=0o700, exist_ok=True)
        # The lock file stays: removing it would let two processes hold two locks of the same name.
        with open(paths.STATES / f"{self.instance}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._dismiss_warden()
            leftovers.reap(self.instance)

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def _appoint_warden(self) -> None:
        self._warden = subprocess.Popen([sys.executable, "-m", "lab.warden", self.instance], stdin=subprocess.PIPE,
                                        start_new_session=True, cwd=paths.PACKAGE.parent)

    def _dismiss_warden(self) -> None:
        if self._warden is not None:
            self._warden.communicate(b"dismissed")
            self._warden = None

    # Building

    def _build(self, rtt_ms: float, kernel_wireguard: bool, disk_bytes: int, release: str, systemd: bool, files: int | None) -> None:
        (self.folder / "hosts").mkdir()
        self._write_shared_files()
        self.vps = QemuMachine(self.instance) if kernel_wireguard else NspawnMachine(self.instance, release, systemd, files)
        with ThreadPoolExecutor() as pool:
            parts = [
                pool.submit(self.network.create, delayed=rtt_ms > 0),
                pool.submit(self._prepare_vps, disk_bytes),
                pool.submit(self._make_certificates),
            ]
            for part in parts:
                part.result()
        self.vps.start()
        if rtt_ms > 0:
            self._start(self.network.delay, "delay", "inner", "outer", str(rtt_ms / 2))
        self._start(self.backend, "backends", str(self.certificates.folder))
        self._wait_for_backends()
        self.vps.wait_ready()

    def own_kernel(self, role: str) -> QemuMachine:
        """A host of the home network becomes a QEMU machine with a kernel of its own (slow), switched on and reached by ssh."""
        machine = QemuMachine(self.instance, PLACES[role])
        machine.prepare([self.operator_key.public_line], 0)
        machine.start()
        machine.wait_ready()
        return machine

    def set_names(self, names: dict[str, str]) -> None:
        """What every host of the lab but the VPS resolves besides its own: names by address. Holds from now on."""
        text = "".join(f"{address} {name}\n" for address, name in names.items())
        # In place: what runs has this very file mounted at /etc/hosts.
        (self.folder / "hosts_file").write_text("127.0.0.1 localhost\n::1 localhost\n" + text)

    def _write_shared_files(self) -> None:
        self.set_names(HOSTS)
        # No name server anywhere: a name that is not in the hosts file fails at once.
        (self.folder / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")

    def _prepare_vps(self, disk_bytes: int) -> None:
        self.vps.prepare([keys.make(self.keys_folder, "operator").public_line], disk_bytes)

    def _make_certificates(self) -> None:
        authority = self.certificates
        for name in ("one", "two"):
            authority.issue(name, f"{name}.example.test")

    def _start(self, host, module: str, *arguments: str) -> None:
        """Starts a module of this package on a host of the lab."""
        with open(self.folder / f"{module}.log", "ab") as log:
            host.start([sys.executable, "-m", f"lab.{module}", *arguments], log=log, cwd=str(paths.PACKAGE.parent))

    def _wait_for_backends(self) -> None:
        deadline = time.monotonic() + 10
        while True:
            try:
                self.home.connect(BACKEND, 7000, timeout=1).close()
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    log = (self.folder / "backends.log").read_text()
                    raise RuntimeError(f"the backends do not answer: {error}\n{log}") from error
                time.sleep(0.02)

    # What it holds

    @property
    def keys_folder(self) -> Path:
        return self.folder / "keys"

    @property
    def operator_key(self) -> keys.SSHKey:
        """The ed25519 key that may log in to the VPS as root."""
        return keys.SSHKey(self.keys_folder / "operator")

    @property
    def certificates(self) -> Authority:
        """The authority behind the backends' certificates `one` and `two`; issue others from it as needed."""
        return Authority(self.folder / "pki", "lab-ca")

    def another_authority(self, name: str) -> Authority:
        return Authority(self.folder / f"pki-{name}", name)

    def send_whole_packets(self) -> None:
        """From now on what leaves the VPS and the NAT for the internet is as long as on a wire. Otherwise veth hands on what a program sent
        at once (UDP_SEGMENT), and who looks at the length of a packet on the way sees that of many."""
        for host, device in ((self.vps.namespace, "eth0"), (self.nat, "wan")):
            host.run(["ethtool", "-K", device, "tx-udp-segmentation", "off"])

    def known_hosts(self, address: str = VPS) -> str:
        return known_hosts(self.vps.hosts, address)

    @property
    def is_up(self) -> bool:
        return self.client.handle.exists() and os.path.exists(self.folder / "vps" / "status.json")
