"""A router on the way drops long packets without a word: connections must not stall, and the status says what to set."""

from __future__ import annotations

from lab.network import BACKEND, VPS
from product import manifests as m
from product import traffic
from product.traffic import eventually
from stage import EndToEnd

# Packets of up to 1,400 bytes pass; WireGuard fills those in the tunnel up to a multiple of 16, and adds 60.
_HOLE = """\
table inet hole {
    chain forward {
        type filter hook forward priority 0
        udp dport 51821 meta length > 1400 drop
        udp sport 51821 meta length > 1400 drop
    }
}
"""
_CARRIED = 1328


class PathMTUTests(EndToEnd):
    def tearDown(self) -> None:
        self.standalone.write_node()
        self.standalone.wait("EdgeNode", "edge", within=60)

    def tunnel(self) -> dict:
        return self.standalone.condition("EdgeNode", "edge", "TunnelEstablished")

    def test_a_path_that_drops_long_packets(self) -> None:
        self.publish("long", m.port_binding("long", "edge", m.tcp("long", 7600, BACKEND, 7000)))
        eventually(lambda: traffic.whoami(self.lab.client, VPS, 7600), within=20)
        self.lab.send_whole_packets()
        self.lab.internet.run(["nft", "-f", "-"], input=_HOLE)
        self.addCleanup(self.lab.internet.run, ["nft", "delete", "table", "inet", "hole"])
        self.assertRaises((OSError, AssertionError), traffic.echo_once, self.lab.client, VPS, 7600, 1 << 20, timeout=3)
        eventually(lambda: traffic.echo_once(self.lab.client, VPS, 7600, 1 << 20, timeout=5) or True, within=120)
        # The next look at the VPS brings it into the status.
        self.publish("look", m.port_binding("look", "edge", m.udp("look", 7601, BACKEND, 7000)))
        eventually(lambda: self.tunnel()["reason"] == "PathMTUTooSmall", within=60)
        said = int(self.tunnel()["message"].split()[-1])
        self.assertTrue(_CARRIED - 8 <= said <= _CARRIED, self.tunnel())
        # What it says to do: then datagrams of an ordinary length pass too.
        self.standalone.write_node(tunnel={"mtu": said})
        eventually(lambda: self.tunnel()["reason"] == "HandshakeFresh", within=60)
        with traffic.Datagrams(self.lab.client, VPS, 7601, timeout=1) as datagrams:
            eventually(lambda: datagrams.echo(1400) or True, within=30)
