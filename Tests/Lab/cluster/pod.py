"""One pod on its node, from its binding to the end: its network, volumes, containers, probes, and what it says in the status."""

from __future__ import annotations

import queue
import random
import shutil
import sys
import threading
import time
from datetime import datetime, timezone

from lab.laboratory import Lab
from lab.namespaces import Namespace

from . import images, volumes
from .api import API, APIError, Manifest
from .container import CannotStart, Process, specification
from .nodes import Node
from .probes import Probe

# From a touched pod to its volumes brought up to date; measured on a real kubelet (shared/kube-api/README.md).
_SYNC_AFTER_CHANGE = 0.25
# The kubelet's --sync-frequency, and the share of it that it adds by chance.
_SYNC_PERIOD = (60, 90)
_MOUNT_RETRY = (0.5, 16)
_RESTART_BACKOFF = (10, 300)


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class PodWorker:
    """Runs one pod in a thread of its own. `observe` hands it the pod's newest object."""

    def __init__(self, lab: Lab, api: API, node: Node, pod: Manifest, read, ended):
        meta = pod["metadata"]
        self.lab, self.api, self.node, self.pod, self.ended = lab, api, node, pod, ended
        self.path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        self.read = lambda kind, name: read(kind, meta["namespace"], name)
        self.folder = lab.folder / "pods" / f"{meta['namespace']}_{meta['name']}_{meta['uid']}"
        self.host = Namespace(lab.instance, f"pod-{meta['namespace']}-{meta['name']}")
        self.container = pod["spec"]["containers"][0]
        self.address = ""
        self.process: Process | None = None
        self.probes: list[Probe] = []
        self.ready = False
        self.restarts = 0
        self.last_state: Manifest = {}
        self.waiting = ("ContainerCreating", "")
        self.started_at = ""
        self.news: queue.Queue[Manifest | None] = queue.Queue()
        self.written: Manifest = {}
        self.transitions: dict[str, tuple[str, str]] = {}
        self.start_time = now()
        threading.Thread(target=self._run, name=f"pod {meta['name']}", daemon=True).start()

    def observe(self, pod: Manifest | None) -> None:
        self.news.put(pod)

    # The life

    def _run(self) -> None:
        try:
            self.folder.mkdir(parents=True, mode=0o700)
            if self._prepare():
                self._keep()
        except Exception as error:  # a pod that fails here must not take the kubelet along; the log says what it was
            print(f"pod {self.path}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        self._end()

    @property
    def is_terminating(self) -> bool:
        return "deletionTimestamp" in self.pod["metadata"]

    def _prepare(self) -> bool:
        """Network and volumes, tried until they can be had; false when the pod is deleted before."""
        security = self.pod["spec"].get("securityContext", {})
        self.address = self.node.attach(self.host, {one["name"]: one["value"] for one in security.get("sysctls", [])})
        self._tell()
        wait = _MOUNT_RETRY[0]
        while not self.is_terminating:
            try:
                self.volumes = volumes.place(self.pod, self.folder / "volumes", self.read)
                return self._run_init_containers()
            except (volumes.NotReady, CannotStart, APIError) as error:
                self.waiting = (getattr(error, "reason", "") or "ContainerCreating", str(error))
                print(f"pod {self.path}: {error}", file=sys.stderr, flush=True)
                self._tell()
            self._hear(wait)
            wait = min(wait * 2, _MOUNT_RETRY[1])
        return False

    def _run_init_containers(self) -> bool:
        for container in self.pod["spec"].get("initContainers", []):
            while not self.is_terminating:
                process = self._started(container)
                while (status := process.exit_status()) is None and not self.is_terminating:
                    self._hear(0.05)
                if status == 0:
                    break
                process.terminate(1)
                self.waiting = ("PodInitializing", f"init container {container['name']} ended with {status}")
                self._tell()
                self._hear(_RESTART_BACKOFF[0])
        return not self.is_terminating

    def _started(self, container: Manifest) -> Process:
        image = images.find(container["image"], self.lab.folder / "images")
        if image is None:
            raise CannotStart("ImagePullBackOff", f"Back-off pulling image \"{container['image']}\"")
        files = {"/etc/hosts": self.lab.folder / "hosts_file", "/etc/resolv.conf": self.lab.folder / "resolv.conf"}
        pod = {**self.pod, "status": {**self.pod.get("status", {}), "podIP": self.address, "hostIP": self.node.address}}
        folder = self.folder / container["name"]
        return Process(specification(container, pod, image, folder=folder, network=self.host.handle, volumes=self.volumes, files=files,
                                     read=self.read), folder)

    def _keep(self) -> None:
        """Until deletion: the container runs, is begun again when it ended, and its volumes follow."""
        begin_at, backoff = 0.0, 0.0
        next_sync = time.monotonic() + random.uniform(*_SYNC_PERIOD)
        while not self.is_terminating:
            moment = time.monotonic()
            if self.process is None and moment >= begin_at:
                self._begin()
            elif self.process is not None and (status := self.process.exit_status()) is not None:
                self._note_end(status)
                begin_at = moment + backoff
                backoff = min(max(backoff * 2, _RESTART_BACKOFF[0]), _RESTART_BACKOFF[1])
            if moment >= next_sync:
                self._sync()
                next_sync = moment + random.uniform(*_SYNC_PERIOD)
            if self._hear(0.05) and not self.is_terminating:
                next_sync = min(next_sync, time.monotonic() + _SYNC_AFTER_CHANGE)
            self._tell()

    def _begin(self) -> None:
        try:
            self.process = self._started(self.container)
        except (CannotStart, APIError) as error:
            self.waiting = (getattr(error, "reason", "") or "CreateContainerConfigError", str(error))
            return
        self.started_at = now()
        container = self.container
        self.ready = "readinessProbe" not in container
        if not self.ready:
            self._probe(container["readinessProbe"], False, self._note_readiness)
        if "livenessProbe" in container:
            self._probe(container["livenessProbe"], True, self._note_liveness)

    def _probe(self, fields: Manifest, initially: bool, report) -> None:
        self.probes.append(Probe(fields, self.container, self.node.host, self.address, initially=initially, report=report))

    def _note_readiness(self, success: bool, why: str) -> None:
        self.ready = success

    def _note_liveness(self, success: bool, why: str) -> None:
        if not success and self.process is not None:
            print(f"pod {self.path}: liveness: {why}", file=sys.stderr, flush=True)
            threading.Thread(target=self.process.terminate, args=(self._grace(),), daemon=True).start()

    def _note_end(self, status: int) -> None:
        self._stop_probes()
        self.process = None
        self.ready = False
        self.restarts += 1
        self.last_state = {"terminated": {"exitCode": status, "reason": "Completed" if status == 0 else "Error",
                                          "startedAt": self.started_at, "finishedAt": now()}}
        self.waiting = ("CrashLoopBackOff", f"back-off restarting failed container {self.container['name']}")

    def _stop_probes(self) -> None:
        for probe in self.probes:
            probe.stop()
        self.probes = []

    def _sync(self) -> None:
        try:
            volumes.place(self.pod, self.folder / "volumes", self.read)
        except (volumes.NotReady, CannotStart, APIError) as error:
            print(f"pod {self.path}: volumes stay as they are: {error}", file=sys.stderr, flush=True)

    def _hear(self, seconds: float) -> bool:
        """Waits for news of the pod's own object, at most so long; true when something but its status is new."""
        try:
            fresh = self.news.get(timeout=seconds)
        except queue.Empty:
            return False
        if fresh is None:
            # Gone from the server, by force: what runs ends nevertheless.
            self.pod = {**self.pod, "metadata": {**self.pod["metadata"], "deletionTimestamp": now(), "gone": True}}
            return True
        def told(pod: Manifest) -> list:
            meta = pod["metadata"]
            return [pod["spec"], meta.get("annotations"), meta.get("labels"), meta.get("deletionTimestamp")]
        changed = told(fresh) != told(self.pod)
        self.pod = fresh
        return changed

    # The end

    def _grace(self) -> float:
        seconds = self.pod["metadata"].get("deletionGracePeriodSeconds")
        return seconds if seconds is not None else self.pod["spec"].get("terminationGracePeriodSeconds", 30)

    def _end(self) -> None:
        if self.process is not None:
            threading.Thread(target=self._tell_while_ending, args=(self.process,), daemon=True).start()
            status = self.process.terminate(self._grace())
            self._note_end(status)
        self._stop_probes()
        if self.address:
            self.node.detach(self.host, self.address)
        if not self.pod["metadata"].get("gone"):
            self._remove()
        # The logs stay for whoever looks into a failure; the secrets do not.
        shutil.rmtree(self.folder / "volumes", ignore_errors=True)
        self.ended(self)

    def _tell_while_ending(self, process: Process) -> None:
        while process.exit_status() is None:
            self._tell()
            time.sleep(0.2)

    def _remove(self) -> None:
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": {"uid": self.pod["metadata"]["uid"]}}
        while True:
            try:
                self.api.request("DELETE", self.path, body)
                return
            except APIError as error:
                if error.status in (404, 409):
                    return
            time.sleep(0.5)

    # The status

    def _tell(self) -> None:
        """Writes the status when it differs from what was written; a failure is tried again with the next turn."""
        status = self._status()
        if status == self.written or self.pod["metadata"].get("gone"):
            return
        try:
            self.api.patch(f"{self.path}/status", {"status": status})
            self.written = status
        except APIError as error:
            if error.status not in (0, 404, 429, 500, 503):
                print(f"pod {self.path}: status: {error}", file=sys.stderr, flush=True)

    def _status(self) -> Manifest:
        running = self.process is not None
        ready = running and self.ready
        state: Manifest = {"running": {"startedAt": self.started_at}} if running else {
            "waiting": {"reason": self.waiting[0], **({"message": self.waiting[1]} if self.waiting[1] else {})}}
        prepared = running or self.restarts > 0
        conditions = [self._condition("PodScheduled", True), self._condition("Initialized", prepared),
                      self._condition("ContainersReady", ready), self._condition("Ready", ready)]
        name, image = self.container["name"], self.container["image"]
        return {
            "phase": "Running" if prepared else "Pending", "hostIP": self.node.address, "hostIPs": [{"ip": self.node.address}],
            "podIP": self.address, "podIPs": [{"ip": self.address}], "startTime": self.start_time, "qosClass": "Burstable",
            "conditions": conditions,
            "containerStatuses": [{"name": name, "image": image, "imageID": image, "ready": ready, "started": running,
                                   "restartCount": self.restarts, "state": state, "lastState": self.last_state}],
        }

    def _condition(self, kind: str, holds: bool) -> Manifest:
        status = "True" if holds else "False"
        if self.transitions.get(kind, ("", ""))[0] != status:
            self.transitions[kind] = (status, now())
        reason = {} if holds else {"reason": "ContainersNotReady", "message": f"containers with unready status: [{self.container['name']}]"}
        return {"type": kind, "status": status, "lastTransitionTime": self.transitions[kind][1], "lastProbeTime": None, **reason}
