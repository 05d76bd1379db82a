"""The lab's map, and the making of it.

    client 198.51.100.10 .11 ── internet ── vps 198.18.1.2
                                   │
                               (delay)          only when a round-trip time is asked for
                                   │
                                  nat 198.18.2.2   masquerades out, lets nothing in
                                   │ 192.168.77.1
              ┌────────────┬───────┴────┬───────────────┐
            home .10   uplink1 .11  uplink2 .12   backend .20, also 10.96.0.0/16 as stand-ins of Service addresses

The ranges are those for benchmarks (198.18.0.0/15) and documentation (198.51.100.0/24, 2001:db8::/32); every one of them
exists inside these namespaces only.
"""

from __future__ import annotations

from dataclasses import dataclass

from .commands import attempt, run
from .namespaces import Namespace

CLIENT = "198.51.100.10"
SECOND_CLIENT = "198.51.100.11"
CLIENT6 = "2001:db8:100::10"
VPS = "198.18.1.2"
VPS6 = "2001:db8:1::2"
NAT = "198.18.2.2"
HOME = "192.168.77.10"
UPLINKS = ("192.168.77.11", "192.168.77.12")
BACKEND = "192.168.77.20"
SERVICES = "10.96.0.0/16"
HOSTS = {VPS: "vps.example.test", BACKEND: "backend.example.test"}

ROLES = ("client", "internet", "vps", "nat", "home", "uplink1", "uplink2", "backend")
HOME_HOSTS = {"home": HOME, "uplink1": UPLINKS[0], "uplink2": UPLINKS[1], "backend": BACKEND}



@dataclass(frozen=True)
class Place:
    """What a host is in the network, be it a namespace or a machine with a kernel of its own: its address, the lines for `ip` that
    configure its eth0, and from whom ssh reaches it."""

    role: str
    address: str
    lines: tuple[str, ...]
    neighbour: str


def _home_place(role: str, address: str) -> Place:
    return Place(role, address, (
        f"addr add {address}/24 dev eth0",
        f"addr add 2001:db8:20::{address.rsplit('.', 1)[1]}/64 dev eth0 nodad",
        "link set eth0 up",
        "route add default via 192.168.77.1",
        "route add default via 2001:db8:20::1",
        # On the backend the whole range is local: every address in it answers, none has to be listed.
        f"route add local {SERVICES} dev lo" if role == "backend" else f"route add {SERVICES} via {BACKEND}",
    ), neighbour="nat")


PLACES = {place.role: place for place in (
    Place("vps", VPS, (
        f"addr add {VPS}/24 dev eth0",
        f"addr add {VPS6}/64 dev eth0 nodad",
        "link set eth0 up",
        "route add default via 198.18.1.1",
        "route add default via 2001:db8:1::1",
    ), neighbour="internet"),
    *(_home_place(role, address) for role, address in HOME_HOSTS.items()),
)}

# New connections from outside are dropped, as by any home router; established ones and those from inside pass.
_NAT_RULES = """
table inet lab {
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname "br0" oifname "wan" accept
    iifname "br0" oifname "br0" accept
  }
  chain input {
    type filter hook input priority filter; policy drop;
    iifname { "lo", "br0" } accept
    ct state established,related accept
    icmp type echo-request accept
    icmpv6 type { echo-request, nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname "wan" meta nfproto ipv4 masquerade
  }
}
"""


