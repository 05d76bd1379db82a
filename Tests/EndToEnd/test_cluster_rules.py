"""The emulated cluster's own rules: what Kubernetes does with a StatefulSet, as far as the lab plays it."""

from __future__ import annotations

import os
import tempfile
import unittest
from datetime import datetime, timedelta, timezone
from pathlib import Path
from unittest import mock

from cluster import kubelet, proxy, scheduling, statefulsets, volumes
from cluster.container import capabilities, expanded
from cluster.nodes import Endpoint, Node
from lab.namespaces import Namespace

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)


def owner(replicas: int, *, image: str = "one", **spec) -> dict:
    return {
        "metadata": {"name": "web", "namespace": "here", "uid": "u", "generation": 3},
        "spec": {"replicas": replicas, "podManagementPolicy": "Parallel", "serviceName": "web",
                 "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"image": image}]}}, **spec},
    }


def pods(of: dict, *ordinals: int, ready: bool = True, since: datetime = NOW) -> list[dict]:
    made = []
    for number in ordinals:
        pod = statefulsets.make_pod(of, number, statefulsets.revision(of))
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": since.strftime("%Y-%m-%dT%H:%M:%SZ")}
        made.append({**pod, "status": {"phase": "Running", "conditions": [condition]}})
    return made


def terminating(pod: dict) -> dict:
    return {**pod, "metadata": {**pod["metadata"], "deletionTimestamp": "2026-11-21T12:00:00Z"}}


class StatefulSetRules(unittest.TestCase):
    def decide(self, of: dict, existing: list[dict]) -> statefulsets.Decision:
        return statefulsets.decide(of, existing, NOW)

    def test_all_missing_pods_are_made_at_once(self) -> None:
        made = self.decide(owner(3), pods(owner(3), 1)).create
        self.assertEqual([pod["metadata"]["name"] for pod in made], ["web-0", "web-2"])
        self.assertEqual(made[1]["metadata"]["labels"]["apps.kubernetes.io/pod-index"], "2")
        self.assertEqual(made[1]["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"], "web-2")
        self.assertEqual(made[1]["metadata"]["ownerReferences"][0]["uid"], "u")

    def test_the_highest_go_first_on_scale_down(self) -> None:
        self.assertEqual(self.decide(owner(1), pods(owner(3), 0, 1, 2)).delete, ["web-2", "web-1"])

    def test_a_pod_that_goes_is_left_alone(self) -> None:
        zero, one = pods(owner(2), 0, 1)
        decision = self.decide(owner(1), [zero, terminating(one)])
        self.assertEqual((decision.create, decision.delete), ([], []))
        self.assertEqual(decision.status["replicas"], 2)

    def test_a_changed_template_rolls_from_the_highest_one_at_a_time(self) -> None:
        before, after = owner(3), owner(3, image="two")
        old, new = pods(before, 0, 1, 2), pods(after, 0, 1, 2)
        self.assertEqual(self.decide(after, old).delete, ["web-2"])
        self.assertEqual(self.decide(after, [old[0], old[1], terminating(old[2])]).delete, [])
        self.assertEqual(self.decide(after, [old[0], old[1], pods(after, 2, ready=False)[0]]).delete, [])
        self.assertEqual(self.decide(after, [old[0], old[1], new[2]]).delete, ["web-1"])
        done = self.decide({**after, "status": {"currentRevision": statefulsets.revision(before)}}, new)
        self.assertEqual((done.delete, done.status["currentRevision"]), ([], statefulsets.revision(after)))

    def test_min_ready_seconds_hold_the_roll_up(self) -> None:
        before, after = owner(2, minReadySeconds=10), owner(2, image="two", minReadySeconds=10)
        old = pods(before, 0, since=NOW - timedelta(minutes=1))
        self.assertEqual(self.decide(after, old + pods(after, 1, since=NOW - timedelta(seconds=9))).delete, [])
        self.assertEqual(self.decide(after, old + pods(after, 1, since=NOW - timedelta(seconds=10))).delete, ["web-0"])


class SchedulingRules(unittest.TestCase):
    def setUp(self) -> None:
        self.nodes = [Node(number, Namespace("rules", f"node{number}"), {"number": str(number)}) for number in (1, 2)]
        self.term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}

    def choose(self, others: list[str], **spec) -> str | None:
        made = [{"metadata": {"namespace": "here", "labels": {"app": "web"}}, "spec": {"nodeName": name}} for name in others]
        pod = {"metadata": {"namespace": "here", "labels": {"app": "web"}}, "spec": spec}
        node = scheduling.choose(pod, self.nodes, made)
        return node.name if node else None

    def test_selector(self) -> None:
        self.assertEqual(self.choose([], nodeSelector={"number": "2"}), "node2")
        self.assertIsNone(self.choose([], nodeSelector={"number": "3"}))

    def test_anti_affinity(self) -> None:
        preferred = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": self.term}]}}
        required = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [self.term]}}
        self.assertEqual(self.choose(["node1"], affinity=preferred), "node2")
        self.assertIsNotNone(self.choose(["node1", "node2"], affinity=preferred))
        self.assertIsNone(self.choose(["node1", "node2"], affinity=required))


