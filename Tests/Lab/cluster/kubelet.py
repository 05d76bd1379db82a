"""The kubelets of all nodes: a worker for each pod that is bound to one."""

from __future__ import annotations

import base64
import threading

from lab.laboratory import Lab

from .api import API
from .mirror import Key, Mirror
from .nodes import Node
from .pod import PodWorker


class Kubelets:
    """Hand `changed` to the mirror of pods, and the mirror to `pods`."""

    def __init__(self, lab: Lab, api: API, nodes: list[Node]):
        self.lab, self.api = lab, api
        self.nodes = {node.name: node for node in nodes}
        self.pods: Mirror | None = None
        self._workers: dict[str, PodWorker] = {}
        self._uids: dict[Key, str] = {}
        self._lock = threading.Lock()

    def changed(self, key: Key) -> None:
        pod = self.pods.get(key) if self.pods else None
        with self._lock:
            uid = pod["metadata"]["uid"] if pod else None
            begun = self._uids.get(key)
            worker = self._workers.get(begun or "")
            if begun not in (None, uid):
                del self._uids[key]
                if worker:
                    worker.observe(None)
            if pod is None:
                return
            if begun == uid:
                # Without a worker, it has ended, and this is late news of its last moments: another worker would take away the
                # network of the pod that comes after.
                if worker:
                    worker.observe(pod)
            elif node := self.nodes.get(pod["spec"].get("nodeName", "")):
                self._uids[key] = uid
                self._workers[uid] = PodWorker(self.lab, self.api, node, pod, self.read, self._ended)

    def read(self, kind: str, namespace: str, name: str) -> dict[str, bytes] | None:
        """The data of a ConfigMap or Secret, decoded; nil when there is none. Raises APIError."""
        found = self.api.get(f"/api/v1/namespaces/{namespace}/{kind}/{name}")
        if found is None:
            return None
        if kind == "secrets":
            return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
        return {**{key: value.encode() for key, value in (found.get("data") or {}).items()},
                **{key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}}

    def _ended(self, worker: PodWorker) -> None:
        with self._lock:
            self._workers.pop(worker.pod["metadata"]["uid"], None)
