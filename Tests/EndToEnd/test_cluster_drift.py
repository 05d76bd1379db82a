"""What others do to the uplinks' objects is put back at once, and the status tells of their fall within seconds, and of nothing else."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Self

import yaml

from cluster_stage import UPLINKS, ClusterStage, ClusterTest
from lab import paths
from lab.network import BACKEND, VPS
from load import SteadyLoad
from product import manifests as m
from product import traffic
from product.fetch import fetch
from product.traffic import eventually

_PORT = 7300
_OBJECTS = {"EdgeNode": "edgenodes/edge", "PortBinding": "portbindings/drift"}


class Lines:
    """What `kubectl get KIND -w` would print of an object's Ready: each new state with the second it came. `with Lines(...) as lines:`"""

    def __init__(self, stage: ClusterStage, kind: str):
        self.stage, self.kind = stage, kind
        self.path = f"/apis/tunnel.achetronic.com/v1alpha1/namespaces/default/{_OBJECTS[kind]}"
        self.seen: list[tuple[float, str, str]] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(0.02):
            status: dict[str, Any] = (self.stage.api.get(self.path) or {}).get("status") or {}
            ready = next((one for one in status.get("conditions", []) if one["type"] == "Ready"), {})
            line = (f"{ready.get('status')} {ready.get('reason')}", status.get("readyUplinks", ""))
            if not self.seen or self.seen[-1][1:] != line:
                self.seen.append((round(time.monotonic() - self.began, 2), *line))

    def first(self, word: str, after: float = 0) -> float:
        """When a line with that word came first, in seconds."""
        return next((when for when, line, uplinks in self.seen if when >= after and word in f"{line} {uplinks}"), float("inf"))


