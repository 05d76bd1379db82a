"""What cannot be done is said where it belongs; and what the controller says of itself."""

from __future__ import annotations

import json
import time

import yaml

from cluster_stage import UPLINKS, ClusterTest
from lab import paths
from lab.network import BACKEND, VPS
from product import manifests as m
from product import traffic
from product.fetch import Fetched, fetch
from product.traffic import eventually


class ClusterRefusalTests(ClusterTest):
    def test_one_bad_binding_holds_up_no_other(self) -> None:
        self.publish(m.port_binding("older", "edge", m.tcp("older", 7600, BACKEND, 7000)))
        self.stage.wait_binding("older", "older")
        # The API server tells the time of creation in seconds, and of two that are equally old the first by name has the port.
        time.sleep(1)
        self.publish(m.port_binding(
            "mixed", "edge",
            m.tcp("good", 7601, BACKEND, 7000),
            m.tcp("wanted-twice", 7600, BACKEND, 7001),
            m.tcp("taken", 22, BACKEND, 7000),
            m.tcp_to_service("no-service", 7602, "no-such-service", 80),
            m.tcp("no-secret", 7603, BACKEND, 7000, tls=m.offload("no-such-secret")),
            m.tcp("no-answer", 7604, BACKEND, 7999)))
        self.publish(m.port_binding("lonely", "no-such-node", m.tcp("lonely", 7605, BACKEND, 7000)))
        eventually(lambda: traffic.whoami(self.lab.client, VPS, 7601), within=20)
        self.stage.wait_binding("mixed", "good", reason="Applied")
        for binding, reason, word in (
                ("wanted-twice", "PortConflict", "older"), ("taken", "PortInUse", "sshd"), ("no-service", "TargetNotFound", "no-such-service"),
                ("no-secret", "TLSSecretIncomplete", "no-such-secret"), ("no-answer", "TargetUnreachable", "7999")):
            with self.subTest(binding):
                self.assertIn(word, self.stage.wait_binding("mixed", binding, ready=False, reason=reason)["message"])
        self.stage.wait_binding("lonely", "lonely", ready=False, reason="EdgeNodeNotFound")
        self.stage.wait("PortBinding", "mixed", "Ready", "False")
        self.assertEqual(traffic.whoami(self.lab.client, VPS, 7600)["name"], "echo")

    def test_the_end_of_the_kept_connection_leads_to_a_look(self) -> None:
        def logins() -> int:
            return self.lab.vps.exec(["journalctl", "--unit=ssh", "--no-pager", "--output=cat"]).count("Accepted publickey")
        # What the tests before withdrew leads to looks too, each a second after the last.
        time.sleep(5)
        before, began = logins(), time.monotonic()
        self.lab.vps.exec(["pkill", "-f", "^sshd: root"])
        eventually(lambda: logins() > before, within=20)
        self.assertGreater(time.monotonic() - began, 3, "something else led to it")

    def test_an_uplink_says_itself_what_holds_it_up(self) -> None:
        """Its pod's network lies in the tunnel's: no handshake, and no firewall is to blame."""
        def network(value: str) -> None:
            self.stage.kubectl("patch", "edgenode", "edge", "--type=merge", "--patch", json.dumps({"spec": {"tunnel": {"network": value}}}))
        network("10.244.0.0/16")
        try:
            def told() -> bool:
                said = self.stage.condition("EdgeNode", "edge")
                self.assertEqual(said["status"], "False", said)
                self.assertRegex(said["message"], r"uplink 0: the tunnel's network 10\.244\.0\.\d+/16 overlaps 10\.244\..*set spec\.tunnel\.network")
                return True
            eventually(told, within=60)
        finally:
            network("10.200.0.0/24")
        self.stage.wait("EdgeNode", "edge", within=90)

    def test_a_service_and_a_secret_that_come_later(self) -> None:
        self.publish(m.port_binding("later", "edge", m.tcp_to_service("later", 7610, "later", 80)))
        self.stage.wait_binding("later", "later", ready=False, reason="TargetNotFound")
        self.publish(self.stage.service("later", (80, 7001), backend=BACKEND))
        eventually(lambda: traffic.whoami(self.lab.client, VPS, 7610)["name"] == "other", within=15)

    def test_the_second_edge_node_of_a_name_has_uplinks_of_its_own(self) -> None:
        objects = [(kind, name, self.stage.get(kind, name, UPLINKS)["metadata"]["uid"]) for kind, name in (
            ("StatefulSet", "edge-uplink"), ("ConfigMap", "edge-uplink-config"), ("Secret", "edge-uplink-keys"), ("Service", "edge-uplink"))]
        sets = {one["metadata"]["name"] for one in self.stage.list("StatefulSet", UPLINKS)}
        # The VPS has an owner already, which is another matter.
        self.publish(self.stage.ssh_secret(namespace="networking"), m.edge_node("edge", VPS, namespace="networking"))
        self.stage.wait("EdgeNode", "edge", "Ready", "False", reason="ForeignOwner", namespace="networking", within=30)
        secrets = [one["metadata"] for one in self.stage.list("Secret", UPLINKS)]
        own = [one["name"] for one in secrets if one.get("annotations", {}).get("tunnel.achetronic.com/edge-node") == "networking/edge"]
        self.assertEqual(len(own), 1)
        self.assertRegex(own[0], "^edge-[0-9a-f]{12}-uplinks-keys$")
        self.kubectl("annotate", "edgenode", "edge", "--namespace", "networking", "tunnel.achetronic.com/skip-deprovision=true")
        self.kubectl("delete", "edgenode", "edge", "--namespace", "networking", "--timeout=30s")
        for kind, name, uid in objects:
            self.assertEqual(self.stage.get(kind, name, UPLINKS)["metadata"]["uid"], uid, f"{kind} {name} is the one it was")
        self.assertEqual({one["metadata"]["name"] for one in self.stage.list("StatefulSet", UPLINKS)}, sets)
        self.stage.wait_gone("Secret", own[0], namespace=UPLINKS, within=10)
        self.stage.wait("EdgeNode", "edge")

    def test_an_edge_node_without_its_secret_says_so(self) -> None:
        self.publish(m.edge_node("secretless", "198.18.1.99", secret="no-such-secret"))
        said = self.stage.wait("EdgeNode", "secretless", "Ready", "False", reason="SSHSecretMissing")
        self.assertIn("default/no-such-secret", said["message"])
        self.assertIn("SSHSecretMissing", self.kubectl("get", "edgenode", "secretless"))
        self.kubectl("annotate", "edgenode", "secretless", "tunnel.achetronic.com/skip-deprovision=true")


