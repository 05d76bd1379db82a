"""The loops: StatefulSets and Deployments to pods, Services to the nodes' rules."""

from __future__ import annotations

import sys
import threading
from datetime import datetime, timezone

from .api import API, APIError, Manifest
from .kubelet import Kubelets
from .mirror import Key, Mirror
from .nodes import Node
from . import deployments, proxy, scheduling, statefulsets

_RESYNC = 1  # seconds; what depends on time, or failed, is looked at again then at the latest


class Manager:
    """The StatefulSet and Deployment controllers, the scheduler and kube-proxy, over shared mirrors."""

    def __init__(self, api: API, nodes: list[Node], kubelets: Kubelets):
        self.api, self.nodes, self.kubelets = api, nodes, kubelets
        self._work = threading.Event()
        self._services = threading.Event()
        self.pods = Mirror(api, "/api/v1/pods", self._pod_changed)
        self.sets = Mirror(api, "/apis/apps/v1/statefulsets", lambda _: self._work.set())
        self.deployments = Mirror(api, "/apis/apps/v1/deployments", lambda _: self._work.set())
        self.services = Mirror(api, "/api/v1/services", lambda _: self._services.set())
        kubelets.pods = self.pods

    def start(self) -> None:
        mirrors = (self.pods, self.sets, self.deployments, self.services)
        for mirror in mirrors:
            mirror.start()
        for mirror in mirrors:
            mirror.synced.wait()
        threading.Thread(target=self._loop, args=(self._work, self._reconcile_all), daemon=True).start()
        threading.Thread(target=self._loop, args=(self._services, self._serve), daemon=True).start()

    def _pod_changed(self, key: Key) -> None:
        self._work.set()
        self._services.set()
        self.kubelets.changed(key)

    def _loop(self, event: threading.Event, work) -> None:
        while True:
            event.wait(_RESYNC)
            event.clear()
            try:
                work()
            except Exception as error:  # one turn lost, the loop goes on; the log says why
                print(f"manager: {type(error).__name__}: {error}", file=sys.stderr, flush=True)

    def _serve(self) -> None:
        wanted = proxy.endpoints(self.services.all(), self.pods.all())
        for node in self.nodes:
            node.serve(wanted)

    def _reconcile_all(self) -> None:
        for one in self.sets.all():
            try:
                self._reconcile(one)
            except APIError as error:
                print(f"statefulset {one['metadata']['name']}: {error}", file=sys.stderr, flush=True)
        for one in self.deployments.all():
            try:
                pods = statefulsets.owned(one, self.pods.all())
                self._carry_out(deployments.decide(one, pods, datetime.now(timezone.utc)), one, self.deployments, "deployments")
            except APIError as error:
                print(f"deployment {one['metadata']['name']}: {error}", file=sys.stderr, flush=True)

    def _reconcile(self, owner: Manifest) -> None:
        namespace, name = owner["metadata"]["namespace"], owner["metadata"]["name"]
        for pod in statefulsets.adopted(owner, self.pods.all()):
            meta = pod["metadata"]
            self.pods.learn(self.api.patch(f"/api/v1/namespaces/{namespace}/pods/{meta['name']}", {"metadata": {
                "uid": meta["uid"], "ownerReferences": [*meta.get("ownerReferences", []), statefulsets.reference(owner)]}}))
        pods = statefulsets.owned(owner, self.pods.all())
        self._carry_out(statefulsets.decide(owner, pods, datetime.now(timezone.utc)), owner, self.sets, "statefulsets")

    def _carry_out(self, decision: statefulsets.Decision, owner: Manifest, mirror: Mirror, plural: str) -> None:
        namespace, name = owner["metadata"]["namespace"], owner["metadata"]["name"]
        for pod in decision.create:
            node = scheduling.choose(pod, self.nodes, self.pods.all())
            if node is not None:
                pod["spec"]["nodeName"] = node.name
            # Told of at once: the next turn must not make it again.
            try:
                self.pods.learn(self.api.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod))
            except APIError as error:
                if error.status != 409:  # the one before it is still going
                    raise
        for pod in decision.delete:
            body = {"apiVersion": "v1", "kind": "DeleteOptions"}
            try:
                self.api.request("DELETE", f"/api/v1/namespaces/{namespace}/pods/{pod}", body)
            except APIError as error:
                if error.status != 404:
                    raise
        if any(owner.get("status", {}).get(key) != value for key, value in decision.status.items()):
            path = f"/apis/apps/v1/namespaces/{namespace}/{plural}/{name}/status"
            mirror.learn(self.api.patch(path, {"status": decision.status}))
