"""The kubelets of all nodes: a worker for each pod that is bound to one."""

from __future__ import annotations

import base64
import threading

from lab.laboratory import Lab

from .api import API, Manifest
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
            known = self._workers.get(self._uids.get(key, ""))
            if known is not None and (pod is None or pod["metadata"]["uid"] != known.pod["metadata"]["uid"]):
                known.observe(None)
                del self._uids[key]
            if pod is None:
                return
            uid = pod["metadata"]["uid"]
            if uid in self._workers:
                self._workers[uid].observe(pod)
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
