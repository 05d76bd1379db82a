"""`tidegate controller` at home."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from lab.laboratory import Lab

from .programs import envoy_options, programs


class Controller:
    """One manager process. Several may run: each has its name, its log and its ports."""

    def __init__(self, lab: Lab, name: str, kubeconfig: Path, *, number: int = 0, namespace: str = "tunnel", image_tag: str = "lab"):
        self.lab = lab
        self.name = name
        self.kubeconfig = kubeconfig
        self.namespace = namespace
        self.image_tag = image_tag
        self.health_port, self.metrics_port = 8081 + 10 * number, 8443 + 10 * number
        self.programs = programs()
        self.log = lab.folder / f"{name}.log"
        self.process: subprocess.Popen | None = None

    def start(self, *options: str, log_level: str = "debug") -> "Controller":
        if self.is_running:
            raise RuntimeError(f"{self.name} runs already")
        argv = [self.programs.tidegate, "controller", "--kubeconfig", str(self.kubeconfig),
                "--leader-elect-namespace", self.namespace, "--agent-dir", str(self.programs.agent_bundle.parent), *envoy_options(),
                "--health-probe-bind-address", f"127.0.0.1:{self.health_port}",
                "--metrics-bind-address", f"127.0.0.1:{self.metrics_port}",
                "--image-repo", "ghcr.io/achetronic/tunnel", "--image-tag", self.image_tag, *options]
        with open(self.log, "ab") as log:
            self.process = self.lab.home.start(argv, log=log, env={"LOG_FORMAT": "text", "LOG_LEVEL": log_level, "KUBECONFIG": ""})
        return self

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self, timeout: float = 30) -> int:
        """Asks it to end and returns its exit status."""
        self._running().send_signal(signal.SIGTERM)
        return self._running().wait(timeout)

    def kill(self) -> None:
        """It dies without a last word."""
        self._running().kill()
        self._running().wait()

    def pause(self) -> None:
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def resident_bytes(self) -> int:
        text = Path(f"/proc/{self._running().pid}/statm").read_text()
        return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def _running(self) -> subprocess.Popen:
        if self.process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self.process
