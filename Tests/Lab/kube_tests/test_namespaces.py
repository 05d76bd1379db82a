"""Namespaces that are deleted: with what is in them, waiting for finalizers and kubelets, closed for what is new."""

from __future__ import annotations

import time
from typing import Any, Callable

from kube.double import ask
from kube_tests.standin import GROUP, WithServer, edge_node
from kube_tests.test_objects import pod, stateful_set


class Deletions(WithServer):
    def eventually(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + 5
        while not holds():
            self.assertLess(time.monotonic(), end, "it did not come to that")
            time.sleep(0.01)

    def gone(self, path: str) -> Callable[[], bool]:
        return lambda: ask(self.server, "GET", path)[0] == 404


class Namespaces(Deletions):
    def namespace(self, name: str) -> str:
        self.made("/api/v1/namespaces", {"metadata": {"name": name}})
        return f"/api/v1/namespaces/{name}"

    def conditions(self, path: str) -> dict[str, dict[str, Any]]:
        return {one["type"]: one for one in self.asked("GET", path)["status"].get("conditions") or []}

    def test_it_goes_with_its_content(self) -> None:
        place = self.namespace("full")
        self.made(f"{place}/configmaps", {"metadata": {"name": "c"}, "data": {"a": "b"}})
        self.made("/apis/apps/v1/namespaces/full/statefulsets", stateful_set("s"))
        self.made(f"{place}/pods", pod("unscheduled"))
        said = self.asked("DELETE", place)
        self.assertEqual((said["kind"], said["status"]["phase"]), ("Namespace", "Terminating"))
        self.eventually(self.gone(place))
        for path in (f"{place}/configmaps/c", "/apis/apps/v1/namespaces/full/statefulsets/s", f"{place}/pods/unscheduled", f"{place}/serviceaccounts/default"):
            self.asked("GET", path, code=404)
        self.namespace("full")
        self.assertEqual([one["metadata"]["name"] for one in self.asked("GET", f"{place}/configmaps")["items"]], [])

    def test_it_waits_for_finalizers_and_says_so(self) -> None:
        place = self.namespace("held")
        nodes = f"/apis/{GROUP}/v1alpha1/namespaces/held/edgenodes"
        self.made(nodes, {**edge_node("n"), "metadata": {"name": "n", "finalizers": ["x.example.test/f"]}})
        self.asked("DELETE", place)
        self.eventually(lambda: "NamespaceFinalizersRemaining" in self.conditions(place))
        said = self.conditions(place)
        self.assertEqual(said["NamespaceContentRemaining"]["message"],
                         f"Some resources are remaining: edgenodes.{GROUP} has 1 resource instances")
        self.assertEqual(said["NamespaceFinalizersRemaining"]["message"],
                         "Some content in the namespace has finalizers remaining: x.example.test/f in 1 resource instances")
        self.assertTrue(self.asked("GET", f"{nodes}/n")["metadata"]["deletionTimestamp"])
        self.asked("PATCH", f"{nodes}/n", {"metadata": {"finalizers": None}}, type="application/merge-patch+json")
        self.eventually(self.gone(place))

    def test_it_waits_for_the_kubelet(self) -> None:
        place = self.namespace("running")
        self.made(f"{place}/pods", pod("p", nodeName="node1", terminationGracePeriodSeconds=40))
        self.asked("DELETE", place)
        self.eventually(lambda: bool(self.asked("GET", f"{place}/pods/p")["metadata"].get("deletionTimestamp")))
        self.assertEqual(self.asked("GET", f"{place}/pods/p")["metadata"]["deletionGracePeriodSeconds"], 40)
        self.asked("GET", place)
        self.asked("DELETE", f"{place}/pods/p", {"gracePeriodSeconds": 0})
        self.eventually(self.gone(place))

    def test_nothing_new_comes_into_one_that_ends(self) -> None:
        place = self.namespace("closed")
        self.made(f"{place}/configmaps", {"metadata": {"name": "c", "finalizers": ["x.example.test/f"]}})
        self.asked("DELETE", place)
        said = self.asked("POST", f"{place}/secrets", {"metadata": {"name": "s"}}, code=403)
        self.assertEqual(said["message"], 'secrets "s" is forbidden: unable to create new content in namespace closed because it is being terminated')
        self.assertEqual(said["details"], {"name": "s", "kind": "secrets", "causes": [{
            "reason": "NamespaceTerminating", "message": "namespace closed is being terminated", "field": "metadata.namespace"}]})
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "t"}}
        self.applied(f"{place}/secrets/t", body, code=403)
        # What is there may still change, as a controller's last words need it.
        self.asked("PATCH", f"{place}/configmaps/c", {"data": {"a": "b"}}, type="application/merge-patch+json")
        self.asked("PATCH", f"{place}/configmaps/c", {"metadata": {"finalizers": None}}, type="application/merge-patch+json")
        self.eventually(self.gone(place))

    def test_some_may_not_be_deleted(self) -> None:
        for name in ("default", "kube-system", "kube-public"):
            said = self.asked("DELETE", f"/api/v1/namespaces/{name}", code=403)
            self.assertEqual(said["message"], f'namespaces "{name}" is forbidden: this namespace may not be deleted')


class Cascades(Deletions):
    """What becomes of a StatefulSet's pods."""

    def begun(self, name: str, **options: Any) -> str:
        sets = "/apis/apps/v1/namespaces/rec/statefulsets"
        made = self.made(sets, stateful_set(name))
        reference = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name, "uid": made["metadata"]["uid"], "controller": True}
        of = pod(f"{name}-0", nodeName="node1")
        of["metadata"]["ownerReferences"] = [reference]
        self.made("/api/v1/namespaces/rec/pods", of)
        self.asked("DELETE", f"{sets}/{name}", options)
        return f"{sets}/{name}"

    def pod_of(self, name: str) -> dict[str, Any]:
        return self.asked("GET", f"/api/v1/namespaces/rec/pods/{name}-0")["metadata"]

    def test_in_the_background_the_owner_goes_first(self) -> None:
        path = self.begun("bg")
        self.asked("GET", path, code=404)
        self.eventually(lambda: "deletionTimestamp" in self.pod_of("bg"))

    def test_in_the_foreground_it_goes_last(self) -> None:
        path = self.begun("fg", propagationPolicy="Foreground")
        self.eventually(lambda: "deletionTimestamp" in self.pod_of("fg"))
        self.assertEqual(self.asked("GET", path)["metadata"]["finalizers"], ["foregroundDeletion"])
        self.asked("DELETE", "/api/v1/namespaces/rec/pods/fg-0", {"gracePeriodSeconds": 0})
        self.eventually(self.gone(path))

    def test_orphans_stay(self) -> None:
        path = self.begun("orphans", propagationPolicy="Orphan")
        self.eventually(self.gone(path))
        self.assertNotIn("ownerReferences", self.pod_of("orphans"))
        self.assertNotIn("deletionTimestamp", self.pod_of("orphans"))
