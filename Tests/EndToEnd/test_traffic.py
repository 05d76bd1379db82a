"""Traffic of every kind, from a client on the internet to a backend behind NAT."""

from __future__ import annotations

import ssl

from lab.network import BACKEND, CLIENT, CLIENT6, HOSTS, SECOND_CLIENT, VPS, VPS6
from product import manifests as m
from product import traffic
from stage import EndToEnd

EDGE_NAME = "edge.example.test"


class TrafficTests(EndToEnd):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.backend_ca = cls.lab.certificates.root.certificate_text
        cls.edge = cls.lab.certificates.issue("edge", EDGE_NAME)
        cls.clients = cls.lab.another_authority("clients")
        cls.strangers = cls.lab.another_authority("strangers")
        cls.standalone.write(
            "traffic.yaml",
            m.port_binding(
                "traffic", "edge",
                m.tcp("echo", 7100, BACKEND, 7000),
                m.tcp("proxy-v1", 7101, BACKEND, 7010, proxyProtocol=True),
                m.tcp("proxy-v2", 7102, BACKEND, 7010, proxyProtocol=True, proxyProtocolVersion="V2"),
                m.tcp("named", 7103, HOSTS[BACKEND], 7010, proxyProtocol=True),
                m.udp("named-datagrams", 7203, HOSTS[BACKEND], 7000, maxDatagramBytes=9000),
                m.udp("datagrams", 7200, BACKEND, 7000),
                m.udp("large-datagrams", 7201, BACKEND, 7000, maxDatagramBytes=9000),
                m.tcp("name-one", 7443, BACKEND, 7443, tls=m.passthrough("one.example.test")),
                m.tcp("name-two", 7443, BACKEND, 7444, tls=m.passthrough("two.example.test")),
                m.tcp("offload", 9443, BACKEND, 7000, tls=m.offload("edge-tls")),
                m.tcp("mutual", 9444, BACKEND, 7000, tls=m.mutual("edge-mtls")),
            ),
            m.tls_secret("edge-tls", cls.edge),
            m.tls_secret("edge-mtls", cls.edge, ca=cls.clients.root.certificate_text),
        )
        cls.standalone.wait("PortBinding", "traffic")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.standalone.remove("traffic.yaml")

    # TCP

    def test_tcp_1_mib_each_way(self) -> None:
        traffic.echo_once(self.lab.client, VPS, 7100, 1 << 20)

    def test_tcp_over_ipv6(self) -> None:
        traffic.echo_once(self.lab.client, VPS6, 7100, 1 << 16)

    def test_tcp_half_closed_connection_still_gets_its_answer(self) -> None:
        with self.lab.client.connect(VPS, 7100) as connection:
            connection.sendall(b"last words\n")
            connection.shutdown(1)
            self.assertEqual(traffic.line(connection), b"last words\n")
            self.assertEqual(connection.recv(1), b"")

    def test_proxy_v1_gives_the_client_address(self) -> None:
        self._assert_proxied(7101, 1, VPS, CLIENT)
        self._assert_proxied(7101, 1, VPS, SECOND_CLIENT)

    def test_proxy_v2_gives_the_client_address(self) -> None:
        self._assert_proxied(7102, 2, VPS, CLIENT)
        self._assert_proxied(7102, 2, VPS6, CLIENT6)

    def _assert_proxied(self, port: int, version: int, address: str, source: str) -> None:
        with self.lab.client.connect(address, port, source=source) as connection:
            seen = traffic.ask(connection)["proxy"]
            self.assertEqual(seen, {"version": version, "address": source, "port": connection.getsockname()[1]})

    def test_a_target_by_name(self) -> None:
        self._assert_proxied(7103, 1, VPS, CLIENT)
        with self.lab.client.connect(VPS, 7103) as connection:
            connection.sendall(b"last words\n")
            connection.shutdown(1)
            self.assertEqual(traffic.line(connection), b"last words\n")
        with traffic.Datagrams(self.lab.client, VPS, 7203) as session:
            session.echo(1)
            session.echo(9000)

    def test_2000_connections_at_once(self) -> None:
        held = traffic.hold(self.lab.client, VPS, 7100, 2000)
        try:
            self.assertEqual(len(held), 2000)
            traffic.echo(held[0], 1000)
            traffic.echo(held[-1], 1000)
            traffic.finish(held)
        finally:
            traffic.release(held)

    # UDP

    def test_datagrams_of_1_and_1400_bytes(self) -> None:
        with traffic.Datagrams(self.lab.client, VPS, 7200) as session:
            session.echo(1)
            session.echo(1400)

    def test_datagrams_of_9000_bytes(self) -> None:
        with traffic.Datagrams(self.lab.client, VPS, 7201) as session:
            session.echo(9000)

    def test_two_clients_keep_two_sessions(self) -> None:
        with traffic.Datagrams(self.lab.client, VPS, 7200, source=CLIENT) as first, \
                traffic.Datagrams(self.lab.client, VPS, 7200, source=SECOND_CLIENT) as second:
            one, two = first.whoami()["port"], second.whoami()["port"]
            self.assertNotEqual(one, two)
            self.assertEqual((first.whoami()["port"], second.whoami()["port"]), (one, two))

    # TLS

    def test_passthrough_shows_each_backend_s_own_certificate(self) -> None:
        for name in ("one", "two"):
            secured = traffic.tls(self.lab.client, VPS, 7443, f"{name}.example.test", self.backend_ca)
            own = (self.lab.certificates.folder / f"{name}.crt").read_text()
            self.assertEqual(secured.certificate, ssl.PEM_cert_to_DER_cert(own))
            self.assertEqual(secured.seen["name"], name)

    def test_passthrough_refuses_a_third_name(self) -> None:
        self.assert_refused(traffic.tls, self.lab.client, VPS, 7443, "three.example.test", self.backend_ca)

    def test_offload_shows_the_edge_s_certificate(self) -> None:
        secured = traffic.tls(self.lab.client, VPS, 9443, EDGE_NAME, self.backend_ca)
        self.assertEqual(secured.certificate, ssl.PEM_cert_to_DER_cert(self.edge.certificate_text))
        self.assertFalse(secured.seen["tls"], "the backend gets plain bytes")

    def test_mutual_lets_a_known_client_in(self) -> None:
        known = self.clients.issue("known-client")
        secured = traffic.tls(self.lab.client, VPS, 9444, EDGE_NAME, self.backend_ca, certificate=known)
        self.assertEqual(secured.seen["name"], "echo")

    def test_mutual_refuses_a_client_without_certificate(self) -> None:
        self.assert_refused(traffic.tls, self.lab.client, VPS, 9444, EDGE_NAME, self.backend_ca)

    def test_mutual_refuses_a_client_of_another_authority(self) -> None:
        stranger = self.strangers.issue("stranger")
        self.assert_refused(traffic.tls, self.lab.client, VPS, 9444, EDGE_NAME, self.backend_ca, certificate=stranger)