class ClusterDeletionTests(ClusterTest):
    """An EdgeNode whose VPS is another's, so that its uplinks' objects are all there is to remove: they are in `elsewhere`."""

    def setUp(self) -> None:
        self.publish({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "elsewhere", "namespace": ""}})
        role = [one for one in yaml.safe_load_all((paths.REPOSITORY / "deploy/kubernetes/base/uplink-role.yaml").read_text())]
        for one in role:
            one["metadata"]["namespace"] = "elsewhere"
        self.publish(*role)
        self.addCleanup(lambda: self.stage.wait_gone("EdgeNode", "stuck"))
        self.publish(m.edge_node("stuck", VPS, uplink={"namespace": "elsewhere"}),
                     m.port_binding("stuck", "stuck", m.tcp("stuck", 7620, BACKEND, 7000)))
        self.addCleanup(self.skip)
        self.stage.wait("EdgeNode", "stuck", "Ready", "False", reason="ForeignOwner")
        self.assertIsNotNone(self.stage.get("Secret", "stuck-uplink-keys", "elsewhere"))

    def skip(self) -> None:
        if self.stage.get("EdgeNode", "stuck") is not None:
            self.kubectl("annotate", "--overwrite", "edgenode", "stuck", "tunnel.achetronic.com/skip-deprovision=true")

    def test_rights_that_are_gone_are_told_and_can_be_skipped(self) -> None:
        self.kubectl("delete", "rolebinding", "tidegate-uplinks", "--namespace", "elsewhere")
        self.kubectl("delete", "edgenode", "stuck", "--wait=false")
        said = self.stage.wait("EdgeNode", "stuck", "Ready", "False", reason="Forbidden", within=10)["message"]
        for word in ("stuck-uplink", "grant it by RBAC", "tunnel.achetronic.com/skip-deprovision=true"):
            self.assertIn(word, said)
        self.stage.wait_event("TeardownFailed", regarding="stuck")
        self.stage.wait_binding("stuck", "stuck", ready=False, reason="EdgeNodeNotFound")
        self.skip()
        self.stage.wait_gone("EdgeNode", "stuck", within=10)
        self.assertIn("stuck-uplink-keys", self.stage.wait_event("LeftBehind", regarding="stuck")["note"])
        self.kubectl("delete", "secret", "stuck-uplink-keys", "--namespace", "elsewhere")

    def test_rights_that_come_back_end_it(self) -> None:
        self.kubectl("delete", "rolebinding", "tidegate-uplinks", "--namespace", "elsewhere")
        binding = next(one for one in yaml.safe_load_all((paths.REPOSITORY / "deploy/kubernetes/base/uplink-role.yaml").read_text())
                       if one["kind"] == "RoleBinding")
        binding["metadata"]["namespace"] = "elsewhere"
        self.kubectl("delete", "edgenode", "stuck", "--wait=false")
        self.stage.wait("EdgeNode", "stuck", "Ready", "False", reason="Forbidden", within=10)
        self.kubectl.apply(binding)
        self.stage.wait_gone("EdgeNode", "stuck", within=10)
        self.assertIsNone(self.stage.get("Secret", "stuck-uplink-keys", "elsewhere"))

    def test_a_namespace_that_is_gone_holds_up_nothing(self) -> None:
        # As the README says of uplinks elsewhere.
        self.kubectl("patch", "clusterrole", "tidegate-controller", "--type=json",
                     "--patch", '[{"op": "add", "path": "/rules/0/resourceNames/-", "value": "elsewhere"}]')
        self.kubectl("delete", "rolebinding", "tidegate-uplinks", "--namespace", "elsewhere")
        self.kubectl("delete", "secret", "stuck-uplink-keys", "--namespace", "elsewhere")
        self.kubectl("delete", "namespace", "elsewhere", "--wait=false")
        self.kubectl("delete", "edgenode", "stuck", "--timeout=15s")


