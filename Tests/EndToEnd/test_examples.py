"""The specification's examples, as they stand in deploy/samples but for addresses, Services and Secrets."""

from __future__ import annotations

import collections
import ssl

from lab.network import CLIENT, VPS
from product import manifests as m
from product import traffic
from product.traffic import eventually
from product.uplinks import RemoteUplink, UplinkFiles
from samples import EDGE_NAME, high_availability, sample
from stage import EndToEnd, Stage, fresh


class Examples(EndToEnd):
    """What the examples refer to: the SSH Secret, the TLS Secrets, the Services."""

    @classmethod
    def write_what_they_refer_to(cls, stage: Stage) -> None:
        lab = stage.lab
        cls.clients = lab.another_authority("clients")
        cls.edge = lab.certificates.issue("edge", EDGE_NAME)
        stage.standalone.write(
            "referred.yaml",
            m.ssh_secret("vps-ssh-secret", privateKey=lab.operator_key.private_text, knownHosts=lab.known_hosts()),
            m.tls_secret("web-tls", cls.edge),
            m.tls_secret("grpc-mtls", cls.edge, ca=cls.clients.root.certificate_text),
            m.service("my-web", "10.96.0.20", 8080),
            m.service("internal-ingress", "10.96.0.30", 443, namespace="networking"),
            m.service("grpc-api", "10.96.0.40", 50051))

    def assert_example_1(self) -> None:
        self.assertEqual(traffic.whoami(self.lab.client, VPS, 80)["name"], "my-web")


class OneUplinkExampleTests(Examples):
    """Examples 1, 2 and 3 together, on one VPS."""

    @classmethod
    def make_stage(cls) -> Stage:
        stage = fresh()
        cls.write_what_they_refer_to(stage)
        for name in ("1-one-port.yaml", "2-tcp-and-udp.yaml", "3-tls.yaml"):
            stage.standalone.write(name, *sample(name))
        stage.standalone.start()
        for name in ("public-web", "public-edge", "public-tls"):
            stage.standalone.wait("PortBinding", name, within=120)
        return stage

    def test_example_1(self) -> None:
        self.assert_example_1()

    def test_example_2(self) -> None:
        seen = traffic.whoami(self.lab.client, VPS, 443)
        self.assertEqual((seen["name"], seen["proxy"]["version"], seen["proxy"]["address"]), ("internal-ingress", 1, CLIENT))
        with traffic.Datagrams(self.lab.client, VPS, 53) as session:
            self.assertEqual(session.whoami()["name"], "dns")

    def test_example_3(self) -> None:
        authority = self.lab.certificates.root.certificate_text
        passed = traffic.tls(self.lab.client, VPS, 8443, "one.example.test", authority)
        self.assertEqual((passed.seen["name"], passed.seen["tls"]), ("internal-ingress", True))
        offloaded = traffic.tls(self.lab.client, VPS, 9443, EDGE_NAME, authority)
        self.assertEqual(offloaded.certificate, ssl.PEM_cert_to_DER_cert(self.edge.certificate_text))
        self.assertEqual((offloaded.seen["name"], offloaded.seen["tls"]), ("my-web", False))
        known = traffic.tls(self.lab.client, VPS, 9444, EDGE_NAME, authority, certificate=self.clients.issue("known"))
        self.assertEqual(known.seen["name"], "grpc-api")
        self.assert_refused(traffic.tls, self.lab.client, VPS, 9444, EDGE_NAME, authority)

    def test_render_shows_every_file_and_touches_nothing(self) -> None:
        shown = self.standalone.command("render", "--manifests", str(self.standalone.manifests))
        for word in ("listener, ", "cluster, ", "public-web", "https-web", "grpc-mtls", "10.200.0.0/24"):
            self.assertIn(word, shown)
        for line in self.edge.key_text.splitlines():
            if not line.startswith("-----"):
                self.assertNotIn(line, shown)

    def test_status_prints_a_tree(self) -> None:
        shown = self.standalone.command("status", "--state", str(self.standalone.state))
        for word in ("edge-node", "public-web", "public-edge", "public-tls", VPS, "443", "9444"):
            self.assertIn(word, shown)


class HighAvailabilityExampleTests(Examples):
    """Example 4's EdgeNode with example 1's binding: three uplinks, on three hosts."""

    @classmethod
    def make_stage(cls) -> Stage:
        stage = fresh(uplinks="files")
        cls.write_what_they_refer_to(stage)
        binding = [one for one in sample("1-one-port.yaml") if one["kind"] == "PortBinding"]
        stage.standalone.write("example.yaml", *high_availability(), *binding)
        stage.standalone.start()
        eventually(lambda: UplinkFiles(stage.standalone, "edge-node").are_there(2), within=120)
        hosts = [stage.lab.home, *stage.lab.uplinks]
        cls.uplinks = [RemoteUplink(stage.standalone, host, "edge-node", ordinal) for ordinal, host in enumerate(hosts)]
        stage.standalone.wait("PortBinding", "public-web", within=120)
        return stage

    def test_1_all_three_carry_traffic(self) -> None:
        self.assert_example_1()
        def all_three() -> bool:
            peers = collections.Counter(traffic.whoami(self.lab.client, VPS, 80)["peer"] for _ in range(30))
            return len(peers) == 3
        eventually(all_three, within=30)

    def test_2_one_dies_and_nobody_notices_for_long(self) -> None:
        self.uplinks[1].kill()
        self.uplinks[1].host.run(["ip", "link", "del", "wg-uplink"])
        # The health check's own figures: two failures, 5 s apart, of 2 s each.
        def steady() -> bool:
            for _ in range(30):
                self.assert_example_1()
            return True
        eventually(steady, within=20)

    def test_3_one_leaves_in_order_and_nobody_notices_at_all(self) -> None:
        self.uplinks[2].process.send_signal(15)
        for _ in range(100):
            self.assert_example_1()
        self.assertEqual(self.uplinks[2].process.wait(30), 0)
