"""Uplinks on further hosts of the home network, from the files that `tidegate standalone --uplinks files` writes."""

from __future__ import annotations

import io
import signal
import subprocess
import tarfile
import threading
from pathlib import Path

from lab.commands import CommandFailed
from lab.namespaces import Namespace
from lab.qemu import QemuMachine

from .programs import libraries
from .standalone import Standalone

_ENVIRONMENT = {"LOG_FORMAT": "text", "LOG_LEVEL": "debug"}


class UplinkFiles:
    """Where standalone keeps what the uplinks of an EdgeNode read."""

    def __init__(self, standalone: Standalone, node: str, namespace: str = "default"):
        folder = standalone.state / "uplinks" / f"{namespace}-{node}"
        self.config = folder / "config" / "document.json"
        self.keys = folder / "keys"

    def key(self, ordinal: int) -> Path:
        return self.keys / f"priv-{ordinal}"

    def are_there(self, ordinal: int) -> bool:
        """Whether this uplink can start."""
        return self.config.exists() and self.key(ordinal).exists()


class RemoteUplink:
    """One replica, on a host of its own."""

    def __init__(self, standalone: Standalone, host: Namespace, node: str, ordinal: int, *, namespace: str = "default"):
        self.host = host
        files = UplinkFiles(standalone, node, namespace)
        name = f"{node}-uplink-{ordinal}"
        with open(standalone.folder / f"{name}.log", "ab") as log:
            self.process: subprocess.Popen = host.start(
                [standalone.programs.uplink, "--config", str(files.config), "--keys", str(files.keys)], log=log,
                env={"POD_NAME": name, **_ENVIRONMENT})

    def pid(self) -> int | None:
        """Nil once it has ended."""
        return self.process.pid if self.process.poll() is None else None

    def stop(self, timeout: float = 30) -> int:
        """Asks it to end, as Kubernetes does, and returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class MachineUplink:
    """One replica, on a machine with a kernel of its own, as a unit of its systemd. What it reads are copies; the document's is kept
    in step until `kill` or `stop`, or the end of the machine."""

    def __init__(self, standalone: Standalone, machine: QemuMachine, node: str, ordinal: int, *, namespace: str = "default"):
        self.machine = machine
        self.files = UplinkFiles(standalone, node, namespace)
        self._copy({Path(one).name: Path(one) for one in libraries(standalone.programs.uplink)}, "lib", unless_there=True)
        self._copy({"uplink": Path(standalone.programs.uplink)}, "bin", unless_there=True)
        self._copy({self.files.key(ordinal).name: self.files.key(ordinal)}, "keys")
        self._copied = self.files.config.read_bytes()
        self._copy({"document.json": self.files.config}, "config")
        environment = {"POD_NAME": f"{node}-uplink-{ordinal}", "LD_LIBRARY_PATH": "/opt/uplink/lib", **_ENVIRONMENT}
        machine.exec(["systemd-run", "--quiet", "--collect", "--unit=uplink", *(f"--setenv={key}={value}" for key, value in environment.items()),
                      "/opt/uplink/bin/uplink", "--config", "/opt/uplink/config/document.json", "--keys", "/opt/uplink/keys"])
        self._ended = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()

    def pid(self) -> int | None:
        """As the machine numbers it; nil once it has ended."""
        return int(self.machine.exec(["systemctl", "show", "--property=MainPID", "--value", "uplink"])) or None

    def stop(self, timeout: float = 30) -> int:
        """Asks it to end, as Kubernetes does, and returns its exit status."""
        self._ended.set()
        self.machine.exec(["systemctl", "stop", "uplink"], timeout=timeout)
        return 0

    def kill(self) -> None:
        self._ended.set()
        self.machine.exec(["systemctl", "kill", "--signal=KILL", "uplink"])

    def _follow(self) -> None:
        while not self._ended.wait(0.2) and self.machine.is_running():
            try:
                if (now := self.files.config.read_bytes()) != self._copied:
                    self._copy({"document.json": self.files.config}, "config")
                    self._copied = now
            except (OSError, CommandFailed, subprocess.TimeoutExpired):
                pass  # out of reach; tried again

    def _copy(self, files: dict[str, Path], folder: str, *, unless_there: bool = False) -> None:
        """Files by their names, into a folder below /opt/uplink, each put in its place whole."""
        if unless_there and self._has([f"/opt/uplink/{folder}/{name}" for name in files]):
            return
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", dereference=True) as archive:
            for name, file in files.items():
                archive.add(file, name)
        self.machine.exec(["mkdir", "-p", f"/opt/uplink/{folder}"])
        self.machine.exec(["tar", "-x", "--no-same-owner", "--unlink-first", "--directory", f"/opt/uplink/{folder}"], input=packed.getvalue())
        self.machine.exec(["sync"])

    def _has(self, paths: list[str]) -> bool:
        try:
            self.machine.exec(["ls", *paths])
            return True
        except CommandFailed:
            return False