class ClusterServingTests(ClusterTest):
    def setUp(self) -> None:
        self.controller = self.stage.controllers[0]

    def ask(self, path: str, *, token: str | None = None) -> Fetched:
        """A GET at the metrics address."""
        return fetch(self.lab.home, "127.0.0.1", self.controller.metrics_port, path, tls=True, token=token)

    def test_probes(self) -> None:
        for path in ("/healthz", "/readyz"):
            self.assertEqual(fetch(self.lab.home, "127.0.0.1", self.controller.health_port, path), Fetched(200, "ok"))
        verbose = fetch(self.lab.home, "127.0.0.1", self.controller.health_port, "/readyz?verbose")
        self.assertIn("[+]informers ok", verbose.body)

    def test_metrics_are_for_those_whom_the_cluster_lets_read_them(self) -> None:
        self.publish({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "scraper", "namespace": ""},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "tidegate-metrics-reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "scraper", "namespace": "default"}]})
        self.assertEqual(self.ask("/metrics").status, 401)
        self.assertEqual(self.ask("/metrics", token="no-such-token").status, 401)
        late = self.stage.server.token("system:serviceaccount:default:late")
        self.assertEqual(self.ask("/metrics", token=late).status, 403)
        read = self.ask("/metrics", token=self.stage.server.token("system:serviceaccount:default:scraper"))
        self.assertEqual(read.status, 200)
        for line in ('leader_election_master_status{name="tidegate.tunnel.achetronic.com"} 1', "workqueue_depth{", "rest_client_requests_total{",
                     'controller_runtime_reconcile_total{controller="edgenode",result="success"}',
                     'tidegate_edge_node_reachable{edge_node_namespace="default",edge_node="edge"} 1', "tidegate_edge_node_wireguard_info{",
                     "tidegate_edge_node_uplink_handshake_age_seconds{", "process_resident_memory_bytes"):
            self.assertIn(line, read.body)
        # What is granted now is so at the next try.
        self.publish({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "late", "namespace": ""},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "tidegate-metrics-reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "late", "namespace": "default"}]})
        eventually(lambda: self.ask("/metrics", token=late).status == 200 or self.fail("still refused"), within=3)

    def test_metrics_while_nobody_can_be_asked(self) -> None:
        stranger = self.stage.server.token("system:serviceaccount:default:stranger")
        self.stage.server.answer(503, verb="create", resource="tokenreviews|subjectaccessreviews", times=20)
        self.addCleanup(self.stage.server.clear_faults)
        said = self.ask("/metrics", token=stranger)
        self.assertEqual(said.status, 503)
        self.assertIn("the API server cannot be asked", said.body)
