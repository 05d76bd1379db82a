"""Uplinks on further hosts of the home network, from the files that `tidegate standalone --uplinks files` writes."""

from __future__ import annotations

import signal
import subprocess

from lab.namespaces import Namespace

from .standalone import Standalone


class RemoteUplink:
    """One replica, on a host of its own."""

    def __init__(self, standalone: Standalone, host: Namespace, node: str, ordinal: int, *, namespace: str = "default"):
        self.host = host
        files = standalone.state / "uplinks" / f"{namespace}-{node}"
        self.config = files / "config" / "document.json"
        self.keys = files / "keys"
        self.name = f"{node}-uplink-{ordinal}"
        self.log = standalone.folder / f"{self.name}.log"
        with open(self.log, "ab") as log:
            self.process: subprocess.Popen = host.start(
                [standalone.programs.uplink, "--config", str(self.config), "--keys", str(self.keys)], log=log,
                env={"POD_NAME": self.name, "LOG_FORMAT": "text", "LOG_LEVEL": "debug"})

    def stop(self, timeout: float = 30) -> int:
        """Asks it to end, as Kubernetes does, and returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
