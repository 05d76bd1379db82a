"""Many bindings on one EdgeNode, and what they cost: for the rows of scale."""

from __future__ import annotations

import os
import random
import re
import time
from pathlib import Path

from cluster.api import APIError
from cluster_stage import GROUP, UPLINKS
from lab.network import BACKEND, VPS
from product import manifests as m
from product import traffic
from scenes import ClusterScene

FIRST, EACH, DATAGRAMS = 20_000, 100, 5  # the first public port; bindings of a PortBinding, and how many of them are UDP
ONE_MORE = 19_999
_PATH = f"/apis/{GROUP}/v1alpha1/namespaces/default/portbindings"
# One listener answers for all ports; what was asked for it says itself (backends.py).
_ALL_PORTS = f"""table ip many {{
  chain prerouting {{
    type nat hook prerouting priority dstnat;
    ip daddr {BACKEND} tcp dport {FIRST - 100}-{FIRST + 9_999} redirect to :7000
    ip daddr {BACKEND} udp dport {FIRST - 100}-{FIRST + 9_999} redirect to :7000
  }}
}}
"""


class Many:
    """`count` bindings in PortBindings of a hundred, every tenth of these to a Service, the others to an address."""

    def __init__(self, scene: ClusterScene, count: int):
        self.scene, self.api, self.count = scene, scene.stage.api, count
        self.names = [f"many-{number}" for number in range(-(-count // EACH))]
        ports = range(FIRST, FIRST + count)
        self.datagrams = [port for port in ports if port % EACH >= EACH - DATAGRAMS]
        self.streams = [port for port in ports if port % EACH < EACH - DATAGRAMS]
        self.random = random.Random(count)

    def _protocol(self, port: int) -> str:
        return "UDP" if port % EACH >= EACH - DATAGRAMS else "TCP"

    def _objects(self, number: int) -> list[m.Manifest]:
        ports = range(FIRST + number * EACH, min(FIRST + (number + 1) * EACH, FIRST + self.count))
        name = self.names[number]
        if number % 10:
            return [m.port_binding(name, "edge", *((m.udp if self._protocol(port) == "UDP" else m.tcp)(f"p{port}", port, BACKEND, port)
                                                   for port in ports))]
        service = {"apiVersion": "v1", "kind": "Service",
                   "metadata": {"name": name, "namespace": "default", "annotations": {"lab.example.test/backend": BACKEND}},
                   "spec": {"ports": [{"name": f"p{port}", "port": port, "protocol": self._protocol(port)} for port in ports]}}
        bindings = []
        for port in ports:
            one = m.tcp_to_service(f"p{port}", port, name, port)
            bindings.append({**one, "protocol": self._protocol(port)})
        return [service, m.port_binding(name, "edge", *bindings)]

    def apply(self) -> None:
        self.scene.lab.backend.run(["sh", "-c", "nft list table ip many >/dev/null 2>&1 || nft -f -"], input=_ALL_PORTS)
        for number in range(len(self.names)):
            for one in self._objects(number):
                path = _PATH if one["kind"] == "PortBinding" else "/api/v1/namespaces/default/services"
                self.api.request("POST", path, one, timeout=60)

    def add(self, name: str, port: int) -> None:
        self.api.request("POST", _PATH, m.port_binding(name, "edge", m.tcp(name, port, BACKEND, port)))

    def remove(self, *more: str) -> None:
        for name in (*self.names, *more):
            for path in (f"{_PATH}/{name}", f"/api/v1/namespaces/default/services/{name}"):
                try:
                    self.api.request("DELETE", path)
                except APIError as error:
                    if error.status != 404:
                        raise
        traffic.eventually(lambda: self.scene.stage.status("EdgeNode", "edge").get("appliedBindings") == 1, within=90, every=0.5)

    def states(self) -> list[dict]:
        """The status of each binding: name, ready, reason, message; those without one yet are not among them."""
        return [one for listed in self.api.request("GET", _PATH, timeout=60)["items"] if listed["metadata"]["name"] in self.names
                for one in (listed.get("status") or {}).get("bindings") or []]

    def wait_ready(self, within: float) -> None:
        """Until each is. Raises AssertionError with what another says, and the EdgeNode."""
        began = time.monotonic()
        while True:
            states = self.states()
            ready = sum(1 for one in states if one["ready"])
            if ready == self.count:
                return
            if time.monotonic() - began > within:
                node = self.scene.stage.condition("EdgeNode", "edge")
                why = next((f"{one['reason']}: {one['message']}" for one in states if not one["ready"]), "no status")
                raise AssertionError(f"{ready} of {self.count} bindings were Ready after {within:.0f} s; one said {why}; the EdgeNode said "
                                     f"{node.get('reason')}: {node.get('message')}; {self.restarts()} restarts of uplinks")
            time.sleep(0.25)

    def restarts(self) -> int:
        """Of the uplinks' containers."""
        return sum(status["restartCount"] for pod in self.scene.stage.list("Pod", UPLINKS)
                   for status in pod.get("status", {}).get("containerStatuses") or [])

    def sample(self, count: int = 60) -> None:
        """Each of so many ports leads where it should. Raises AssertionError."""
        for port in self.random.sample(self.streams, min(count, len(self.streams))):
            seen = traffic.whoami(self.scene.lab.client, VPS, port)
            assert seen["asked"] == port, f"port {port} led to {seen['asked']}"
        for port in self.random.sample(self.datagrams, min(count // 6, len(self.datagrams))):
            with traffic.Datagrams(self.scene.lab.client, VPS, port) as session:
                session.echo(64)


# What processes cost

def of_vps(scene: ClusterScene, *names: str) -> list[int]:
    return [pid for pid in scene.lab.vps.namespace.pids() if _name(pid) in names]


def of_uplink(scene: ClusterScene, ordinal: int) -> list[int]:
    return [pid for pid in scene.stage.cluster.host_of(UPLINKS, f"edge-uplink-{ordinal}").pids() if _name(pid) in ("uplink", "wireguard-go")]


def _name(pid: int) -> str:
    """Of its program; empty when it is gone. On the VPS some are started by the bundle's own loader: `ld.so --library-path FOLDER PROGRAM`."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    names = [os.path.basename(word) for word in words[:4]]
    return names[3] if names[0] == "ld.so" and len(names) > 3 else names[0]


def spent(pids: list[int]) -> float:
    """CPU seconds that these processes took so far."""
    total = 0.0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def resident(pids: list[int]) -> float:
    """MB of the largest of them."""
    sizes = [0]
    for pid in pids:
        try:
            found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        except OSError:
            continue
        sizes.append(int(found[1]) if found else 0)
    return max(sizes) / 1024


def at_rest(groups: dict[str, list[int]], seconds: float) -> dict[str, float]:
    """The share of one core, in percent, that each group of processes takes over that time."""
    before = {name: spent(pids) for name, pids in groups.items()}
    began = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    return {name: (spent(pids) - before[name]) / took * 100 for name, pids in groups.items()}
