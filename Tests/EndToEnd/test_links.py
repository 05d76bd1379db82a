"""Links: the traffic of `test_traffic` by each carrier alone, and by two of which one is blocked (docs/links.md)."""

from __future__ import annotations

import time
import unittest
from pathlib import Path

from lab.commands import run
from lab.network import BACKEND, VPS
from load import SteadyLoad
from product import manifests as m
from product import traffic
from product.traffic import eventually
from stage import EndToEnd, Stage, fresh

import test_traffic

_ENROLLMENT = 120


def linked(carriers: list[str], *, ordinary: bool = False, **link) -> Stage:
    stage = fresh()
    stage.standalone.write_node(tunnel={"carriers": carriers, "link": link})
    stage.standalone.start(ordinary=ordinary)
    stage.standalone.wait("EdgeNode", "edge", within=_ENROLLMENT)
    return stage


class ByTLS(test_traffic.TrafficTests):
    """Controller and uplink are of an ordinary user."""

    @classmethod
    def make_stage(cls) -> Stage:
        return linked(["TLS"], ordinary=True)

    def test_no_uplink_has_privileges(self) -> None:
        found = [pid for pid in self.lab.home.pids() if Path(f"/proc/{pid}/comm").read_text().strip() == "uplink"]
        self.assertEqual(len(found), 1)
        status = self.lab.home.run(["cat", f"/proc/{found[0]}/status"])
        for line in ("CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Uid:\t65534\t65534"):
            self.assertIn(line, status)
        self.assertNotIn("wg-uplink", self.lab.home.run(["ip", "-o", "link"]))

    def test_the_status_names_the_carrier(self) -> None:
        said = self.standalone.condition("EdgeNode", "edge", "TunnelEstablished")
        self.assertEqual((said["reason"], said["message"]), ("Connected", "1 uplink is connected by TLS"))
        self.assertEqual(self.standalone.status("EdgeNode", "edge")["uplinks"][0]["carriers"], ["TLS"])

    def test_the_link_program_is_confined(self) -> None:
        figure = self.lab.vps.exec(["sh", "-c", "systemd-analyze security tidegate-link.service --no-pager | tail -1"])
        self.assertLess(float(figure.split("level for tidegate-link.service:")[1].split()[0]), 2.5, figure)

    def test_local_users_do_not_get_past_envoy(self) -> None:
        ports = [line.split()[3] for line in self.lab.vps.exec(["ss", "-Hltn"]).splitlines() if "127.88.0.2:" in line]
        self.assertGreater(len(ports), 5)
        port = ports[0].rsplit(":", 1)[1]
        script = f"timeout 2 bash -c 'echo > /dev/tcp/127.88.0.2/{port}' 2>/dev/null && echo in || echo out"
        self.assertEqual(self.lab.vps.exec(["setpriv", "--reuid", "65534", "--clear-groups", "bash", "-c", script]).strip(), "out")


class ByWebSocket(test_traffic.TrafficTests):
    @classmethod
    def make_stage(cls) -> Stage:
        return linked(["WebSocket"], listenPort=8080)

    def test_strangers_get_a_404(self) -> None:
        with self.lab.client.connect(VPS, 8080) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            self.assertIn(b" 404 ", connection.recv(4096).split(b"\r\n")[0])


