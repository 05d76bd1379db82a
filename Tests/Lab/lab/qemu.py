"""A host with a kernel of its own: the VPS's Debian in QEMU, for the kernel's WireGuard and for real reboots.

There is no KVM where this runs, so it is slow (about 20 s to sshd): for correctness only.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from . import keys, paths, tree
from .commands import CommandFailed, run
from .machine import MachineDidNotStart, known_hosts, wait_for_ssh, write_identity
from .namespaces import Namespace
from .network import PLACES, Network, Place

_KERNEL_PACKAGE = "linux-image-cloud-amd64"
_DISK_MIB = 2048
# What must be there before the root file system is; the rest loads from it.
_EARLY_MODULES = ("virtio_pci", "virtio_blk", "ext4")
_LATE_MODULES = "virtio_net\nvirtio_rng\ntun\n"

_INIT = """\
#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "$module"; done
mount -t ext4 -o rw /dev/vda /root || exec sh
mount --move /dev /root/dev; umount /sys /proc
exec switch_root /root /sbin/init
"""
# The second disk holds this machine's host keys, authorized_keys and network.
_IDENTITY = """\
#!/bin/sh
set -e
mount -o ro /dev/vdb /mnt
cp -r /mnt/etc /mnt/root /
umount /mnt
chown -R root:root /root /etc/ssh
ip link set lo up
ip -batch /etc/lab-network
"""
_IDENTITY_UNIT = """\
[Unit]
DefaultDependencies=no
After=local-fs.target systemd-modules-load.service
Before=network-pre.target ssh.service
Wants=network-pre.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/lab-identity
[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Image:
    """A disk with the system, and the kernel that boots it."""

    disk: Path
    kernel: Path
    initramfs: Path


def image() -> Image:
    """The machine's image, made on first use (about a minute). Never written to once made."""
    base = tree.vps_tree()
    recipe = tree.recipe_hash(base.name, _KERNEL_PACKAGE, _DISK_MIB, _EARLY_MODULES, _LATE_MODULES, _INIT, _IDENTITY, _IDENTITY_UNIT)
    folder = paths.cache() / "qemu" / recipe
    made = Image(folder / "disk.img", folder / "vmlinuz", folder / "initramfs")
    if folder.exists():
        return made
    with tree.locked("qemu"):
        if folder.exists():
            return made
        tree.progress("building the QEMU machine's image (once, about a minute)")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="building-") as scratch:
            _build(base, Path(scratch))
            os.mkdir(folder.with_suffix(".new"))
            for file in (made.disk, made.kernel, made.initramfs):
                os.rename(Path(scratch) / file.name, folder.with_suffix(".new") / file.name)
            os.rename(folder.with_suffix(".new"), folder)
    return made


def _build(base: Path, scratch: Path) -> None:
    root = scratch / "root"
    run(["cp", "-a", str(base), str(root)], timeout=300)
    package = _kernel_package()
    # apt's own sandbox user cannot write to a folder of root's, which is all its warning about it would say.
    run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package], cwd=str(scratch), timeout=600)
    # Not right into the root: the package's /lib would take the place of the link to usr/lib.
    unpacked = scratch / "kernel"
    run(["dpkg-deb", "--extract", str(next(scratch.glob("linux-image-*.deb"))), str(unpacked)], timeout=300)
    version = package.removeprefix("linux-image-")
    shutil.move(unpacked / f"boot/vmlinuz-{version}", scratch / "vmlinuz")
    shutil.move(unpacked / "lib/modules", root / "usr/lib/modules")
    run(["chroot", str(root), "/usr/sbin/depmod", "-a", version])
    _make_initramfs(root, version, scratch)
    (root / "etc/modules-load.d/lab.conf").write_text(_LATE_MODULES)
    script = root / "usr/local/sbin/lab-identity"
    script.write_text(_IDENTITY)
    script.chmod(0o755)
    (root / "etc/systemd/system/lab-identity.service").write_text(_IDENTITY_UNIT)
    (root / "etc/systemd/system/multi-user.target.wants/lab-identity.service").symlink_to("../lab-identity.service")
    (root / "etc/fstab").write_text("/dev/vda / ext4 defaults 0 0\n")
    run(["mke2fs", "-q", "-t", "ext4", "-d", str(root), str(scratch / "disk.img"), f"{_DISK_MIB}M"], timeout=300)


def _kernel_package() -> str:
    """The package that the version-less one stands for today."""
    for line in run(["apt-cache", "depends", _KERNEL_PACKAGE]).splitlines():
        kind, _, name = line.strip().partition(": ")
        if kind == "Depends" and name.startswith("linux-image-"):
            return name
    raise RuntimeError(f"apt knows no kernel behind {_KERNEL_PACKAGE}: run apt-get update")


