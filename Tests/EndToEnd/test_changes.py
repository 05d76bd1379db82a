"""Changes to the manifests while traffic flows: in force within 2 s, and no connection of another binding breaks."""

from __future__ import annotations

import ssl

from lab.network import BACKEND, VPS
from product import manifests as m
from product import traffic
from product.traffic import HeldConnection, eventually
from stage import EndToEnd

_IN_FORCE = 2  # seconds, from the file's rename to the first answer


class LiveChangeTests(EndToEnd):
    def setUp(self) -> None:
        self.publish("steady", m.port_binding("steady", "edge", m.tcp("steady", 7300, BACKEND, 7000)))
        eventually(lambda: traffic.whoami(self.lab.client, VPS, 7300), within=15)
        self.held = HeldConnection(self.lab.client, VPS, 7300)
        self.addCleanup(self.held.close)

    def tearDown(self) -> None:
        self.held.check()

    def answers(self, port: int, name: str):
        """A new connection to the port reaches the backend of that name."""
        def check() -> bool:
            self.assertEqual(traffic.whoami(self.lab.client, VPS, port, timeout=0.5)["name"], name)
            return True
        return check

    def is_closed(self, port: int):
        def check() -> bool:
            try:
                self.lab.client.connect(VPS, port, timeout=0.5).close()
            except ConnectionRefusedError:
                return True
            raise AssertionError(f"port {port} still accepts")
        return check

    def test_binding_added(self) -> None:
        self.publish("added", m.port_binding("added", "edge", m.tcp("added", 7301, BACKEND, 7000)))
        eventually(self.answers(7301, "echo"), within=_IN_FORCE)

    def test_target_changed(self) -> None:
        self.publish("moved", m.port_binding("moved", "edge", m.tcp("moved", 7302, BACKEND, 7000)))
        eventually(self.answers(7302, "echo"), within=_IN_FORCE)
        self.publish("moved", m.port_binding("moved", "edge", m.tcp("moved", 7302, BACKEND, 7001)))
        eventually(self.answers(7302, "other"), within=_IN_FORCE)

    def test_udp_target_changed_for_a_session_that_goes_on(self) -> None:
        self.publish("udp-moved", m.port_binding("udp-moved", "edge", m.udp("udp-moved", 7303, BACKEND, 7000)))
        with traffic.Datagrams(self.lab.client, VPS, 7303, timeout=0.3) as session:
            eventually(session.whoami, within=_IN_FORCE)
            self.assertEqual(session.whoami()["name"], "udp-echo")
            self.publish("udp-moved", m.port_binding("udp-moved", "edge", m.udp("udp-moved", 7303, BACKEND, 7001)))
            eventually(lambda: session.whoami()["name"] == "udp-other", within=_IN_FORCE)

    def test_binding_removed(self) -> None:
        self.publish("removed", m.port_binding("removed", "edge", m.tcp("removed", 7304, BACKEND, 7000)))
        eventually(self.answers(7304, "echo"), within=_IN_FORCE)
        self.standalone.remove("removed.yaml")
        eventually(self.is_closed(7304), within=_IN_FORCE)

    def test_certificate_rotated(self) -> None:
        authority = self.lab.certificates
        first, second = authority.issue("rotating-1", "rotating.example.test"), authority.issue("rotating-2", "rotating.example.test")
        binding = m.port_binding("rotating", "edge", m.tcp("rotating", 7305, BACKEND, 7000, tls=m.offload("rotating-tls")))

        def shown() -> bytes:
            trust = authority.root.certificate_text
            return traffic.tls(self.lab.client, VPS, 7305, "rotating.example.test", trust, timeout=1).certificate

        self.publish("rotating", binding, m.tls_secret("rotating-tls", first))
        eventually(lambda: shown() == ssl.PEM_cert_to_DER_cert(first.certificate_text), within=_IN_FORCE)
        plain = self.lab.client.connect(VPS, 7305)
        with traffic.secure(plain, "rotating.example.test", authority.root.certificate_text) as old:
            traffic.ask(old)
            self.publish("rotating", binding, m.tls_secret("rotating-tls", second))
            eventually(lambda: shown() == ssl.PEM_cert_to_DER_cert(second.certificate_text), within=_IN_FORCE)
            self.assertEqual(traffic.ask(old)["name"], "echo")

    def test_broken_file_leaves_what_was_good_in_force(self) -> None:
        self.publish("broken", m.port_binding("broken", "edge", m.tcp("broken", 7306, BACKEND, 7000)))
        eventually(self.answers(7306, "echo"), within=_IN_FORCE)
        self.standalone.write_text("broken.yaml", "spec: [unclosed\n")
        eventually(lambda: "broken.yaml" in self.standalone.log_text(), within=5)
        self.publish("after-broken", m.port_binding("after-broken", "edge", m.tcp("after-broken", 7307, BACKEND, 7000)))
        eventually(self.answers(7307, "echo"), within=5)
        self.answers(7306, "echo")()
