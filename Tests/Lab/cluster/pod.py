"""One pod on its node, from its binding to the end: its network, volumes, containers, probes, and what it says in the status."""

from __future__ import annotations

import queue
import random
import shutil
import sys
import threading
import time

from lab.laboratory import Lab
from lab.namespaces import Namespace

from . import images, volumes
from .api import API, APIError, Manifest
from .container import CannotStart, Process, specification
from .events import Events, now
from .nodes import Node
from .probes import Probe, Target
from .restarts import INITIAL, Backoff

# From a touched pod to its volumes brought up to date; measured on a real kubelet (shared/kube-api/README.md).
_SYNC_AFTER_CHANGE = 0.25
# The kubelet's --sync-frequency, and the share of it that it adds by chance.
_SYNC_PERIOD = (60, 90)
_MOUNT_RETRY = (0.5, 16)


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
        self.ready = self.has_started = False
        self.restarts = 0
        self.backoff = Backoff()
        self.last_state: Manifest = {}
        self.waiting = ("ContainerCreating", "")
        self.started_at = ""
        self.news: queue.Queue[Manifest | None] = queue.Queue()
        self.written: Manifest = {}
        self.transitions: dict[str, tuple[str, str]] = {}
        self.start_time = now()
        self.events = Events(api, pod, node.name)
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
                self.events.tell("FailedMount" if isinstance(error, volumes.NotReady) else "Failed", str(error), kind="Warning")
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
                self._hear(INITIAL)
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
        begin_at = ended = 0.0
        next_sync = time.monotonic() + random.uniform(*_SYNC_PERIOD)
        while not self.is_terminating:
            moment = time.monotonic()
            if self.process is None and moment >= begin_at:
                self._begin(ended)
            elif self.process is not None and (status := self.process.exit_status()) is not None:
                self._note_end(status)
                ended, pause = moment, self.backoff.pause(moment)
                begin_at = moment + pause
                if pause:
                    meta, name = self.pod["metadata"], self.container["name"]
                    place = f"failed container={name} pod={meta['name']}_{meta['namespace']}({meta['uid']})"
                    self.waiting = ("CrashLoopBackOff", f"back-off {_spoken(pause)} restarting {place}")
                    self.events.tell("BackOff", f"Back-off restarting failed container {name} in pod {place.partition('pod=')[2]}",
                                     kind="Warning", container=name)
            if moment >= next_sync:
                self._sync()
                next_sync = moment + random.uniform(*_SYNC_PERIOD)
            if self._hear(0.05) and not self.is_terminating:
                next_sync = min(next_sync, time.monotonic() + _SYNC_AFTER_CHANGE)
            self._tell()

    def _begin(self, ended: float) -> None:
        """Starts the container, again when it `ended`; 0 for the first time."""
        container = self.container
        try:
            self.process = self._started(container)
        except (CannotStart, APIError) as error:
            self.waiting = (getattr(error, "reason", "") or "CreateContainerConfigError", str(error))
            self.events.tell("Failed", f"Error: {error}", kind="Warning", container=container["name"])
            return
        if ended:
            self.restarts += 1
            self.backoff = self.backoff.after(ended, time.monotonic())
        self.started_at = now()
        self.events.tell("Created", f"Container created: {container['name']}", container=container["name"])
        self.events.tell("Started", f"Container started: {container['name']}", container=container["name"])
        if "startupProbe" in container:
            self._probe("startupProbe", None, self._note_startup)
        else:
            self._note_startup(True, "")

    def _probe(self, name: str, initially: bool | None, report) -> None:
        target = Target(self.container, self.node.host, self.node.address, self.address, self.folder / self.container["name"])
        kind = name.removesuffix("Probe").capitalize()
        self.probes.append(Probe(self.container[name], target, initially=initially, report=report, failed=lambda why: self.events.tell(
            "Unhealthy", f"{kind} probe failed: {why}", kind="Warning", container=self.container["name"])))

    def _note_startup(self, success: bool, why: str) -> None:
        if not success:
            self._note_unhealthy("startup", why)
        if not success or self.process is None:
            return
        self.has_started = True
        self.ready = "readinessProbe" not in self.container
        if not self.ready:
            self._probe("readinessProbe", False, self._note_readiness)
        if "livenessProbe" in self.container:
            self._probe("livenessProbe", True, self._note_liveness)

    def _note_readiness(self, success: bool, why: str) -> None:
        self.ready = success

    def _note_liveness(self, success: bool, why: str) -> None:
        if not success:
            self._note_unhealthy("liveness", why)

    def _note_unhealthy(self, probe: str, why: str) -> None:
        process = self.process
        if process is None or self.is_terminating:
            return
        print(f"pod {self.path}: {probe}: {why}", file=sys.stderr, flush=True)
        name = self.container["name"]
        self.events.tell("Killing", f"Container {name} failed {probe} probe, will be restarted", container=name)
        grace = self.container.get(f"{probe}Probe", {}).get("terminationGracePeriodSeconds")
        threading.Thread(target=process.terminate, args=(self._grace() if grace is None else grace,), daemon=True).start()

    def _note_end(self, status: int) -> None:
        self._stop_probes()
        self.process = None
        self.ready = self.has_started = False
        self.waiting = ("ContainerCreating", "")
        self.last_state = {"terminated": {"exitCode": status, "reason": "Completed" if status == 0 else "Error",
                                          "startedAt": self.started_at, "finishedAt": now()}}

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
            self.events.tell("Killing", f"Stopping container {self.container['name']}", container=self.container["name"])
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
        last = self.last_state
        if not running and last and self.waiting[0] != "CrashLoopBackOff":
            state, last = last, {}  # it ended a moment ago, and is begun again at once or not at all
        prepared = running or bool(self.last_state)
        conditions = [self._condition("PodScheduled", True), self._condition("Initialized", prepared),
                      self._condition("ContainersReady", ready), self._condition("Ready", ready)]
        name, image = self.container["name"], self.container["image"]
        return {
            "phase": "Running" if prepared else "Pending", "hostIP": self.node.address, "hostIPs": [{"ip": self.node.address}],
            "podIP": self.address, "podIPs": [{"ip": self.address}], "startTime": self.start_time, "qosClass": "Burstable",
            "conditions": conditions,
            "containerStatuses": [{"name": name, "image": image, "imageID": image, "ready": ready, "started": running and self.has_started,
                                   "restartCount": self.restarts, "state": state, "lastState": last}],
        }

    def _condition(self, kind: str, holds: bool) -> Manifest:
        status = "True" if holds else "False"
        if self.transitions.get(kind, ("", ""))[0] != status:
            self.transitions[kind] = (status, now())
        reason = {} if holds else {"reason": "ContainersNotReady", "message": f"containers with unready status: [{self.container['name']}]"}
        return {"type": kind, "status": status, "lastTransitionTime": self.transitions[kind][1], "lastProbeTime": None, **reason}


def _spoken(seconds: float) -> str:
    """As Go prints a duration: 10s, 1m20s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
