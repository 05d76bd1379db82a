"""What cannot be done is said where it belongs, and costs nothing else."""

from __future__ import annotations

import base64
import socket

from lab import keys
from lab.network import BACKEND, VPS
from product import manifests as m
from product import traffic
from product.traffic import eventually
from stage import EndToEnd


class RefusalTests(EndToEnd):
    def setUp(self) -> None:
        self.publish("beside", m.port_binding("beside", "edge", m.tcp("beside", 7600, BACKEND, 7000)))
        eventually(lambda: traffic.whoami(self.lab.client, VPS, 7600), within=15)

    def tearDown(self) -> None:
        self.assertEqual(traffic.whoami(self.lab.client, VPS, 7600)["name"], "echo", "every other binding works")

    # Secrets

    def test_secret_without_its_keys(self) -> None:
        certificate = self.lab.certificates.issue("incomplete", "incomplete.example.test")
        secret = m.tls_secret("incomplete-tls", certificate)
        del secret["data"]["tls.key"]
        said = self.refused_for_its_secret("incomplete", 7601, m.offload("incomplete-tls"), secret)
        self.assertIn("tls.key", said)

    def test_secret_without_ca_for_mutual(self) -> None:
        certificate = self.lab.certificates.issue("no-ca", "no-ca.example.test")
        said = self.refused_for_its_secret("no-ca", 7602, m.mutual("no-ca-tls"), m.tls_secret("no-ca-tls", certificate))
        self.assertIn("ca.crt", said)

    def test_certificate_that_does_not_match_its_key(self) -> None:
        one, two = (self.lab.certificates.issue(f"mismatch-{n}", "mismatch.example.test") for n in (1, 2))
        secret = m.tls_secret("mismatch-tls", one)
        secret["data"]["tls.key"] = base64.b64encode(two.key_text.encode()).decode()
        said = self.refused_for_its_secret("mismatch", 7603, m.offload("mismatch-tls"), secret)
        self.assertIn("match", said)

    def test_secret_that_is_missing(self) -> None:
        self.refused_for_its_secret("missing", 7604, m.offload("missing-tls"))

    def refused_for_its_secret(self, name: str, port: int, tls: dict, *secrets: dict) -> str:
        self.publish(name, m.port_binding(name, "edge", m.tcp(name, port, BACKEND, 7000, tls=tls)), *secrets)
        entry = self.standalone.wait_binding(name, name, ready=False, reason="TLSSecretIncomplete", within=15)
        self.assert_refused(self.lab.client.connect, VPS, port)
        return entry["message"]

    # Ports

    def test_two_bindings_want_one_port(self) -> None:
        self.publish("older", m.port_binding("older", "edge", m.tcp("older", 7610, BACKEND, 7000)))
        eventually(lambda: traffic.whoami(self.lab.client, VPS, 7610), within=10)
        self.publish("younger", m.port_binding("younger", "edge", m.tcp("younger", 7610, BACKEND, 7001)))
        entry = self.standalone.wait_binding("younger", "younger", ready=False, reason="PortConflict", within=10)
        self.assertIn("older", entry["message"])
        self.assertEqual(traffic.whoami(self.lab.client, VPS, 7610)["name"], "echo")

    def test_port_taken_by_a_listening_process(self) -> None:
        self.lab.vps.exec(["systemd-run", "--unit=squatter", "/usr/sbin/sshd", "-D", "-p", "7611"])
        self.addCleanup(self.lab.vps.exec, ["systemctl", "stop", "squatter"])
        eventually(lambda: self.lab.client.connect(VPS, 7611, timeout=1).close() or True, within=5)
        self.publish("taken", m.port_binding("taken", "edge", m.tcp("taken", 7611, BACKEND, 7000), m.tcp("free", 7612, BACKEND, 7000)))
        entry = self.standalone.wait_binding("taken", "taken", ready=False, reason="PortInUse", within=15)
        self.assertIn("7611", entry["message"])
        self.assertIn("sshd", entry["message"])
        eventually(lambda: traffic.whoami(self.lab.client, VPS, 7612), within=5)

    def test_port_taken_with_so_reuseport(self) -> None:
        with self.lab.vps.namespace.socket() as squatter:
            squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            squatter.bind(("0.0.0.0", 7613))
            squatter.listen(1)
            self.publish("shared-port", m.port_binding("shared-port", "edge", m.tcp("shared-port", 7613, BACKEND, 7000)))
            entry = self.standalone.wait_binding("shared-port", "shared-port", ready=False, reason="PortInUse", within=15)
            self.assertIn("7613", entry["message"])

    def test_udp_port_taken(self) -> None:
        with self.lab.vps.namespace.socket(kind=socket.SOCK_DGRAM) as squatter:
            squatter.bind(("0.0.0.0", 7614))
            self.publish("udp-taken", m.port_binding("udp-taken", "edge", m.udp("udp-taken", 7614, BACKEND, 7000)))
            self.standalone.wait_binding("udp-taken", "udp-taken", ready=False, reason="PortInUse", within=15)

    # Targets

    def test_target_that_does_not_answer(self) -> None:
        self.publish("dead", m.port_binding("dead", "edge", m.tcp("dead", 7620, BACKEND, 7999)))
        self.standalone.wait_binding("dead", "dead", ready=False, reason="TargetUnreachable", within=30)

    def test_service_that_is_missing(self) -> None:
        self.publish("nowhere", m.port_binding("nowhere", "edge", m.tcp_to_service("nowhere", 7621, "no-such-service", 80)))
        entry = self.standalone.wait_binding("nowhere", "nowhere", ready=False, reason="TargetNotFound", within=10)
        self.assertIn("no-such-service", entry["message"])

    # The host's identity

    def test_host_key_changed(self) -> None:
        other = keys.make(self.lab.folder / "other-host", "other")
        real = (self.standalone.manifests / "node.yaml").read_text()
        wrong = keys.known_hosts_line(VPS, other.public_line)
        secret = m.ssh_secret("vps-ssh", privateKey=self.lab.operator_key.private_text, knownHosts=wrong)
        self.standalone.write("node.yaml", m.edge_node("edge", VPS), secret)
        try:
            # Only a connection made anew asks for the host's key.
            self.lab.vps.exec(["pkill", "-KILL", "-f", "sshd: root"])
            said = self.standalone.wait("EdgeNode", "edge", status="False", within=30)["message"]
            self.assertGreaterEqual(said.count("SHA256:"), 2, f"both fingerprints: {said}")
            self.assertEqual(traffic.whoami(self.lab.client, VPS, 7600)["name"], "echo", "the data path does not care")
        finally:
            self.standalone.write_text("node.yaml", real)
            self.standalone.wait("EdgeNode", "edge", within=60)
