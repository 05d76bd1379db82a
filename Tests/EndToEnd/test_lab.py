"""The lab itself, without Tidegate: a test can only be as right as what it stands on."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import unittest
from pathlib import Path

from lab import cgroups, machine, paths
from lab.laboratory import Lab
from lab.network import BACKEND, HOME, NAT, VPS, VPS6
from product import traffic
from product.traffic import NotIntact, eventually

_OWNER = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from lab.laboratory import Lab
Lab("killed").up(attached=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


class LabTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.lab = Lab("selftest").up(attached=True)
        cls.addClassCleanup(cls.lab.down)

    def test_the_internet_reaches_the_vps_and_nothing_behind_the_nat(self) -> None:
        for address in (VPS, VPS6):
            self.lab.client.connect(address, 22).close()
        for address in (HOME, BACKEND, NAT):
            with self.assertRaises(OSError):
                self.lab.internet.connect(address, 22, timeout=0.5)
        self.lab.home.connect(VPS, 22).close()

    def test_backends_echo_and_say_whom_they_saw(self) -> None:
        traffic.echo_once(self.lab.home, BACKEND, 7000, 1 << 20)
        self.assertEqual(traffic.whoami(self.lab.home, "10.96.0.20", 8080)["peer"], HOME)
        with traffic.Datagrams(self.lab.home, "10.96.3.3", 7000) as session:
            session.echo(9000)
            self.assertEqual(session.whoami()["peer"], HOME)
        own = (self.lab.certificates.folder / "two.crt").read_text()
        secured = traffic.tls(self.lab.home, BACKEND, 7444, "two.example.test", self.lab.certificates.root.certificate_text)
        self.assertEqual(secured.certificate, ssl.PEM_cert_to_DER_cert(own))

    def test_backend_reads_proxy_headers_and_refuses_their_absence(self) -> None:
        version_2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11" + struct.pack("!H4s4sHH", 12, bytes([1, 2, 3, 4]), bytes(4), 99, 1)
        for header, version in ((b"PROXY TCP4 1.2.3.4 5.6.7.8 99 1\r\n", 1), (version_2, 2)):
            with self.lab.home.connect(BACKEND, 7010) as connection:
                connection.sendall(header[:7])
                connection.sendall(header[7:])
                self.assertEqual(traffic.ask(connection)["proxy"], {"version": version, "address": "1.2.3.4", "port": 99})
        with self.assertRaises(NotIntact):
            traffic.whoami(self.lab.home, BACKEND, 7010)

    def test_reboot_keeps_the_disk_and_forgets_the_network(self) -> None:
        vps = self.lab.vps
        vps.exec(["touch", "/root/kept"])
        vps.exec(["ip", "link", "add", "forgotten", "type", "bridge"])
        vps.exec(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])
        vps.reboot()
        self.assertIn("kept", vps.exec(["ls", "/root"]))
        self.assertNotIn("forgotten", vps.exec(["ip", "-o", "link"]))
        self.assertEqual(vps.exec(["sysctl", "-n", "net.ipv4.ip_forward"]).strip(), "0")

    def test_disk_survives_a_power_cut(self) -> None:
        self.lab.vps.exec(["touch", "/root/before-the-cut"])
        self.lab.vps.cut_power()
        self.assertFalse(machine.has_answer(self.lab.internet, VPS, 22))
        self.lab.vps.start()
        self.lab.vps.wait_ready()
        self.assertIn("before-the-cut", self.lab.vps.exec(["ls", "/root"]))

    def test_hosts_have_wireguard_sockets_and_names_of_their_own(self) -> None:
        self.lab.home.run(["touch", "/run/wireguard/mine"])
        self.assertEqual(self.lab.uplinks[0].run(["ls", "/run/wireguard"]), "")
        self.assertIn(VPS, self.lab.home.run(["getent", "hosts", "vps.example.test"]))

    def test_a_killed_owner_leaves_nothing(self) -> None:
        folder = str(paths.PACKAGE.parent)
        killed = subprocess.run([sys.executable, "-c", _OWNER, folder], stdin=subprocess.DEVNULL, timeout=60)
        self.assertEqual(killed.returncode, -signal.SIGKILL)
        eventually(lambda: not paths.state("killed").exists(), within=15)
        self.assertEqual(list(Path("/run/netns").glob("tg-killed-*")), [])
        self.assertEqual(cgroups.processes("tg-killed-"), set())
        self.assertNotIn("tidegate-lab/killed", Path("/proc/self/mountinfo").read_text())

    def test_the_calling_thread_is_back_at_home_after_a_socket(self) -> None:
        before = os.readlink("/proc/thread-self/ns/net")
        self.lab.client.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
        self.assertEqual(os.readlink("/proc/thread-self/ns/net"), before)