class BySSH(test_traffic.TrafficTests):
    """Controller and uplink are of an ordinary user."""

    @classmethod
    def make_stage(cls) -> Stage:
        return linked(["SSH"], ordinary=True)

    def test_the_status_names_the_carrier(self) -> None:
        said = self.standalone.condition("EdgeNode", "edge", "TunnelEstablished")
        self.assertEqual((said["reason"], said["message"]), ("Connected", "1 uplink is connected by SSH"))
        status = self.standalone.status("EdgeNode", "edge")
        self.assertEqual(status["uplinks"][0]["carriers"], ["SSH"])
        shown = self.lab.vps.exec(["cat", "/etc/ssh/ssh_host_ed25519_key.pub"]).split()[:2]
        self.assertEqual(status["sshHostKey"], " ".join(shown))

    def test_sshd_is_all_that_listens_for_links(self) -> None:
        with self.assertRaises(OSError):
            self.lab.client.connect(VPS, 443).close()
        self.assertNotIn("127.88.0.1:", self.lab.vps.exec(["ss", "-Hltn"]))

    def test_only_the_links_user_enters_the_socket(self) -> None:
        script = "use IO::Socket::UNIX; print IO::Socket::UNIX->new('/var/lib/tidegate-ssh/link/door.sock') ? 'in' : $!"
        for user, group, seen in (("tidegate-ssh", "tidegate-ssh", "in"), ("nobody", "nogroup", "Permission denied")):
            said = self.lab.vps.exec(["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "perl", "-e", script])
            self.assertEqual(said, seen, user)


_NAME = "link.example.test"


class OwnCertificate(EndToEnd):
    """The links' port shows a certificate of the user's, and wants one of his uplinks."""

    @classmethod
    def make_stage(cls) -> Stage:
        stage = fresh()
        certificates = stage.lab.certificates
        authority = certificates.root.certificate.read_text()
        stage.standalone.write("link-tls.yaml", m.tls_secret("link-tls", certificates.issue("link", _NAME), ca=authority))
        stage.standalone.write("link-ca.yaml", m.ssh_secret("link-ca", **{"ca.crt": authority}))
        client = certificates.issue("uplink", common_name="uplink")
        stage.standalone.write("uplink-tls.yaml", m.tls_secret("uplink-tls", client, namespace="tunnel"))
        stage.standalone.write_node(**cls.node("TLS"))
        stage.standalone.write("web.yaml", m.port_binding("web", "edge", m.tcp("web", 7100, BACKEND, 7000)))
        stage.standalone.start(ordinary=True)
        stage.standalone.wait("EdgeNode", "edge", within=_ENROLLMENT)
        stage.standalone.wait("PortBinding", "web")
        return stage

    @staticmethod
    def node(*carriers: str, client: bool = True) -> dict:
        link = {"hostname": _NAME, "secretRef": {"name": "link-tls"}, "clientCASecretRef": {"name": "link-ca"}}
        node = {"tunnel": {"carriers": list(carriers), "link": link}}
        return node | ({"uplink": {"clientCertificateSecretRef": {"name": "uplink-tls"}}} if client else {})

    def shown(self, *more: str) -> str:
        """What a stranger sees at the links' port."""
        argv = ["openssl", "s_client", "-connect", f"{VPS}:443", "-servername", _NAME, "-CAfile", str(self.lab.certificates.root.certificate), *more]
        return self.lab.client.run(["sh", "-c", '(sleep 1; echo) | timeout 5 "$@" 2>&1 || true', "sh", *argv])

    def serial(self) -> str:
        return run(["openssl", "x509", "-noout", "-serial"], input=self.shown())

    def assert_carriers(self, *carriers: str) -> bool:
        self.assertEqual(self.standalone.status("EdgeNode", "edge")["uplinks"][0].get("carriers"), list(carriers))
        return True

    def test_1_traffic_passes_and_strangers_see_the_certificate_alone(self) -> None:
        eventually(lambda: self.assert_carriers("TLS"), within=30)
        traffic.echo_once(self.lab.client, VPS, 7100, 1 << 20)
        seen = self.shown()
        self.assertIn("Verification: OK", seen)
        self.assertIn("certificate required", seen)
        self.assertIn("no peer certificate available", self.shown("-servername", "other.example.test"))

    def test_2_a_renewed_certificate_is_shown_and_nothing_is_lost(self) -> None:
        former = self.serial()
        with SteadyLoad(self.lab.client, VPS, 7100) as load:
            time.sleep(1)
            renewed = self.lab.certificates.issue("renewed", _NAME)
            authority = self.lab.certificates.root.certificate.read_text()
            self.standalone.write("link-tls.yaml", m.tls_secret("link-tls", renewed, ca=authority))
            eventually(lambda: self.assertNotEqual(self.serial(), former) or True, within=20)
            time.sleep(2)
        self.assertEqual(load.failures, [])
        self.assertGreater(load.requests, 50)

    def test_3_a_broken_secret_is_named_and_what_was_in_force_stays(self) -> None:
        good = self.standalone.manifests / "link-ca.yaml"
        text = good.read_text()
        self.standalone.write("link-ca.yaml", m.ssh_secret("link-ca", **{"ca.crt": "garbage"}))
        with SteadyLoad(self.lab.client, VPS, 7100) as load:
            eventually(self._named, within=20)
            self.assertIn("certificate required", self.shown())
        self.assertEqual(load.failures, [])
        good.write_text(text)
        self.standalone.wait("EdgeNode", "edge")

    def _named(self) -> bool:
        said = self.standalone.condition("EdgeNode", "edge", "ConfigSynced")
        self.assertEqual(said["reason"], "LinkSecretIncomplete", said)
        self.assertIn("Secret default/link-ca: ca.crt", said["message"])
        return True

    def test_4_websockets_pass_the_same_door(self) -> None:
        self.standalone.write_node(**self.node("WebSocket", "TLS"))
        eventually(lambda: self.assert_carriers("WebSocket"), within=60)
        traffic.echo_once(self.lab.client, VPS, 7100, 1 << 20)
        self.assertIn("certificate required", self.shown("-alpn", "http/1.1"))

    def test_5_without_its_certificate_an_uplink_says_what_is_missing(self) -> None:
        self.standalone.write_node(**self.node("TLS", client=False))
        eventually(self._refused, within=60)
        self.standalone.write_node(**self.node("TLS"))
        eventually(lambda: self.assert_carriers("TLS"), within=60)
        traffic.echo_once(self.lab.client, VPS, 7100, 1 << 20)

    def _refused(self) -> bool:
        said = self.standalone.condition("EdgeNode", "edge", "TunnelEstablished")
        self.assertEqual(said["status"], "False", said)
        self.assertIn("it wants a client's certificate: have spec.uplink.clientCertificateSecretRef", said["message"])
        return True


class Fallback(EndToEnd):
    """By UDP while it passes, by TLS while it does not."""

    @classmethod
    def make_stage(cls) -> Stage:
        stage = linked(["WireGuard", "TLS"])
        stage.standalone.write("web.yaml", m.port_binding("web", "edge", m.tcp("web", 7100, BACKEND, 7000)))
        stage.standalone.wait("PortBinding", "web")
        return stage

    def carriers(self) -> list[str]:
        return self.standalone.status("EdgeNode", "edge")["uplinks"][0].get("carriers", [])

    def block(self) -> None:
        self.lab.nat.run(["nft", "add", "table", "inet", "noudp"])
        self.lab.nat.run(["nft", "add", "chain", "inet", "noudp", "f", "{ type filter hook forward priority -300; }"])
        self.lab.nat.run(["nft", "add", "rule", "inet", "noudp", "f", "meta", "l4proto", "udp", "drop"])

    def free(self) -> None:
        self.lab.nat.run(["nft", "delete", "table", "inet", "noudp"])

    def test_udp_is_blocked_and_free_again(self) -> None:
        eventually(lambda: self.assertEqual(self.carriers(), ["WireGuard", "TLS"]) or True, within=30)
        with SteadyLoad(self.lab.client, VPS, 7100) as load:
            time.sleep(2)
            blocked = time.monotonic()
            self.block()
            try:
                time.sleep(12)
                self.assertEqual(load.lost(since=blocked + 3), [], "nothing is lost that begins three seconds later")
                self.assertLess(load.trouble_ended(blocked), 3)
                said = eventually(self._down, within=40)
                self.assertIn("WireGuard", said["message"])
            finally:
                self.free()
            freed = time.monotonic()
            eventually(lambda: self.assertEqual(self.carriers(), ["WireGuard", "TLS"]) or True, within=60)
            time.sleep(5)
            self.assertEqual(load.lost(since=freed), [], "none is lost on the way back")

    def _down(self) -> dict:
        said = self.standalone.condition("EdgeNode", "edge", "TunnelEstablished")
        self.assertEqual(said["reason"], "CarrierDown", said)
        return said


if __name__ == "__main__":
    unittest.main()
