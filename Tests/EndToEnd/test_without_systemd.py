"""A VPS without systemd: the agent keeps Envoy and wireguard-go itself, and says what a reboot needs."""

from __future__ import annotations

import json
import time

from lab.commands import CommandFailed
from lab.network import BACKEND, VPS
from load import SteadyLoad
from product import manifests as m
from product import traffic
from product.traffic import HeldConnection, eventually
from stage import EndToEnd, Stage, fresh

_AGENT = "/usr/local/lib/tidegate/edge-agent"


class WithoutSystemdTests(EndToEnd):
    """In this order, on one VPS: unittest runs them by name."""

    @classmethod
    def make_stage(cls) -> Stage:
        stage = fresh(systemd=False)
        cls.before = cls.files(stage)
        stage.standalone.write_node()
        stage.standalone.write("web.yaml", m.port_binding(
            "web", "edge", m.tcp("web", 80, BACKEND, 7000), m.udp("datagrams", 53, BACKEND, 7000)))
        stage.standalone.start()
        stage.standalone.wait("EdgeNode", "edge", within=120)
        stage.standalone.wait("PortBinding", "web")
        return stage

    @classmethod
    def files(cls, stage: Stage) -> set[str]:
        """What is there of ours, or of any stray."""
        look = "find /run /usr/local /var/log /etc/tidegate -xdev 2>/dev/null; ps -eo args --no-headers | grep -i '[t]idegate'; true"
        found = stage.lab.vps.exec(["sh", "-c", look])
        return set(found.splitlines())

    def supervision(self) -> dict:
        try:
            return json.loads(self.lab.vps.exec(["cat", "/run/tidegate/envoy.json"]))
        except CommandFailed as error:
            raise AssertionError("nothing supervises Envoy") from error

    def serving(self) -> int:
        return next((one["pid"] for one in self.supervision()["processes"] if one["phase"] == "serving"), 0)

    def assert_traffic(self) -> bool:
        traffic.echo_once(self.lab.client, VPS, 80, 100_000)
        with traffic.Datagrams(self.lab.client, VPS, 53, timeout=1) as session:
            session.echo(1000)
        return True

    def test_1_it_serves_and_says_that_a_reboot_needs_help(self) -> None:
        self.assertNotEqual(self.lab.vps.exec(["cat", "/proc/1/comm"]).strip(), "systemd")
        self.assert_traffic()
        said = self.standalone.condition("EdgeNode", "edge", "Ready")["message"]
        self.assertIn("no systemd", said)
        self.assertIn(f"{_AGENT} boot", said)

    def test_2_envoy_has_no_right_but_the_low_ports(self) -> None:
        for pid in (self.serving(), self.supervision()["supervisor"]):
            status = dict(line.split(":\t", 1) for line in self.lab.vps.exec(["cat", f"/proc/{pid}/status"]).splitlines() if ":\t" in line)
            self.assertNotIn("0", status["Uid"].split())
            self.assertEqual(status["Groups"].strip(), "")
            for kind in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"):
                self.assertEqual(int(status[kind], 16), 1 << 10, f"{kind} of {pid}: CAP_NET_BIND_SERVICE alone")
            self.assertEqual(status["NoNewPrivs"], "1")
            limits = self.lab.vps.exec(["cat", f"/proc/{pid}/limits"])
            self.assertRegex(limits, r"Max core file size +0 +0 ")

    def test_3_restart_is_hot(self) -> None:
        held, before = HeldConnection(self.lab.client, VPS, 80), self.serving()
        with SteadyLoad(self.lab.client, VPS, 80) as load:
            self.assertIn("hot restart", self.lab.vps.exec([_AGENT, "restart-envoy"]))
            time.sleep(2)
        self.assertEqual(load.failures, [])
        self.assertNotEqual(self.serving(), before)
        held.check()
        held.close()

    def test_4_whatever_dies_comes_back(self) -> None:
        for victim in (self.serving(), self.supervision()["supervisor"]):
            self.lab.vps.exec(["kill", "-KILL", str(victim)])
            eventually(lambda: victim not in (self.serving(), self.supervision()["supervisor"]) and self.serving(), within=15)
            eventually(self.assert_traffic, within=15)
        self.lab.vps.exec(["pkill", "-KILL", "-f", "^/usr/local/lib/tidegate/ld.so.*wireguard-go"])
        time.sleep(1)
        eventually(self.assert_traffic, within=40, every=0.5)

    def test_5_after_a_reboot_boot_brings_all_back(self) -> None:
        self.standalone.stop()
        self.lab.vps.cut_power()
        self.lab.vps.start()
        self.lab.vps.wait_ready()
        with self.assertRaises(OSError):
            self.lab.client.connect(VPS, 80, timeout=2)
        self.lab.vps.exec([_AGENT, "boot"])
        eventually(self.assert_traffic, within=60, every=0.5)

    def test_6_teardown_leaves_nothing(self) -> None:
        self.standalone.start()
        self.standalone.wait("EdgeNode", "edge", within=60)
        self.standalone.remove("web.yaml")
        self.standalone.remove("node.yaml")
        def clean() -> bool:
            """Nothing of ours is left."""
            left = {line for line in self.files(self.stage) - self.before if "tidegate" in line or "wireguard" in line}
            self.assertEqual(left, set())
            return True
        eventually(clean, within=60, every=0.5)
        self.assert_refused(self.lab.client.connect, VPS, 80)
