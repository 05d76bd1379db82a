"""The cluster's nodes: hosts of the home network, each a router for the pods on it and their kube-proxy.

    nat 192.168.77.1 ── node1 .31 ── cni0 10.244.1.1 ── pods 10.244.1.10 …
                     ── node2 .32 ── cni0 10.244.2.1 ── pods 10.244.2.10 …
                     ── node3 .33 ── …

Pods reach each other, the home network and Service addresses as themselves; further out they go as their node.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from lab.commands import attempt, run
from lab.laboratory import Lab
from lab.namespaces import Namespace
from lab.network import SERVICES

PODS = "10.244.0.0/16"
_HOME = "192.168.77.0/24"
# The lab's backends listen on these themselves: raw addresses behind no Service.
_STAND_INS = "10.96.0.10, 10.96.0.20, 10.96.0.30, 10.96.0.40"

_RULES = f"""
table ip kube-proxy {{
  map services {{
    type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat;
    dnat ip to meta l4proto . ip daddr . th dport map @services
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    ct state established,related accept
    ip daddr {SERVICES} ip daddr != {{ {_STAND_INS} }} meta l4proto tcp reject with tcp reset
    ip daddr {SERVICES} ip daddr != {{ {_STAND_INS} }} reject
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ip saddr {PODS} ip daddr != {{ {PODS}, {_HOME}, {SERVICES} }} masquerade
  }}
}}
"""


@dataclass(frozen=True)
class Endpoint:
    """protocol (tcp or udp), address, port"""

    protocol: str
    address: str
    port: int


@dataclass
class Node:
    """`labels` are what a nodeSelector sees."""

    number: int
    host: Namespace
    labels: dict[str, str]
    _free: list[int] = field(default_factory=lambda: list(range(10, 250)))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _services: dict[Endpoint, Endpoint] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"node{self.number}"

    @property
    def address(self) -> str:
        return f"192.168.77.{30 + self.number}"

    @property
    def pods(self) -> str:
        return f"10.244.{self.number}.0/24"

    def create(self, lab: Lab) -> None:
        self.host.create()
        self.host.sysctl({"net.ipv4.ip_forward": "1"})
        lab.nat.configure([
            f"link add {self.name} type veth peer name eth0 netns {self.host.name}",
            f"link set {self.name} master br0",
            f"link set {self.name} up",
            f"route add {self.pods} via {self.address}",
        ])
        self.host.configure([
            f"addr add {self.address}/24 dev eth0",
            "link set eth0 up",
            "route add default via 192.168.77.1",
            f"route add {SERVICES} via 192.168.77.20",
            "link add cni0 type bridge forward_delay 0",
            f"addr add 10.244.{self.number}.1/24 dev cni0",
            "link set cni0 up",
        ])
        for host in (lab.home, lab.backend):
            host.configure([f"route add {self.pods} via {self.address}"])
        run(["ip", "netns", "exec", self.host.name, "nft", "-f", "-"], input=_RULES)

    def attach(self, pod: Namespace, sysctls: dict[str, str]) -> str:
        """Makes the pod's network and returns its address. As on a node with kube-proxy, forwarding is on already."""
        with self._lock:
            last = self._free.pop(0)
        address = f"10.244.{self.number}.{last}"
        attempt(["ip", "netns", "del", pod.name])
        pod.create()
        self.host.configure([
            f"link add pod{last} type veth peer name eth0 netns {pod.name}",
            f"link set pod{last} master cni0",
            f"link set pod{last} up",
        ])
        pod.configure([
            f"addr add {address}/24 dev eth0",
            "link set eth0 up",
            f"route add default via 10.244.{self.number}.1",
        ])
        pod.sysctl({"net.ipv4.ip_forward": "1", **sysctls})
        return address

    def detach(self, pod: Namespace, address: str) -> None:
        attempt(["ip", "netns", "del", pod.name])
        attempt(["ip", "-n", self.host.name, "link", "del", f"pod{address.rpartition('.')[2]}"])
        with self._lock:
            self._free.append(int(address.rpartition(".")[2]))

    def serve(self, services: dict[Endpoint, Endpoint]) -> None:
        """Leads each Service's endpoint to its backend, all in one transaction; UDP flows that would go on to the old one end."""
        with self._lock:
            if services == self._services:
                return
            elements = ", ".join(f"{one.protocol} . {one.address} . {one.port} : {to.address} . {to.port}"
                                 for one, to in sorted(services.items(), key=str))
            lines = "flush map ip kube-proxy services\n"
            if elements:
                lines += f"add element ip kube-proxy services {{ {elements} }}\n"
            run(["ip", "netns", "exec", self.host.name, "nft", "-f", "-"], input=lines)
            for one in {*self._services, *services}:
                if one.protocol == "udp" and self._services.get(one) != services.get(one):
                    attempt(["ip", "netns", "exec", self.host.name, "conntrack", "-D", "-p", "udp", "--orig-dst", one.address,
                             "--orig-port-dst", str(one.port)])
            self._services = services


def make(lab: Lab, count: int = 3) -> list[Node]:
    """Nodes that are part of the lab already, or are made so with `create`. The last ones carry the label of edge nodes."""
    return [Node(number, Namespace(lab.instance, f"node{number}"),
                 {"kubernetes.io/hostname": f"node{number}", "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
                  "node-role.kubernetes.io/edge": "true"})
            for number in range(1, count + 1)]
