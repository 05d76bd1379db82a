"""A VPS with a firewall of its own: it is left alone, and what it closes is named with the rule that opens it."""

from __future__ import annotations

from lab.network import BACKEND, VPS
from product import manifests as m
from product import traffic
from product.traffic import eventually
from stage import EndToEnd, Stage, fresh

_NFT = """
table inet filter {
  set admins { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2 }; }
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    ct state invalid drop
    iif lo accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
    ip saddr @admins accept
    tcp dport { 22, 8080-8090 } accept comment "ssh and more"
  }
}
"""


class Firewall(EndToEnd):
    """In this order, on one VPS: unittest runs them by name."""

    @classmethod
    def make_stage(cls) -> Stage:
        stage = fresh()
        stage.lab.vps.namespace.run(["nft", "-f", "-"], input=_NFT)
        stage.standalone.write_node()
        stage.standalone.write("web.yaml", m.port_binding(
            "web", "edge", m.tcp("web", 443, BACKEND, 7000), m.tcp("open", 8085, BACKEND, 7000), m.udp("names", 53, BACKEND, 7000)))
        stage.standalone.start()
        return stage

    def allow(self, rule: str) -> None:
        """Does what the message says."""
        self.assertTrue(rule.startswith("nft "), rule)
        self.lab.vps.namespace.run(rule.split())

    def rules(self) -> str:
        """All tables but ours."""
        ours = ("ip", "tidegate_relay")
        tables = [line.split()[1:3] for line in self.lab.vps.namespace.run(["nft", "list", "tables"]).splitlines()]
        return "".join(self.lab.vps.namespace.run(["nft", "--stateless", "list", "table", *one]) for one in tables if tuple(one) != ours)

    def test_1_the_tunnel_port_is_named(self) -> None:
        before = self.rules()
        said = self.standalone.wait("EdgeNode", "edge", "TunnelEstablished", "False", reason="BlockedByFirewall", within=120)["message"]
        self.assertIn("UDP port 51821", said)
        self.assertIn("chain input of table inet filter", said)
        self.assertEqual(self.rules(), before, "theirs is never touched")
        self.allow(said[said.index("nft insert"):])
        self.standalone.wait("EdgeNode", "edge", "TunnelEstablished", within=60)

    def test_2_a_binding_that_is_let_in_works(self) -> None:
        self.standalone.wait_binding("web", "open")
        traffic.echo_once(self.lab.client, VPS, 8085, 10_000)

    def test_3_bindings_that_are_dropped_are_named(self) -> None:
        for name, words in (("web", "TCP port 443"), ("names", "UDP port 53")):
            entry = self.standalone.wait_binding("web", name, ready=False, reason="BlockedByFirewall")
            self.assertIn(words, entry["message"])
            self.allow(entry["message"][entry["message"].index("nft insert"):])
        self.standalone.wait("PortBinding", "web", within=30)
        traffic.echo_once(self.lab.client, VPS, 443, 10_000)
        with traffic.Datagrams(self.lab.client, VPS, 53) as session:
            session.echo(1000)
        self.standalone.wait("EdgeNode", "edge", "ConfigSynced", within=30)

    def test_4_iptables_beside_it(self) -> None:
        """Each chain on the hook has its say."""
        vps = self.lab.vps.namespace
        vps.run(["iptables-nft", "-A", "INPUT", "-p", "tcp", "-m", "multiport", "--dports", "440:450", "-j", "REJECT"])
        self.standalone.write("more.yaml", m.port_binding("more", "edge", m.tcp("more", 8086, BACKEND, 7000)))
        entry = self.standalone.wait_binding("web", "web", ready=False, reason="BlockedByFirewall")
        self.assertTrue(entry["message"].endswith("iptables -I INPUT -p tcp --dport 443 -j ACCEPT"), entry["message"])
        vps.run(["iptables-nft", *entry["message"].split("iptables ")[-1].split()])
        eventually(lambda: traffic.whoami(self.lab.client, VPS, 443), within=5)
        self.standalone.wait("PortBinding", "web", within=30)