def _make_initramfs(root: Path, version: str, scratch: Path) -> None:
    early = scratch / "early"
    for name in ("bin", "dev", "proc", "sys", "root", "modules"):
        (early / name).mkdir(parents=True)
    shutil.copy2("/bin/busybox", early / "bin/busybox")
    for applet in ("sh", "mount", "umount", "insmod", "switch_root"):
        (early / "bin" / applet).symlink_to("busybox")
    order: list[str] = []
    for module in _EARLY_MODULES:
        shown = run(["chroot", str(root), "/usr/sbin/modprobe", "--set-version", version, "--show-depends", module])
        order += [line.split()[1] for line in shown.splitlines() if line.startswith("insmod ")]
    for index, file in enumerate(dict.fromkeys(order)):
        shutil.copy2(root / file.lstrip("/"), early / "modules" / f"{index:02}-{Path(file).name}")
    (early / "init").write_text(_INIT)
    (early / "init").chmod(0o755)
    names = sorted(str(path.relative_to(early)) for path in early.rglob("*"))
    packed = subprocess.run(["cpio", "--quiet", "--create", "--format=newc"], input="\n".join(names).encode(), cwd=early,
                            capture_output=True, check=True)
    (scratch / "initramfs").write_bytes(packed.stdout)


class QemuMachine:
    """Debian on its own kernel, in the place of a host of the lab and at its address; `exec` goes by ssh."""

    def __init__(self, instance: str, place: Place = PLACES["vps"]):
        self.instance = instance
        self.place = place
        self.folder = paths.state(instance) / place.role
        self.hosts = self.folder / "host-keys"
        self.namespace = Namespace(instance, place.role)
        self.neighbour = Namespace(instance, place.neighbour)
        self._process: subprocess.Popen | None = None

    @staticmethod
    def is_kind_of(instance: str) -> bool:
        return (paths.state(instance) / "vps" / "disk.qcow2").exists()

    def prepare(self, authorized: Sequence[str], disk_bytes: int) -> None:
        """Lays a fresh disk over the cached image. Its size is the image's: `disk_bytes` is for the other kind."""
        self.folder.mkdir(parents=True)
        made = image()
        identity = self.folder / "identity"
        write_identity(identity / "etc", self.hosts, authorized)
        (identity / "etc/lab-network").write_text("".join(line + "\n" for line in self.place.lines))
        run(["mke2fs", "-q", "-t", "ext4", "-d", str(identity), str(self.folder / "identity.img"), "4M"])
        run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(made.disk), str(self.folder / "disk.qcow2")])

    def start(self) -> None:
        Network(self.instance).bridge(self.place.role)
        made = image()
        argv = ["qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "2", "-m", "1024", "-nodefaults",
                "-display", "none", "-serial", f"file:{self.folder}/console.log", "-kernel", str(made.kernel),
                "-initrd", str(made.initramfs), "-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0",
                "-drive", f"file={self.folder}/disk.qcow2,if=virtio,format=qcow2",
                "-drive", f"file={self.folder}/identity.img,if=virtio,format=raw,readonly=on",
                "-device", "virtio-rng-pci", "-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no",
                "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:00:00:02"]
        with open(self.folder / "qemu.log", "ab") as log:
            self._process = self.namespace.start(argv, log=log)
        (self.folder / "status.json").write_text(json.dumps({"pid": self._process.pid}))

    def wait_ready(self, timeout: float = 180) -> None:
        wait_for_ssh(self.neighbour, self.folder / "console.log", max(timeout, 180), self.place.address)

    def stop(self, timeout: float = 90) -> None:
        """Shuts the machine down in an orderly way, and waits for it."""
        self._ask("poweroff")
        self._wait_ended(timeout)

    def cut_power(self) -> None:
        """Ends the machine at once. `start` after it is a boot with what was on its disk."""
        os.kill(self._pid(), 9)
        self._wait_ended(10)

    def reboot(self, timeout: float = 180) -> None:
        """Reboots from inside, and waits for sshd of the new boot."""
        before = self._boot_id()
        self._ask("reboot")
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                if self._boot_id() != before:
                    return
            except (CommandFailed, subprocess.TimeoutExpired):
                pass  # on its way down, or not up yet
            time.sleep(0.5)
        raise MachineDidNotStart(f"{self.place.role} did not come back within {timeout:.0f} s of its reboot")

    def is_running(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        return Path(f"/proc/{self._pid()}").exists()

    def exec(self, command: Sequence[str], *, input: str | bytes | None = None, timeout: float = 60) -> str:
        """Runs a program inside, as root."""
        known = self.folder / "known_hosts"
        known.write_text(known_hosts(self.hosts, self.place.address))
        operator = keys.SSHKey(paths.state(self.instance) / "keys" / "operator")
        argv = ["ssh", "-i", str(operator.private), "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes", "-o",
                "ConnectTimeout=5", "-o", "ServerAliveInterval=2", f"root@{self.place.address}", "--", *(shlex.quote(word) for word in command)]
        try:
            return self.neighbour.run(argv, input=input, timeout=timeout)
        except CommandFailed as error:
            raise CommandFailed(list(command), error.status, error.output) from None

    def _ask(self, verb: str) -> None:
        try:
            self.exec(["systemctl", "--no-block", verb])
        except CommandFailed:
            pass  # the connection may go before the answer comes

    def _boot_id(self) -> str:
        return self.exec(["cat", "/proc/sys/kernel/random/boot_id"], timeout=30)

    def _pid(self) -> int:
        return int(json.loads((self.folder / "status.json").read_text())["pid"])

    def _wait_ended(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while self.is_running():
            if time.monotonic() > deadline:
                raise MachineDidNotStart(f"waited {timeout:.0f} s for {self.place.role} to end")
            time.sleep(0.1)
