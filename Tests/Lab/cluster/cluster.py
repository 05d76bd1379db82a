"""The cluster as a test holds it: its nodes, its programs, and a look into its pods."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from lab import cgroups, paths
from lab.laboratory import Lab
from lab.namespaces import Namespace

from . import nodes


class Cluster:
    """Nodes in the lab's home network, and the process that plays the cluster on them. Ends with the lab."""

    def __init__(self, lab: Lab, kubeconfig: Path):
        """`kubeconfig` is of a user that may do all; its server is reached from the lab's home."""
        self.lab = lab
        self.kubeconfig = kubeconfig
        self.nodes = nodes.make(lab)
        self.log = lab.folder / "cluster.log"
        self.process: subprocess.Popen | None = None

    def start(self, timeout: float = 15) -> "Cluster":
        for node in self.nodes:
            node.create(self.lab)
        # The group is how the lab finds it, whoever started it.
        groups = cgroups.create(paths.namespace_name(self.lab.instance, "cluster"))
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "cluster", self.lab.instance, str(self.kubeconfig)],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                            cwd=paths.PACKAGE.parent, preexec_fn=lambda: _enter(groups))
        deadline = time.monotonic() + timeout
        while "cluster: at work" not in self.log.read_text():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError(f"the cluster did not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.05)
        return self

    # What happens to pods

    def pod_folders(self, namespace: str, name: str) -> list[Path]:
        """Of each pod of that name, the latest last: `CONTAINER/log`, `CONTAINER/pid`."""
        return sorted((self.lab.folder / "pods").glob(f"{namespace}_{name}_*"), key=lambda path: path.stat().st_mtime)

    def pid(self, namespace: str, name: str) -> int:
        """The container's first process, as this machine numbers it. Raises FileNotFoundError before it started."""
        folders = self.pod_folders(namespace, name)
        files = sorted(folders[-1].glob("*/pid")) if folders else []
        if not files:
            raise FileNotFoundError(f"pod {namespace}/{name} has no process")
        return int(files[-1].read_text())

    def kill(self, namespace: str, name: str) -> None:
        """The container dies at once, as when the machine runs out of memory."""
        os.kill(self.pid(namespace, name), signal.SIGKILL)

    def host_of(self, namespace: str, name: str) -> Namespace:
        """The pod's network, for a client beside the container."""
        return Namespace(self.lab.instance, f"pod-{namespace}-{name}")

    def log_of(self, namespace: str, name: str) -> str:
        return "".join(file.read_text(errors="replace") for folder in self.pod_folders(namespace, name) for file in sorted(folder.glob("*/log")))


def _enter(groups: list[Path]) -> None:
    for group in groups:
        (group / "cgroup.procs").write_text(str(os.getpid()))
