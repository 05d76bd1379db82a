"""The controller goes, the VPS reboots, the EdgeNode is deleted."""

from __future__ import annotations

import time

from lab.network import BACKEND, VPS
from product import manifests as m
from product import traffic
from product.traffic import HeldConnection, eventually
from stage import EndToEnd, Stage, fresh
import hosts


class LifecycleTests(EndToEnd):
    """In this order, on one VPS: unittest runs them by name."""

    before: dict[str, set[str]]

    @classmethod
    def make_stage(cls) -> Stage:
        stage = fresh()
        # The machine at rest, before anything of ours came near it.
        stage.lab.vps.exec(["systemctl", "is-system-running", "--wait"])
        cls.before = hosts.snapshot(stage.lab)
        stage.standalone.write_node(host={"kernelMaxSocketBufferBytes": 26214400, "disableNicOffloads": True})
        stage.standalone.write("web.yaml", m.port_binding(
            "web", "edge", m.tcp("web", 80, BACKEND, 7000), m.udp("datagrams", 53, BACKEND, 7000)))
        stage.standalone.start()
        stage.standalone.wait("EdgeNode", "edge", within=120)
        stage.standalone.wait("PortBinding", "web")
        return stage

    def assert_traffic(self) -> None:
        traffic.echo_once(self.lab.client, VPS, 80, 100_000)
        with traffic.Datagrams(self.lab.client, VPS, 53) as session:
            session.echo(1000)

    def test_1_traffic_goes_on_without_the_controller(self) -> None:
        held = HeldConnection(self.lab.client, VPS, 80)
        self.assertEqual(self.standalone.stop(), 0)
        for _ in range(5):
            self.assert_traffic()
            held.check()
            time.sleep(1)
        held.close()

    def test_2_the_vps_reboots_without_the_controller(self) -> None:
        self.lab.vps.reboot()
        eventually(lambda: self.assert_traffic() or True, within=120, every=0.5)

    def test_3_the_controller_comes_back_and_nothing_breaks(self) -> None:
        held = HeldConnection(self.lab.client, VPS, 80)
        self.standalone.start()
        self.standalone.wait("EdgeNode", "edge", within=60)
        held.check()
        self.assert_traffic()
        held.close()

    def test_4_the_vps_holds_nothing_of_ours_after_teardown(self) -> None:
        self.assertTrue(self.lab.vps.exec(["ls", "/etc/tidegate"]))
        self.standalone.remove("web.yaml")
        self.standalone.remove("node.yaml")
        eventually(lambda: hosts.differences(self.before, hosts.snapshot(self.lab)) == [] or self.fail_with_differences(),
                   within=60, every=0.5)
        self.assert_refused(self.lab.client.connect, VPS, 80)

    def fail_with_differences(self) -> None:
        raise AssertionError("\n".join(hosts.differences(self.before, hosts.snapshot(self.lab))))

    def test_5_home_holds_nothing_of_ours_either(self) -> None:
        links = eventually(lambda: "wg-uplink" not in (shown := self.lab.home.run(["ip", "-o", "link"])) and shown, within=15)
        self.assertNotIn("wg-uplink", links)
        self.assertNotIn("tidegate", self.lab.home.run(["nft", "list", "tables"]))
        self.assertEqual(self.standalone.stop(), 0)
        self.assertEqual(self.lab.home.pids(), [])
