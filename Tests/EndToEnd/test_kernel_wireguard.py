"""The kernel's own WireGuard, on a VPS with its own kernel in QEMU."""

from __future__ import annotations

from lab.network import BACKEND, CLIENT, VPS
from product import manifests as m
from product import traffic
from product.traffic import eventually
from stage import EndToEnd, Stage, fresh


class KernelWireGuardTests(EndToEnd):
    """In this order, on one machine: unittest runs them by name."""

    @classmethod
    def make_stage(cls) -> Stage:
        stage = fresh(kernel_wireguard=True)
        stage.standalone.write_node(ssh={"connectTimeout": "60s"})
        stage.standalone.write("web.yaml", m.port_binding(
            "web", "edge", m.tcp("web", 80, BACKEND, 7010, proxyProtocol=True), m.udp("datagrams", 53, BACKEND, 7000)))
        stage.standalone.start()
        stage.standalone.wait("EdgeNode", "edge", within=400)
        return stage

    def assert_traffic(self) -> bool:
        self.assertEqual(traffic.whoami(self.lab.client, VPS, 80, timeout=10)["proxy"]["address"], CLIENT)
        with traffic.Datagrams(self.lab.client, VPS, 53, timeout=10) as session:
            session.echo(1200)
        return True

    def test_1_the_status_says_kernel(self) -> None:
        self.assertEqual(self.standalone.status("EdgeNode", "edge")["wireGuardKind"], "kernel")
        self.assertIn("wireguard", self.lab.vps.exec(["ip", "-details", "link", "show", "wg-relay"]))

    def test_2_traffic(self) -> None:
        eventually(self.assert_traffic, within=60)
        traffic.echo_once(self.lab.client, VPS, 80, 1 << 20, timeout=60)

    def test_3_reboot_and_traffic_again_without_the_controller(self) -> None:
        self.assertEqual(self.standalone.stop(), 0)
        self.lab.vps.reboot()
        eventually(self.assert_traffic, within=240, every=1)