class KubeletRules(unittest.TestCase):
    """A worker for each pod, seen by what it is told of."""

    def setUp(self) -> None:
        self.pod = {"metadata": {"namespace": "here", "name": "web-0", "uid": "a"}, "spec": {"nodeName": "node1"}}
        self.known: dict = {}
        self.kubelets = kubelet.Kubelets(mock.Mock(), mock.Mock(), [Node(1, Namespace("none", "node1"), {})])
        self.kubelets.pods = self.known  # type: ignore[assignment]
        patched = mock.patch.object(kubelet, "PodWorker", side_effect=lambda lab, api, node, pod, *_: mock.Mock(pod=pod))
        self.begun = patched.start()
        self.addCleanup(patched.stop)

    def tell(self, pod: dict | None) -> None:
        key = ("here", "web-0")
        self.known[key] = pod
        self.kubelets.changed(key)

    def workers(self) -> list[mock.Mock]:
        return list(self.kubelets._workers.values())

    def test_a_pod_has_one_worker_which_hears_what_is_new(self) -> None:
        self.tell(self.pod)
        self.tell({**self.pod, "status": {}})
        self.assertEqual(self.begun.call_count, 1)
        self.workers()[0].observe.assert_called_once_with({**self.pod, "status": {}})

    def test_late_news_of_a_pod_that_has_ended_begins_nothing(self) -> None:
        self.tell(self.pod)
        self.kubelets._ended(self.workers()[0])
        self.tell({**self.pod, "status": {}})
        self.assertEqual(self.begun.call_count, 1)
        self.tell(None)
        self.tell({**self.pod, "metadata": {**self.pod["metadata"], "uid": "b"}})
        self.assertEqual(self.begun.call_count, 2)

    def test_the_worker_of_a_pod_that_is_another_now_is_told_that_it_is_gone(self) -> None:
        self.tell(self.pod)
        former = self.workers()[0]
        self.tell({**self.pod, "metadata": {**self.pod["metadata"], "uid": "b"}})
        former.observe.assert_called_once_with(None)
        self.assertEqual(self.begun.call_count, 2)


class VolumeRules(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory())) / "volume"

    def test_files_change_as_one_behind_a_link(self) -> None:
        self.assertTrue(volumes.write(self.folder, {"a": (b"1", 0o400), "b": (b"1", 0o400)}, None))
        first = os.readlink(self.folder / "..data")
        self.assertFalse(volumes.write(self.folder, {"a": (b"1", 0o400), "b": (b"1", 0o400)}, None))
        self.assertTrue(volumes.write(self.folder, {"a": (b"2", 0o400), "c": (b"2", 0o400)}, None))
        self.assertNotEqual(os.readlink(self.folder / "..data"), first)
        self.assertEqual(os.readlink(self.folder / "a"), "..data/a")
        self.assertEqual((self.folder / "a").read_bytes(), b"2")
        self.assertEqual((self.folder / "c").stat().st_mode & 0o777, 0o400)
        self.assertFalse((self.folder / "b").is_symlink())
        self.assertFalse((self.folder / first).exists())

    def test_a_missing_secret_is_waited_for(self) -> None:
        pod = {"metadata": {"name": "p"}, "spec": {"volumes": [{"name": "v", "secret": {"secretName": "keys"}}]}}
        with self.assertRaisesRegex(volumes.NotReady, 'secret "keys" not found'):
            volumes.place(pod, self.folder, lambda kind, name: None)


class ContainerRules(unittest.TestCase):
    def test_capabilities(self) -> None:
        self.assertEqual(capabilities({"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}), ["NET_ADMIN"])
        self.assertIn("MKNOD", capabilities({}))
        self.assertNotIn("NET_ADMIN", capabilities({}))

    def test_references_in_arguments(self) -> None:
        self.assertEqual(expanded("$(A)-$$(A)-$(B)", {"A": "1"}), "1-$(A)-$(B)")


class ProxyRules(unittest.TestCase):
    def test_ports_lead_to_the_backend_that_the_annotation_names(self) -> None:
        service = {"metadata": {"annotations": {proxy.BACKEND: "192.168.77.20"}},
                   "spec": {"clusterIP": "10.96.1.1", "ports": [{"port": 80, "targetPort": 7000}, {"port": 53, "protocol": "UDP"}]}}
        silent = {"metadata": {}, "spec": {"clusterIP": "10.96.1.2", "ports": [{"port": 80}]}}
        self.assertEqual(proxy.endpoints([service, silent], []), {
            Endpoint("tcp", "10.96.1.1", 80): Endpoint("tcp", "192.168.77.20", 7000),
            Endpoint("udp", "10.96.1.1", 53): Endpoint("udp", "192.168.77.20", 53)})

    def test_ports_lead_to_a_ready_pod_that_the_selector_means(self) -> None:
        service = {"metadata": {"namespace": "a"},
                   "spec": {"clusterIP": "10.96.1.3", "selector": {"app": "x"}, "ports": [{"port": 80, "targetPort": 8080}]}}

        def pod(name: str, address: str, namespace: str = "a", ready: str = "True", app: str = "x") -> dict:
            return {"metadata": {"name": name, "namespace": namespace, "labels": {"app": app}},
                    "status": {"phase": "Running", "podIP": address, "conditions": [{"type": "Ready", "status": ready}]}}

        others = [pod("a", "10.244.0.1", namespace="b"), pod("b", "10.244.0.2", ready="False"), pod("c", "10.244.0.3", app="y")]
        self.assertEqual(proxy.endpoints([service], others), {})
        self.assertEqual(proxy.endpoints([service], [*others, pod("d", "10.244.0.4")]),
                         {Endpoint("tcp", "10.96.1.3", 80): Endpoint("tcp", "10.244.0.4", 8080)})
