"""1 → 3 → 1 uplinks while clients come and go: no request fails, and what needs not end does not."""

from __future__ import annotations

import time

from cluster_stage import UPLINKS, ClusterTest
from lab.network import BACKEND, VPS
from load import SteadyLoad
from product import manifests as m
from product import traffic
from product.traffic import HeldConnection, eventually

_HELD = 12


class ClusterScaleTests(ClusterTest):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.kubectl.apply(m.port_binding("scaled", "edge", m.tcp("scaled", 7200, BACKEND, 7000)))
        eventually(lambda: traffic.whoami(cls.lab.client, VPS, 7200), within=20)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.kubectl("delete", "portbinding", "scaled")

    def setUp(self) -> None:
        self.addCleanup(self.scale, 1)

    def scale(self, replicas: int) -> None:
        self.kubectl("patch", "edgenode", "edge", "--type=merge", "--patch", f'{{"spec":{{"uplink":{{"replicas":{replicas}}}}}}}')

    def ready(self) -> int:
        return sum(1 for one in self.stage.status("EdgeNode", "edge").get("uplinks", []) if one["ready"])

    def serves_steadily(self) -> bool:
        """For 3 s: the probe that was under way when an uplink came back may still fail, which takes it out once more."""
        for _ in range(15):
            traffic.whoami(self.lab.client, VPS, 7200)
            time.sleep(0.2)
        return True

    def held(self) -> list[tuple[HeldConnection, str]]:
        """Long connections, each with the uplink that carries it."""
        opened = [HeldConnection(self.lab.client, VPS, 7200) for _ in range(_HELD)]
        for one in opened:
            self.addCleanup(one.close)
        return [(one, traffic.ask(one.connection)["peer"]) for one in opened]

    def test_one_three_one_under_load(self) -> None:
        first = self.stage.get("Pod", "edge-uplink-0", UPLINKS)["status"]["podIP"]
        survivors = self.held()
        with SteadyLoad(self.lab.client, VPS, 7200) as load:
            self.scale(3)
            eventually(lambda: self.ready() == 3, within=60)
            eventually(lambda: len(load.peers) == 3, within=30)
            self.assertEqual(self.stage.keys(), {"priv-0", "priv-1", "priv-2"})
            eventually(lambda: self.stage.get("PodDisruptionBudget", "edge-uplink", UPLINKS), within=10)
            survivors += [(one, peer) for one, peer in self.held() if peer == first]
            self.scale(1)
            eventually(lambda: "deletionTimestamp" in self.stage.get("Pod", "edge-uplink-2", UPLINKS)["metadata"], within=15)
            while self.stage.get("Pod", "edge-uplink-2", UPLINKS) is not None:
                self.assertIn("priv-2", self.stage.keys(), "a replica's key outlives its pod")
                for one, _ in survivors:
                    one.check()
            self.stage.wait_gone("Pod", "edge-uplink-1", namespace=UPLINKS, within=60)
            for one, _ in survivors:
                one.check()
        self.assertEqual(load.failures, [], f"of {load.requests}")
        self.assertGreater(load.requests, 200)
        self.stage.wait_gone("PodDisruptionBudget", "edge-uplink", namespace=UPLINKS)
        eventually(lambda: self.stage.keys() == {"priv-0"}, within=30)
        eventually(lambda: len(self.stage.status("EdgeNode", "edge")["uplinks"]) == 1, within=30)
        for one, _ in survivors:
            one.check()

    def test_an_uplink_that_dies_comes_back(self) -> None:
        self.stage.cluster.kill(UPLINKS, "edge-uplink-0")
        eventually(lambda: self.stage.get("Pod", "edge-uplink-0", UPLINKS)["status"]["containerStatuses"][0]["restartCount"] >= 1, within=15)
        eventually(self.serves_steadily, within=60)
