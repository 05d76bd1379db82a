"""The specification's examples on a cluster, from `kubectl apply` to `kubectl delete`, seen as their user sees them."""

from __future__ import annotations

import ssl

import hosts
from cluster_stage import UPLINKS, ClusterStage, ClusterTest, fresh
from lab.commands import CommandFailed
from lab.network import BACKEND, CLIENT, VPS
from load import SteadyLoad
from product import manifests as m
from product import traffic
from product.fetch import fetch
from product.traffic import HeldConnection, eventually
from samples import EDGE_NAME, high_availability, sample


class ClusterLifecycleTests(ClusterTest):
    """In this order, on one VPS: unittest runs them by name."""

    before: dict[str, set[str]]

    @classmethod
    def make_stage(cls) -> ClusterStage:
        stage = fresh()
        stage.lab.vps.exec(["systemctl", "is-system-running", "--wait"])
        cls.before = hosts.snapshot(stage.lab)
        lab = stage.lab
        cls.clients = lab.another_authority("clients")
        cls.edge = lab.certificates.issue("edge", EDGE_NAME)
        stage.controller().start()
        stage.kubectl.apply(
            stage.ssh_secret("vps-ssh-secret"),
            m.tls_secret("web-tls", cls.edge),
            m.tls_secret("grpc-mtls", cls.edge, ca=cls.clients.root.certificate_text),
            stage.service("my-web", (8080, 8080), backend="10.96.0.20"),
            stage.service("internal-ingress", (443, 443), backend="10.96.0.30", namespace="networking"),
            stage.service("grpc-api", (50051, 50051), backend="10.96.0.40"))
        for name in ("1-one-port.yaml", "2-tcp-and-udp.yaml", "3-tls.yaml"):
            stage.kubectl.apply(*sample(name))
        for name in ("public-web", "public-edge", "public-tls"):
            stage.wait("PortBinding", name, within=120)
        return stage

    def test_01_kubectl_tells_the_state(self) -> None:
        self.stage.wait("EdgeNode", "edge-node")
        shown = self.kubectl("get", "en,pb", "-A")
        line = next(one for one in shown.splitlines() if "edge-node" in one)
        self.assertIn("True", line.split())
        self.assertIn(VPS, line)
        for name, ready in (("public-web", "1/1"), ("public-edge", "2/2"), ("public-tls", "3/3")):
            words = next(one for one in shown.splitlines() if f"/{name} " in one).split()
            self.assertIn("Applied", words)
            self.assertIn(ready, words)
        status = self.stage.status("EdgeNode", "edge-node")
        self.assertEqual({one["type"]: one["status"] for one in status["conditions"]},
                         {name: "True" for name in ("Ready", "Enrolled", "TunnelEstablished", "ConfigSynced")})
        self.assertEqual(status["observedGeneration"], self.stage.get("EdgeNode", "edge-node")["metadata"]["generation"])
        self.assertEqual(status["appliedBindings"], 6)
        self.assertEqual([one["name"] for one in status["uplinks"]], ["edge-node-uplink-0"])
        for field in ("relayPublicKey", "wireGuardKind", "envoyVersion", "agentVersion", "appliedConfigHash"):
            self.assertTrue(status.get(field), field)
        web = self.stage.wait_binding("public-web", "http")
        self.assertEqual((web["address"], web["reason"]), (f"{VPS}:80", "Applied"))
        address = self.stage.get("Service", "my-web")["spec"]["clusterIP"]
        self.assertEqual(web["target"], f"{address}:8080")

    def test_02_traffic(self) -> None:
        lab, authority = self.lab, self.lab.certificates.root.certificate_text
        self.assertEqual(traffic.whoami(lab.client, VPS, 80)["name"], "my-web")
        seen = traffic.whoami(lab.client, VPS, 443)
        self.assertEqual((seen["name"], seen["proxy"]["version"], seen["proxy"]["address"]), ("internal-ingress", 1, CLIENT))
        with traffic.Datagrams(lab.client, VPS, 53) as session:
            self.assertEqual(session.whoami()["name"], "dns")
        passed = traffic.tls(lab.client, VPS, 8443, "one.example.test", authority)
        self.assertEqual((passed.seen["name"], passed.seen["tls"]), ("internal-ingress", True))
        offloaded = traffic.tls(lab.client, VPS, 9443, EDGE_NAME, authority)
        self.assertEqual(offloaded.certificate, ssl.PEM_cert_to_DER_cert(self.edge.certificate_text))
        known = traffic.tls(lab.client, VPS, 9444, EDGE_NAME, authority, certificate=self.clients.issue("known"))
        self.assertEqual(known.seen["name"], "grpc-api")
        with self.assertRaises((ConnectionError, ssl.SSLError)):
            traffic.tls(lab.client, VPS, 9444, EDGE_NAME, authority)
        self.stage.wait_event("PrivateKeyOnEdge", regarding="public-tls")

    def test_03_the_uplinks_objects_are_as_the_design_says(self) -> None:
        labels = {"app.kubernetes.io/name": "uplink", "app.kubernetes.io/instance": "edge-node", "app.kubernetes.io/managed-by": "tidegate"}
        for kind, name in (("StatefulSet", "edge-node-uplink"), ("Service", "edge-node-uplink"), ("ConfigMap", "edge-node-uplink-config"),
                           ("Secret", "edge-node-uplink-keys")):
            found = self.stage.get(kind, name, UPLINKS)
            self.assertIsNotNone(found, f"{kind} {name}")
            self.assertLessEqual(labels.items(), found["metadata"]["labels"].items(), kind)
            self.assertEqual(found["metadata"]["annotations"]["tunnel.achetronic.com/edge-node"], "default/edge-node", kind)
        self.assertEqual(self.stage.get("Service", "edge-node-uplink", UPLINKS)["spec"]["clusterIP"], "None")
        self.assertEqual(self.stage.keys("edge-node"), {"priv-0"})
        self.assertIsNone(self.stage.get("PodDisruptionBudget", "edge-node-uplink", UPLINKS))
        def ready() -> bool:
            """As the kubelet sees it, every five seconds."""
            return "1/1" in self.kubectl("--namespace", UPLINKS, "get", "pods", "-l", "app.kubernetes.io/name=uplink", "-o", "wide")
        eventually(ready, within=15)

    def test_04_every_uplink_leads_to_envoys_figures(self) -> None:
        address = self.stage.get("Pod", "edge-node-uplink-0", UPLINKS)["status"]["podIP"]
        self.assertIn("envoy_cluster_upstream_cx_total", fetch(self.lab.home, address, 40600, "/stats/prometheus").body)
        self.assertEqual(fetch(self.lab.home, address, 40600, "/quitquitquit", method="POST").status, 403)

    def test_05_a_target_service_moves(self) -> None:
        held = HeldConnection(self.lab.client, VPS, 443)
        self.kubectl.apply(m.port_binding("moving", "edge-node", m.tcp_to_service("moving", 7100, "moving", 80)))
        self.stage.wait_binding("moving", "moving", ready=False, reason="TargetNotFound")
        self.kubectl.apply(self.stage.service("moving", (80, 7000), backend=BACKEND))
        eventually(self.answers(7100, "echo"), within=15)
        first = self.stage.wait_binding("moving", "moving")["target"]
        # A Service's address is its own for life: a new one comes with a new Service.
        self.kubectl("delete", "service", "moving")
        self.kubectl.apply(self.stage.service("moving", (80, 7001), backend=BACKEND, address="10.96.40.40"))
        eventually(self.answers(7100, "other"), within=15)
        second = self.stage.wait_binding("moving", "moving")["target"]
        self.assertEqual(second, "10.96.40.40:80")
        self.assertNotEqual(second, first)
        self.kubectl("delete", "portbinding", "moving")
        held.check()
        held.close()

    def test_06_a_certificate_is_rotated(self) -> None:
        authority = self.lab.certificates
        second = authority.issue("edge-2", EDGE_NAME)
        with traffic.secure(self.lab.client.connect(VPS, 9443), EDGE_NAME, authority.root.certificate_text) as old:
            traffic.ask(old)
            self.kubectl.apply(m.tls_secret("web-tls", second))
            def shown() -> bytes:
                return traffic.tls(self.lab.client, VPS, 9443, EDGE_NAME, authority.root.certificate_text, timeout=1).certificate
            eventually(lambda: shown() == ssl.PEM_cert_to_DER_cert(second.certificate_text), within=10)
            self.assertEqual(traffic.ask(old)["name"], "my-web")

    def test_07_bad_manifests_are_refused_with_field_and_rule(self) -> None:
        def binding(**fields) -> dict:
            base = {"name": "x", "protocol": "TCP", "listenPort": 7999, "target": {"address": BACKEND, "port": 80}}
            return m.port_binding("bad", "edge-node", {**base, **fields})
        node = m.edge_node("bad", VPS)
        cases = [
            (binding(listenPort=70000), "listenPort", "65535"),
            (binding(listenPort=40500), "listenPort", "40500"),
            (binding(protocol="SCTP"), "protocol", "UDP"),
            (binding(udp={"sessionTimeout": "5s"}), "spec.bindings[0]", "udp"),
            (binding(target={"address": BACKEND}), "spec.bindings[0].target", "port"),
            (binding(target={"address": BACKEND, "port": 80, "service": {"name": "a", "port": 80}}), "spec.bindings[0].target", "service"),
            (binding(tls={"mode": "offload"}), "spec.bindings[0].tls", "secretRef"),
            (binding(protocol="UDP", tls={"mode": "passthrough"}), "spec.bindings[0]", "tls"),
            ({**node, "spec": {**node["spec"], "tunnel": {"network": "10.200.0.1/24"}}}, "spec.tunnel.network", "host bits"),
            ({**node, "spec": {**node["spec"], "tunnel": {"mtu": 10}}}, "spec.tunnel.mtu", "10"),
            ({**node, "spec": {**node["spec"], "uplink": {"replicas": 254}}}, "spec.uplink.replicas", "253"),
            ({**node, "spec": {**node["spec"], "adress": VPS}}, "spec.adress", "unknown field"),
        ]
        for manifest, field, rule in cases:
            with self.subTest(field=field, rule=rule):
                said = self.kubectl.refusal(manifest)
                self.assertIn(field, said)
                self.assertIn(rule, said)
        with self.assertRaises(CommandFailed) as caught:
            self.kubectl("patch", "edgenode", "edge-node", "--type=merge", "--patch", '{"spec":{"uplink":{"namespace":"other"}}}')
        self.assertIn("spec.uplink.namespace", caught.exception.output)

    def test_08_explain_reads_well(self) -> None:
        shown = self.kubectl("explain", "edgenode.spec.tunnel")
        for word in ("listenPort", "network", "mtu", "persistentKeepalive"):
            self.assertIn(word, shown)

    def test_09_envoy_is_restarted_once_on_request(self) -> None:
        before = self.stage.envoy_pid()
        self.kubectl("annotate", "edgenode", "edge-node", "tunnel.achetronic.com/restart-envoy=true")
        def done() -> bool:
            annotations = self.stage.get("EdgeNode", "edge-node")["metadata"].get("annotations", {})
            return "tunnel.achetronic.com/restart-envoy" not in annotations
        eventually(done, within=20)
        after = self.stage.envoy_pid()
        self.assertNotEqual(after, before)
        self.stage.wait_event("EnvoyRestarted", regarding="edge-node")
        eventually(self.answers(80, "my-web"), within=10)
        # Something else to do for the controller, and Envoy is not restarted again.
        self.kubectl.apply(m.port_binding("later", "edge-node", m.tcp("later", 7101, BACKEND, 7000)))
        eventually(self.answers(7101, "echo"), within=10)
        self.kubectl("delete", "portbinding", "later")
        self.assertEqual(self.stage.envoy_pid(), after)
        self.assertIn("EnvoyRestarted", self.kubectl("describe", "edgenode", "edge-node"))

    def test_10_example_4_rolls_the_uplinks_without_a_gap(self) -> None:
        def rolled() -> bool:
            """Three pods of the new template, all of them ready."""
            status = self.stage.status("StatefulSet", "edge-node-uplink", UPLINKS)
            return status["updatedReplicas"] == status["readyReplicas"] == status["replicas"] == 3 \
                and status["currentRevision"] == status["updateRevision"]
        before = self.stage.status("StatefulSet", "edge-node-uplink", UPLINKS)["updateRevision"]
        with SteadyLoad(self.lab.client, VPS, 80, threads=2) as load:
            self.kubectl.apply(*high_availability())
            eventually(lambda: self.stage.status("StatefulSet", "edge-node-uplink", UPLINKS)["updateRevision"] != before, within=15)
            eventually(rolled, within=120, every=0.5)
            eventually(lambda: len(load.peers) >= 3, within=20)
        self.assertEqual(load.failures, [], f"of {load.requests}")
        pods = self.stage.list("Pod", UPLINKS)
        self.assertEqual({one["spec"]["nodeName"] for one in pods}, {"node1", "node2", "node3"})
        self.assertEqual({one["metadata"]["labels"].get("environment") for one in pods}, {"production"})
        self.assertEqual(pods[0]["spec"]["containers"][0]["resources"]["limits"]["memory"], "512Mi")
        self.assertIsNotNone(self.stage.get("PodDisruptionBudget", "edge-node-uplink", UPLINKS))

    def test_11_delete_leaves_nothing(self) -> None:
        self.kubectl("delete", "edgenode", "edge-node", "--timeout=60s", timeout=90)
        eventually(lambda: not hosts.differences(self.before, hosts.snapshot(self.lab)) or self.differ(), within=60, every=0.5)
        for kind, name in (("StatefulSet", "edge-node-uplink"), ("Service", "edge-node-uplink"), ("ConfigMap", "edge-node-uplink-config"),
                           ("Secret", "edge-node-uplink-keys"), ("PodDisruptionBudget", "edge-node-uplink")):
            self.stage.wait_gone(kind, name, namespace=UPLINKS)
        self.stage.wait_binding("public-web", "http", ready=False, reason="EdgeNodeNotFound")
        for number in range(3):
            self.stage.wait_gone("Pod", f"edge-node-uplink-{number}", namespace=UPLINKS, within=60)

    def differ(self) -> bool:
        raise AssertionError("\n".join(hosts.differences(self.before, hosts.snapshot(self.lab))))

    def test_12_a_vps_that_is_away_holds_up_its_deletion_until_told_otherwise(self) -> None:
        self.kubectl.apply(*[one for one in sample("1-one-port.yaml") if one["kind"] == "EdgeNode"])
        self.stage.wait("EdgeNode", "edge-node", within=120)
        self.lab.vps.cut_power()
        self.kubectl("delete", "edgenode", "edge-node", "--wait=false")
        said = self.stage.wait_event("TeardownFailed", regarding="edge-node", within=60)["note"]
        self.assertIn("tunnel.achetronic.com/skip-deprovision", said)
        self.assertIn("tunnel.achetronic.com/skip-deprovision", self.stage.condition("EdgeNode", "edge-node")["message"])
        self.assertIsNotNone(self.stage.get("StatefulSet", "edge-node-uplink", UPLINKS))
        self.kubectl("annotate", "edgenode", "edge-node", "tunnel.achetronic.com/skip-deprovision=true")
        self.stage.wait_gone("EdgeNode", "edge-node", within=40)
        self.stage.wait_gone("StatefulSet", "edge-node-uplink", namespace=UPLINKS)
        self.stage.wait_gone("Secret", "edge-node-uplink-keys", namespace=UPLINKS)

    def answers(self, port: int, name: str):
        """A new connection to the port reaches the backend of that name."""
        def check() -> bool:
            self.assertEqual(traffic.whoami(self.lab.client, VPS, port, timeout=0.5)["name"], name)
            return True
        return check
