"""Enrollment under bad luck: the connection is cut, the disk is full, the machine dies. Nothing half-done stays."""

from __future__ import annotations

import time

from lab.commands import CommandFailed, run
from lab.machine import NspawnMachine
from lab.network import BACKEND, VPS
from product import manifests as m
from product import traffic
from product.traffic import eventually
from stage import EndToEnd, Stage, fresh

_MIB = 1 << 20


class HardshipTests(EndToEnd):
    @classmethod
    def setUpClass(cls) -> None:
        """Each test takes a stage of its own."""

    def begin(self, **options) -> None:
        self.stage: Stage = fresh(**options)
        self.lab, self.standalone = self.stage.lab, self.stage.standalone
        machine = self.lab.vps
        assert isinstance(machine, NspawnMachine)
        self.machine = machine
        self.standalone.write_node()
        self.standalone.write("web.yaml", m.port_binding("web", "edge", m.tcp("web", 80, BACKEND, 7000)))
        self.standalone.start()

    def assert_all_is_well(self, within: float) -> None:
        self.standalone.wait("EdgeNode", "edge", within=within)
        eventually(lambda: traffic.whoami(self.lab.client, VPS, 80), within=15)
        odd = [path for path in (self.machine.root / "usr/local/lib").rglob("*")
               if any(word in path.name for word in ("tmp", "partial", ".new", "staging"))]
        self.assertEqual(odd, [], "what a cut push began is cleared away")

    def written(self) -> int:
        """Bytes on the VPS's disk beyond its system."""
        disk = self.machine.folder / "disk"
        return int(run(["df", "--output=used", "--block-size=1", str(disk)]).split()[-1])

    def test_ssh_cut_in_the_middle_of_the_pushes(self) -> None:
        self.begin()
        start, cuts = self.written(), 0
        # The agent's bundle is about 7 MB, Envoy follows with 107: one cut in each, and one more.
        for mark in (1 * _MIB, 30 * _MIB, 80 * _MIB):
            deadline = time.monotonic() + 60
            while self.written() - start < mark and time.monotonic() < deadline:
                time.sleep(0.01)
            try:
                self.machine.exec(["pkill", "-KILL", "-f", "^sshd: root"])
                cuts += 1
            except CommandFailed:
                pass  # nobody was logged in at that moment
        self.assertGreaterEqual(cuts, 2)
        self.assert_all_is_well(within=240)

    def test_disk_full(self) -> None:
        self.begin(disk_bytes=48 * _MIB)
        said = self.standalone.wait("EdgeNode", "edge", status="False", within=60)["message"]
        eventually(lambda: "space" in self.standalone.condition("EdgeNode", "edge", "Ready").get("message", ""), within=60)
        self.assertTrue(said)
        run(["mount", "-o", "remount,size=1g", str(self.machine.folder / "disk")])
        self.assert_all_is_well(within=240)

    def test_power_cut_during_the_pushes(self) -> None:
        self.begin()
        start = self.written()
        eventually(lambda: self.written() - start > 20 * _MIB, within=60, every=0.01)
        self.machine.cut_power()
        eventually(lambda: self.standalone.condition("EdgeNode", "edge", "Ready").get("status") == "False", within=60)
        self.machine.start()
        self.machine.wait_ready()
        self.assert_all_is_well(within=240)

    def test_wrong_password_and_no_such_host_are_told_apart(self) -> None:
        self.begin()
        secret = m.ssh_secret("vps-ssh", password="wrong", knownHosts=self.lab.known_hosts())
        self.standalone.write("node.yaml", m.edge_node("edge", VPS), secret)
        eventually(lambda: "publickey" in self.standalone.condition("EdgeNode", "edge", "Ready").get("message", ""), within=60)
        nowhere = m.edge_node("nowhere", "198.18.1.99", ssh={"connectTimeout": "2s"})
        self.standalone.write("nowhere.yaml", nowhere)
        eventually(lambda: "198.18.1.99" in self.standalone.condition("EdgeNode", "nowhere", "Ready").get("message", ""), within=30)