class Network:
    """The namespaces of one instance and the wires between them."""

    def __init__(self, instance: str):
        self.hosts = {role: Namespace(instance, role) for role in ROLES}
        self.delay = Namespace(instance, "delay")

    def create(self, *, delayed: bool) -> None:
        """Makes every namespace and wire. `delayed` puts a host in the middle of the wire between nat and internet."""
        for host in self.hosts.values():
            host.create()
        if delayed:
            self.delay.create()
        self._internet()
        self._client()
        self.wire_vps()
        self._nat(delayed)
        self._home()

    def wire_vps(self) -> None:
        """Joins the VPS to the internet. Also after its namespace was made anew, as a reboot does."""
        internet, vps = self.hosts["internet"], self.hosts["vps"]
        internet.configure([
            f"link add v0 type veth peer name eth0 netns {vps.name}",
            "addr add 198.18.1.1/24 dev v0",
            "addr add 2001:db8:1::1/64 dev v0 nodad",
            "link set v0 up",
        ])
        vps.configure(PLACES["vps"].lines)

    def bridge(self, role: str) -> None:
        """Turns a host's namespace into a mere socket for a machine with a kernel of its own, at the device tap0."""
        host = self.hosts[role]
        host.configure(["addr flush dev eth0"])
        if not attempt(["ip", "-n", host.name, "link", "show", "tap0"]):
            host.configure([
                "tuntap add tap0 mode tap",
                "link add br0 type bridge forward_delay 0",
                "link set eth0 master br0",
                "link set tap0 master br0",
                "link set tap0 up",
                "link set br0 up",
            ])

    def _internet(self) -> None:
        self.hosts["internet"].sysctl({"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"})

    def _client(self) -> None:
        internet, client = self.hosts["internet"], self.hosts["client"]
        internet.configure([
            f"link add c0 type veth peer name eth0 netns {client.name}",
            "addr add 198.51.100.1/24 dev c0",
            "addr add 2001:db8:100::1/64 dev c0 nodad",
            "link set c0 up",
        ])
        client.configure([
            f"addr add {CLIENT}/24 dev eth0",
            f"addr add {SECOND_CLIENT}/24 dev eth0",
            f"addr add {CLIENT6}/64 dev eth0 nodad",
            "addr add 2001:db8:100::11/64 dev eth0 nodad",
            "link set eth0 up",
            "route add default via 198.51.100.1",
            "route add default via 2001:db8:100::1",
        ])

    def _nat(self, delayed: bool) -> None:
        internet, nat = self.hosts["internet"], self.hosts["nat"]
        if delayed:
            internet.configure([f"link add h0 type veth peer name outer netns {self.delay.name}"])
            nat.configure([f"link add wan type veth peer name inner netns {self.delay.name}"])
            self.delay.configure(["link set inner up", "link set outer up"])
            # The frames pass a program: whole and checksummed, not as the large unfinished ones veth hands on.
            for host, device in ((internet, "h0"), (nat, "wan"), (self.delay, "inner"), (self.delay, "outer")):
                run(["ip", "netns", "exec", host.name, "ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off", "gro", "off"])
        else:
            internet.configure([f"link add h0 type veth peer name wan netns {nat.name}"])
        nat.sysctl({"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"})
        internet.configure([
            "addr add 198.18.2.1/24 dev h0",
            "addr add 2001:db8:2::1/64 dev h0 nodad",
            "link set h0 up",
            "route add 2001:db8:20::/64 via 2001:db8:2::2",
        ])
        nat.configure([
            f"addr add {NAT}/24 dev wan",
            "addr add 2001:db8:2::2/64 dev wan nodad",
            "link set wan up",
            "route add default via 198.18.2.1",
            "route add default via 2001:db8:2::1",
            "link add br0 type bridge forward_delay 0",
            "addr add 192.168.77.1/24 dev br0",
            "addr add 2001:db8:20::1/64 dev br0 nodad",
            "link set br0 up",
            f"route add {SERVICES} via {BACKEND}",
        ])
        run(["ip", "netns", "exec", nat.name, "nft", "-f", "-"], input=_NAT_RULES)

    def _home(self) -> None:
        nat = self.hosts["nat"]
        for role in HOME_HOSTS:
            host = self.hosts[role]
            nat.configure([
                f"link add {role} type veth peer name eth0 netns {host.name}",
                f"link set {role} master br0",
                f"link set {role} up",
            ])
            host.configure(PLACES[role].lines)
