"""Two controllers: one leads, the other takes over, and one that was asleep meanwhile harms nothing."""

from __future__ import annotations

import json
import time

from cluster_stage import ClusterTest
from lab.network import BACKEND, VPS
from load import SteadyLoad
from product import manifests as m
from product import traffic
from product.controller import Controller
from product.fetch import fetch
from product.traffic import HeldConnection, eventually

# leaseDuration, from when the other saw the last renewal to when it looks again (client-go looks every retryPeriod of 2 s, times up
# to 2.2), and some to spare for two busy cores.
_TAKE_OVER = 15 + 2 * 4.4 + 4
_WRITES = ("create", "update", "patch", "delete", "deletecollection")


class ClusterLeaderTests(ClusterTest):
    """In this order: unittest runs them by name."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.leader = cls.stage.controllers[0]
        cls.other = cls.stage.controller(1)
        cls.stage.kubectl.apply(m.port_binding("led", "edge", m.tcp("led", 7400, BACKEND, 7000)))
        eventually(lambda: traffic.whoami(cls.lab.client, VPS, 7400), within=20)

    @classmethod
    def tearDownClass(cls) -> None:
        """One controller again, the first."""
        cls.other.resume()
        cls.other.kill()
        if not cls.leader.is_running:
            cls.leader.start()
        cls.stage.kubectl("delete", "portbinding", "led", "--ignore-not-found")

    def setUp(self) -> None:
        self.held = HeldConnection(self.lab.client, VPS, 7400)
        self.addCleanup(self.held.close)
        self.envoy = self.stage.envoy_pid()

    def tearDown(self) -> None:
        self.held.check()
        self.assertEqual(self.stage.envoy_pid(), self.envoy, "Envoy is the one it was")

    def taken_over(self, before: str) -> float:
        """Waits for another holder of the Lease, and says how long it took."""
        began = time.monotonic()
        eventually(lambda: self.stage.holder() not in ("", before), within=_TAKE_OVER)
        return time.monotonic() - began

    def assert_led(self, name: str, port: int) -> None:
        """Somebody does what a new PortBinding asks for."""
        self.publish(m.port_binding(name, "edge", m.tcp(name, port, BACKEND, 7001)))
        eventually(lambda: traffic.whoami(self.lab.client, VPS, port, timeout=0.5)["name"] == "other", within=20)
        self.stage.wait_binding(name, name)

    def ready(self, controller: Controller) -> bool:
        """/readyz says ok."""
        return fetch(self.lab.home, "127.0.0.1", controller.health_port, "/readyz").status == 200

    def vps_epoch(self) -> int:
        return json.loads(self.lab.vps.exec(["cat", "/etc/tidegate/state.json"]))["epoch"]

    def test_1_the_leader_dies(self) -> None:
        self.other.start()
        eventually(lambda: self.ready(self.other), within=20)
        before, epoch = self.stage.holder(), self.stage.epoch()
        with SteadyLoad(self.lab.client, VPS, 7400, threads=2) as load:
            self.leader.kill()
            took = self.taken_over(before)
            self.assert_led("after-death", 7401)
        self.assertEqual(load.failures, [], f"of {load.requests}")
        self.assertGreater(self.stage.epoch(), epoch)
        eventually(lambda: self.vps_epoch() == self.stage.epoch(), within=20)
        print(f"        took over after {took:.1f} s", flush=True)

    def test_2_a_leader_that_was_asleep_writes_nothing(self) -> None:
        self.leader.start()
        eventually(lambda: self.ready(self.leader), within=20)
        before = self.stage.holder()
        self.other.pause()
        self.taken_over(before)
        self.assert_led("while-asleep", 7402)
        eventually(lambda: self.vps_epoch() == self.stage.epoch(), within=20)
        holder, epoch = self.stage.holder(), self.stage.epoch()
        self.stage.server.control("record")
        self.other.resume()
        # Both are told of this; only one may act on it.
        self.assert_led("after-waking", 7403)
        time.sleep(5)
        wrote = [f"{one['verb']} {one['resource']} {one['name']}: {one['code']}" for one in self.stage.server.control("records")
                 if one["user"] == self.stage.user(1) and one["verb"] in _WRITES and one["code"] < 400]
        self.assertEqual(wrote, [])
        self.assertEqual((self.stage.holder(), self.stage.epoch(), self.vps_epoch()), (holder, epoch, epoch))
        self.assertTrue(self.other.is_running, "and waits for its turn")

    def test_3_a_leader_that_is_told_to_end_hands_over_at_once(self) -> None:
        eventually(lambda: self.ready(self.other), within=20)
        before = self.stage.holder()
        self.assertEqual(self.leader.stop(), 0)
        self.assertLess(self.taken_over(before), 6)
        self.assert_led("after-handover", 7404)

    def test_4_both_away_and_traffic_flows(self) -> None:
        self.assertEqual(self.other.stop(), 0)
        with SteadyLoad(self.lab.client, VPS, 7400, threads=2) as load:
            time.sleep(3)
        self.assertEqual(load.failures, [])
        self.leader.start()
        self.assert_led("back", 7405)
