"""Targets that are no cluster IP: ports by name, ready endpoints, and what cannot be one."""

from __future__ import annotations

from collections import Counter

from cluster_stage import ClusterTest
from lab.network import BACKEND, VPS
from product import manifests as m
from product import traffic
from product.traffic import HeldConnection, eventually

_PORT = 7300


def binding(name: str, listen: int, service: str, port: int | str, **more: str) -> dict:
    return {"name": name, "protocol": "TCP", "listenPort": listen, "target": {"service": {"name": service, "port": port, **more}}}


def headless(name: str) -> dict:
    """Without selector: its endpoints are what somebody writes."""
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
            "spec": {"clusterIP": "None", "ports": [{"name": "echo", "port": 80, "protocol": "TCP"}]}}


def endpoints(service: str, *ports: int, ready: bool = True) -> list[dict]:
    """A slice for each port of the lab's backend, which answers on each by another name."""
    return [{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
             "metadata": {"name": f"{service}-{port}", "namespace": "default", "labels": {"kubernetes.io/service-name": service}},
             "endpoints": [{"addresses": [BACKEND], "conditions": {"ready": ready}}],
             "ports": [{"name": "echo", "port": port, "protocol": "TCP"}]} for port in ports]


class TargetTests(ClusterTest):
    def names(self, count: int) -> Counter:
        return Counter(traffic.whoami(self.lab.client, VPS, _PORT)["name"] for _ in range(count))

    def test_a_port_by_name(self) -> None:
        self.publish(self.stage.service("by-name", (80, 7000), backend=BACKEND),
                     m.port_binding("by-name", "edge", binding("by-name", 7310, "by-name", "p80")))
        self.stage.wait_binding("by-name", "by-name")
        self.assertEqual(traffic.whoami(self.lab.client, VPS, 7310)["name"], "echo")

    def test_endpoints_come_and_go_without_a_cut(self) -> None:
        self.publish(headless("spread"), *endpoints("spread", 7000, 7001),
                     m.port_binding("spread", "edge", binding("spread", _PORT, "spread", "echo", resolve="Endpoints")))
        told = self.stage.wait_binding("spread", "spread")
        self.assertEqual(told["target"], f"{BACKEND}:7000 and 1 more")
        seen = self.names(40)
        self.assertEqual(set(seen), {"echo", "other"})
        self.assertGreater(min(seen.values()), 8, seen)
        held = [HeldConnection(self.lab.client, VPS, _PORT) for _ in range(4)]
        hash_before = self.stage.status("EdgeNode", "edge")["appliedConfigHash"]
        self.kubectl("delete", "endpointslice", "spread-7001")
        eventually(lambda: self.assertEqual(set(self.names(10)), {"echo"}) or True, within=20)
        self.kubectl.apply(*endpoints("spread", 7000, ready=False))
        self.stage.wait_binding("spread", "spread", ready=False, reason="TargetUnreachable")
        self.kubectl.apply(*endpoints("spread", 7001))
        eventually(lambda: self.assertEqual(set(self.names(10)), {"other"}) or True, within=20)
        self.stage.wait_binding("spread", "spread")
        for one in held:
            one.check()
            one.close()
        self.assertEqual(self.stage.status("EdgeNode", "edge")["appliedConfigHash"], hash_before, "the VPS knows nothing of endpoints")
        self.kubectl("delete", "endpointslice", "spread-7000", "--ignore-not-found")

    def test_what_cannot_be_one_says_why(self) -> None:
        external = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "outside", "namespace": "default"},
                    "spec": {"type": "ExternalName", "externalName": "nas.lan", "ports": [{"port": 443}]}}
        self.publish(external, headless("bare"),
                     m.port_binding("odd", "edge", binding("outside", 7320, "outside", 443), binding("bare", 7321, "bare", 80)))
        # No name server of the lab knows it: the uplink says so.
        told = self.stage.wait_binding("odd", "outside", ready=False, reason="TargetUnreachable")
        self.assertIn("nas.lan cannot be looked up", told["message"])
        self.assertEqual(told["target"], "nas.lan:443")
        told = self.stage.wait_binding("odd", "bare", ready=False, reason="TargetNotFound")
        self.assertIn("set target.service.resolve: Endpoints", told["message"])
