"""The API server and the way to it misbehave while things change: traffic flows, and the controller comes back by itself."""

from __future__ import annotations

import os
import time

from cluster_stage import UPLINKS, ClusterTest
from lab.network import BACKEND, VPS
from load import SteadyLoad
from product import manifests as m
from product import traffic
from product.traffic import HeldConnection, eventually

# Seconds that the API server is away.
_AWAY = 600 if os.environ.get("TIDEGATE_LONG") == "1" else 25  # more than the Lease lasts
_COLLECTIONS = ("edgenodes", "portbindings", "services", "secrets", "pods", "statefulsets")


class ClusterWireTests(ClusterTest):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.stage.kubectl.apply(m.port_binding("steady", "edge", m.tcp("steady", 7500, BACKEND, 7000)))
        eventually(lambda: traffic.whoami(cls.lab.client, VPS, 7500), within=20)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.stage.kubectl("delete", "portbinding", "steady")

    def setUp(self) -> None:
        self.server = self.stage.server
        self.held = HeldConnection(self.lab.client, VPS, 7500)
        self.addCleanup(self.held.close)
        self.addCleanup(self.server.clear_faults)
        self.me = self.stage.user()

    def tearDown(self) -> None:
        self.held.check()
        self.assertEqual(traffic.whoami(self.lab.client, VPS, 7500)["name"], "echo")

    def change(self, name: str, port: int) -> None:
        self.publish(m.port_binding(name, "edge", m.tcp(name, port, BACKEND, 7001)))

    def in_force(self, port: int, *, within: float) -> float:
        """Waits until the port answers; how long that took."""
        began = time.monotonic()
        eventually(lambda: traffic.whoami(self.lab.client, VPS, port, timeout=0.5)["name"] == "other", within=within)
        return time.monotonic() - began

    def lists(self) -> dict[str, int]:
        """The controller's own lists since the record began."""
        found: dict[str, int] = {}
        for one in self.server.control("records"):
            if one["user"] == self.me and one["verb"] == "list":
                found[one["resource"]] = found.get(one["resource"], 0) + 1
        return found

    def test_a_changed_config_map_reaches_the_uplink_at_once(self) -> None:
        self.change("quick", 7501)
        took = self.in_force(7501, within=5)
        print(f"        applied to first byte: {took:.2f} s after kubectl came back", flush=True)
        config = self.stage.get("ConfigMap", "edge-uplink-config", UPLINKS)["metadata"]["annotations"]
        pod = self.stage.get("Pod", "edge-uplink-0", UPLINKS)["metadata"]["annotations"]
        self.assertTrue([key for key in config if key.startswith("tunnel.achetronic.com/") and pod.get(key) == config[key] and "hash" in key])

    def test_events_split_anywhere(self) -> None:
        self.server.split_events(7)
        self.change("split", 7502)
        self.in_force(7502, within=15)

    def test_events_joined(self) -> None:
        self.server.join_events(4)
        for number in range(3):
            self.change(f"joined-{number}", 7503 + number)
        for number in range(3):
            self.in_force(7503 + number, within=15)

    def test_watches_are_told_410(self) -> None:
        self.server.control("record")
        self.server.control("expire_watches")
        self.change("expired", 7510)
        self.in_force(7510, within=30)
        self.assertTrue(all(count <= 2 * _watches_of(resource) for resource, count in self.lists().items()), self.lists())

    def test_watches_are_cut_in_the_middle_of_an_event(self) -> None:
        for resource in ("portbindings", "edgenodes", "services"):
            self.server.cut_watches(resource, bytes=300, times=2)
        self.server.control("end_watches", cut=True)
        self.server.control("record")
        self.change("cut", 7511)
        self.in_force(7511, within=30)
        self.assertEqual(self.lists().get("portbindings", 0), 0, "a cut is no reason to list")

    def test_a_storm_of_conflicts(self) -> None:
        self.server.answer(409, verb="update|patch", user=self.me, times=12)
        self.change("conflict", 7512)
        self.in_force(7512, within=40)
        self.stage.wait_binding("conflict", "conflict", within=60)

    def test_too_many_requests(self) -> None:
        self.server.answer(429, retry_after=1, user=self.me, verb="get|list|create|update|patch", times=6)
        self.change("throttled", 7513)
        self.in_force(7513, within=40)

    def test_internal_errors_and_unavailable(self) -> None:
        self.server.answer(500, user=self.me, times=8)
        self.server.answer(503, user=self.me, times=4)
        self.change("failing", 7514)
        self.in_force(7514, within=60)

    def test_an_answer_lost(self) -> None:
        self.server.answer(500, verb="patch|update|create", user=self.me, times=3, after=True)
        self.change("lost", 7515)
        self.in_force(7515, within=40)

    def test_a_slow_list(self) -> None:
        self.server.delay(4, verb="list", times=6)
        self.server.control("expire_watches", resource="portbindings")
        self.change("slow", 7516)
        self.in_force(7516, within=40)

    def test_bookmarks_alone(self) -> None:
        self.server.control("record")
        for _ in range(20):
            self.server.control("bookmark")
        # Resumed where the last bookmark was: what is older is forgotten, and nobody lists.
        self.server.forget_history()
        self.server.control("end_watches")
        self.change("marked", 7517)
        self.in_force(7517, within=20)
        self.assertEqual(self.lists(), {})

    def test_a_token_that_ends(self) -> None:
        self.server.control("expire", user=self.me)
        self.change("expired-token", 7518)
        time.sleep(2)
        self.stage.renew_token()
        self.in_force(7518, within=40)

    def test_the_server_is_away(self) -> None:
        with SteadyLoad(self.lab.client, VPS, 7500, threads=2, pause=0.2) as load:
            self.server.stop()
            time.sleep(_AWAY)
            self.server.start()
            self.server.control("record")
            began = time.monotonic()
            self.change("returned", 7519)
            self.in_force(7519, within=75)
            print(f"        back at work after {time.monotonic() - began:.1f} s", flush=True)
        self.assertEqual(load.failures, [], f"of {load.requests}")
        lists = self.lists()
        self.assertTrue(all(count <= 2 * _watches_of(resource) for resource, count in lists.items()), lists)
        requests = [one for one in self.server.control("records") if one["user"] == self.me]
        self.assertLess(len(requests), 150, "no storm of requests")


def _watches_of(resource: str) -> int:
    """How many watches the controller may have of a kind: Secrets by name, the uplinks' objects by namespace."""
    return 8 if resource == "secrets" else 3