class ClusterDriftTests(ClusterTest):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.scale(2)
        cls.kubectl.apply(m.port_binding("drift", "edge", m.tcp("drift", _PORT, BACKEND, 7000)))
        eventually(lambda: traffic.whoami(cls.lab.client, VPS, _PORT), within=20)
        eventually(lambda: cls.stage.status("StatefulSet", "edge-uplink", UPLINKS).get("readyReplicas") == 2, within=60)
        eventually(lambda: cls.stage.status("EdgeNode", "edge").get("readyUplinks") == "2/2", within=30)
        cls.stage.wait("PortBinding", "drift")
        time.sleep(3)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.kubectl("delete", "portbinding", "drift")
        cls.scale(1)

    @classmethod
    def scale(cls, replicas: int) -> None:
        cls.kubectl("patch", "edgenode", "edge", "--type=merge", "--patch", f'{{"spec":{{"uplink":{{"replicas":{replicas}}}}}}}')

    def took(self, condition: Callable[[], Any], within: float) -> float:
        began = time.monotonic()
        eventually(condition, within=within, every=0.02)
        return time.monotonic() - began

    def drift(self, words: str) -> None:
        def told() -> bool:
            return any(one["reason"] == "DriftRepaired" and words in one.get("note", "") for one in self.stage.list("Event"))
        eventually(told, within=10)

    def test_1_a_deleted_keys_secret_comes_back_with_its_keys(self) -> None:
        before = self.stage.get("Secret", "edge-uplink-keys", UPLINKS)["data"]
        with SteadyLoad(self.lab.client, VPS, _PORT) as load:
            self.kubectl("--namespace", UPLINKS, "delete", "secret", "edge-uplink-keys")
            took = self.took(lambda: (self.stage.get("Secret", "edge-uplink-keys", UPLINKS) or {}).get("data") == before, within=10)
            time.sleep(5)
        self.assertEqual(load.failures, [], f"of {load.requests}")
        self.drift("Secret tunnel/edge-uplink-keys was deleted")
        self.assertLess(took, 3)
        print(f"the keys are back after {took:.2f} s, 0 of {load.requests} requests lost")

    def test_2_an_edited_object_is_put_back(self) -> None:
        before = self.stage.get("ConfigMap", "edge-uplink-config", UPLINKS)["data"]
        self.kubectl("--namespace", UPLINKS, "patch", "configmap", "edge-uplink-config", "--type=merge", "--patch",
                     '{"data":{"document.json":"{}"}}')
        took = self.took(lambda: self.stage.get("ConfigMap", "edge-uplink-config", UPLINKS)["data"] == before, within=10)
        self.drift("ConfigMap tunnel/edge-uplink-config was changed by kubectl")
        self.assertLess(took, 3)

    def test_3_nothing_is_asked_again_for_our_own_writes(self) -> None:
        """Nor for what others add to an object that is none of ours."""
        self.publish({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "scraper", "namespace": ""},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "tidegate-metrics-reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "scraper", "namespace": "default"}]})
        self.kubectl("--namespace", UPLINKS, "annotate", "service", "edge-uplink", "example.test/note=1")
        time.sleep(3)
        self.asked()
        before = self.asked()
        self.stage.server.control("record")
        time.sleep(30)
        asked = self.asked() - before
        what = Counter(f"{one['verb']} {one['resource']} {one['name']}" for one in self.stage.server.control("records"))
        print(f"{asked} requests in 30 s at rest: {dict(what)}")
        # The tests before had events told, whose last counts are written later.
        asked -= sum(count for words, count in what.items() if words.startswith("patch events "))
        self.assertLessEqual(asked, 18, "the Lease's fifteen, two reviews of who reads this, and little else")
        self.assertEqual(self.stage.get("Service", "edge-uplink", UPLINKS)["metadata"]["annotations"]["example.test/note"], "1")

    def asked(self) -> int:
        """The controller's requests to the API server so far."""
        token = self.stage.server.token("system:serviceaccount:default:scraper")
        read = fetch(self.lab.home, "127.0.0.1", self.stage.controllers[0].metrics_port, "/metrics", tls=True, token=token)
        self.assertEqual(read.status, 200)
        return sum(int(float(line.split()[-1])) for line in read.body.splitlines() if line.startswith("rest_client_requests_total{"))

    def test_4_another_bindings_change_is_its_own(self) -> None:
        with Lines(self.stage, "PortBinding") as binding, Lines(self.stage, "EdgeNode") as node:
            self.publish(m.port_binding("other", "edge", m.tcp("other", _PORT + 1, BACKEND, 7000)))
            self.stage.wait("PortBinding", "other")
            time.sleep(2)
        self.assertEqual([line for _, line, _ in binding.seen], ["True Applied"], binding.seen)
        self.assertEqual([line for _, line, _ in node.seen], ["True Ready"], node.seen)

    def test_5_a_deleted_stateful_set_is_told_and_put_back(self) -> None:
        with Lines(self.stage, "EdgeNode") as node, Lines(self.stage, "PortBinding") as binding:
            uid = self.stage.get("StatefulSet", "edge-uplink", UPLINKS)["metadata"]["uid"]
            self.kubectl("--namespace", UPLINKS, "delete", "statefulset", "edge-uplink", "--wait=false")
            deleted = time.monotonic() - node.began
            back = self.took(lambda: (self.stage.get("StatefulSet", "edge-uplink", UPLINKS) or {"metadata": {"uid": uid}})["metadata"]["uid"] != uid,
                             within=30)
            eventually(lambda: node.first("False") < float("inf"), within=30)
            eventually(lambda: self.stage.status("EdgeNode", "edge").get("readyUplinks") == "2/2", within=90)
            eventually(lambda: traffic.whoami(self.lab.client, VPS, _PORT), within=20)
            self.stage.wait("PortBinding", "drift", within=20)
        print(f"StatefulSet deleted at {deleted:.2f} s, back after {back:.2f} s;\n  node {node.seen}\n  binding {binding.seen}")
        self.drift("StatefulSet tunnel/edge-uplink was deleted")
        self.assertLess(back, 3)
        self.assertLess(node.first("False") - deleted, 5)
        self.assertLess(binding.first("False") - deleted, 5)
        self.assertEqual(self.flaps(node), [])
        self.assertEqual(self.flaps(binding), [])

    def flaps(self, lines: Lines) -> list[str]:
        """Each change of Ready beyond down and up again."""
        words = [line.split()[0] for _, line, _ in lines.seen]
        changes = [word for number, word in enumerate(words) if number == 0 or words[number - 1] != word]
        return changes[3:]

    def test_6_rights_that_come_back_are_noticed_soon(self) -> None:
        role = next(one for one in yaml.safe_load_all((paths.REPOSITORY / "deploy/kubernetes/base/uplink-role.yaml").read_text())
                    if one["kind"] == "Role")
        self.addCleanup(lambda: self.kubectl.apply(role))
        self.kubectl("--namespace", UPLINKS, "delete", "role", "tidegate-uplinks")
        self.publish(m.port_binding("granted", "edge", m.tcp("granted", _PORT + 2, BACKEND, 7000)))
        told = self.stage.wait("EdgeNode", "edge", status="False", reason="Forbidden", within=20)
        self.assertIn("tried again within", told["message"])
        time.sleep(12)
        self.assertEqual(self.stage.condition("PortBinding", "drift")["status"], "True", "it is served as before")
        self.kubectl.apply(role)
        took = self.took(lambda: self.stage.condition("EdgeNode", "edge").get("status") == "True", within=30)
        self.assertLess(took, 10)
        eventually(lambda: traffic.whoami(self.lab.client, VPS, _PORT + 2), within=20)

    def test_7_a_target_that_answers_is_told_soon(self) -> None:
        self.publish(m.port_binding("late", "edge", m.tcp("late", _PORT + 3, BACKEND, 7999)))
        self.stage.wait("PortBinding", "late", status="False", reason="TargetUnreachable", within=20)
        time.sleep(6)
        server = self.lab.backend.start(["/usr/bin/python3", "-m", "http.server", "7999"])
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        eventually(lambda: self.answers(_PORT + 3), within=10)
        took = self.took(lambda: self.stage.condition("PortBinding", "late").get("status") == "True", within=60)
        print(f"Ready {took:.2f} s after the first byte")
        self.assertLess(took, 12)

    def answers(self, port: int) -> bool:
        with self.lab.client.connect(VPS, port, timeout=2) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return connection.recv(1) == b"H"
