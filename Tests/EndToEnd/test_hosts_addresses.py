"""Where the VPS is: on IPv6 alone, behind a name of both families, behind a name that moves."""

from __future__ import annotations

import json
import time

from lab.network import BACKEND, CLIENT6, HOSTS, VPS, VPS6
from product import manifests as m
from product import traffic
from product.traffic import eventually
from stage import EndToEnd, Stage, fresh

NAME = HOSTS[VPS]
MOVED = "198.18.1.77"


def publish_web(stage: Stage) -> None:
    stage.standalone.write("web.yaml", m.port_binding(
        "web", "edge", m.tcp("web", 443, BACKEND, 7000), m.tcp("proxied", 444, BACKEND, 7010, proxyProtocol=True),
        m.udp("names", 53, BACKEND, 7000)))


class OneAddressFamily(EndToEnd):
    """A VPS that has no IPv4 address at all."""

    @classmethod
    def make_stage(cls) -> Stage:
        stage = fresh()
        stage.lab.vps.namespace.configure([f"addr del {VPS}/24 dev eth0"])
        publish_web(stage)
        stage.standalone.write_node(address=VPS6)
        stage.standalone.start()
        stage.standalone.wait("EdgeNode", "edge", within=120)
        stage.standalone.wait("PortBinding", "web")
        return stage

    def assert_traffic(self) -> None:
        traffic.echo_once(self.lab.client, VPS6, 443, 1 << 20)
        self.assertEqual(traffic.whoami(self.lab.client, VPS6, 444, source=CLIENT6)["proxy"]["address"], CLIENT6)
        with traffic.Datagrams(self.lab.client, VPS6, 53) as session:
            session.echo(1200)
            session.echo(4000)

    def test_1_ssh_tunnel_and_listeners_over_ipv6(self) -> None:
        self.assert_traffic()

    def test_2_a_name_whose_ipv4_address_is_dead(self) -> None:
        self.lab.set_names({VPS: NAME, VPS6: NAME})
        self.standalone.write_node(address=NAME, secret={"knownHosts": self.lab.known_hosts(NAME)})
        self.lab.vps.exec(["pkill", "-KILL", "-f", "sshd: root"])
        eventually(lambda: all(one["address"].startswith(NAME) for one in self.standalone.status("PortBinding", "web")["bindings"]), within=60)
        self.standalone.wait("EdgeNode", "edge", within=90)
        self.standalone.wait("PortBinding", "web", within=90)
        self.assert_traffic()


class MovingName(EndToEnd):
    """A VPS on both families behind a name, which gets another IPv4 address."""

    @classmethod
    def make_stage(cls) -> Stage:
        stage = fresh()
        publish_web(stage)
        stage.standalone.write_node(address=NAME, secret={"knownHosts": stage.lab.known_hosts(NAME)})
        stage.standalone.start()
        stage.standalone.wait("EdgeNode", "edge", within=120)
        stage.standalone.wait("PortBinding", "web")
        return stage

    def test_1_listeners_are_on_both_families(self) -> None:
        for address in (VPS, VPS6):
            traffic.echo_once(self.lab.client, address, 443, 10_000)
            with traffic.Datagrams(self.lab.client, address, 53) as session:
                session.echo(1200)

    def test_2_the_address_changes(self) -> None:
        vps = self.lab.vps.namespace
        vps.configure([f"addr del {VPS}/24 dev eth0", f"addr add {MOVED}/24 dev eth0", "route replace default via 198.18.1.1"])
        self.lab.set_names({MOVED: NAME})
        began = time.monotonic()
        eventually(lambda: traffic.whoami(self.lab.client, MOVED, 443, timeout=2), within=240, every=0.5)
        took = time.monotonic() - began
        print(f"        traffic again {took:.0f} s after the name moved", flush=True)
        self.assertLess(took, 60)
        # The controller's connection is found dead, and the next one goes to the new address.
        self.standalone.write("more.yaml", m.port_binding("more", "edge", m.tcp("more", 445, BACKEND, 7000)))
        self.standalone.wait("PortBinding", "more", within=180)
        traffic.echo_once(self.lab.client, MOVED, 445, 10_000)


class Reimaged(EndToEnd):
    """In this order: the provider builds the VPS anew under its address, and the user follows the message."""

    @classmethod
    def make_stage(cls) -> Stage:
        stage = fresh()
        publish_web(stage)
        stage.standalone.write_node()
        stage.standalone.start()
        stage.standalone.wait("EdgeNode", "edge", within=120)
        stage.standalone.wait("PortBinding", "web")
        cls.former = stage.standalone.status("EdgeNode", "edge")["relayPublicKey"]
        cls.fingerprints = stage.lab.known_hosts()
        stage.lab.vps.reimage([stage.lab.operator_key.public_line], 1 << 30)
        # The next look at a VPS that was well is up to three minutes away; a change of the user's is a look.
        stage.standalone.write("more.yaml", m.port_binding("more", "edge", m.tcp("more", 8443, BACKEND, 7000)))
        return stage

    def test_1_stops_at_the_host_key(self) -> None:
        said = self.standalone.wait("EdgeNode", "edge", "Enrolled", "False", reason="HostKeyChanged", within=60)["message"]
        self.assertGreaterEqual(said.count("SHA256:"), 2, said)
        for word in ("re-installed", "ssh-keygen -lf", f"known_hosts: {VPS} ssh-ed25519 "):
            self.assertIn(word, said)
        self.assertNotIn("tidegate", self.lab.vps.exec(["ls", "/usr/local/lib"]), "nothing was sent")

    def test_2_enrolls_whole_once_the_new_key_is_pinned(self) -> None:
        self.assertNotEqual(self.lab.known_hosts(), self.fingerprints)
        self.standalone.write_node()
        self.standalone.wait("EdgeNode", "edge", within=120)
        self.assertNotEqual(self.standalone.status("EdgeNode", "edge")["relayPublicKey"], self.former)
        self.standalone.wait("PortBinding", "web")
        traffic.echo_once(self.lab.client, VPS, 443, 100_000)
        with traffic.Datagrams(self.lab.client, VPS, 53) as session:
            session.echo(1200)
        state = json.loads(self.lab.vps.exec(["cat", "/etc/tidegate/state.json"]))
        self.assertEqual(state["owner"]["name"], "edge")
