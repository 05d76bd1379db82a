"""What stays private: the home network, and every key in its place."""

from __future__ import annotations

import base64
import ipaddress
import re
from pathlib import Path

from lab.network import BACKEND, HOME, NAT, VPS
from product import manifests as m
from product import traffic
from product.traffic import eventually
from stage import EndToEnd

TUNNEL = ipaddress.ip_network("10.200.0.0/24")


def key_lines(pem: str) -> list[str]:
    """The lines of a PEM or OpenSSH key that are its secret; the first ones of an OpenSSH key are the same for every key."""
    return [line for line in pem.splitlines() if len(line) > 20 and "-----" not in line and not line.startswith("b3BlbnNzaC1rZXkt")]


class PrivacyTests(EndToEnd):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.certificate = cls.lab.certificates.issue("private", "private.example.test")
        cls.standalone.write(
            "private.yaml",
            m.port_binding("private", "edge", m.tcp("private", 7500, BACKEND, 7000, tls=m.offload("private-tls"))),
            m.tls_secret("private-tls", cls.certificate))
        eventually(lambda: traffic.tls(cls.lab.client, VPS, 7500, "private.example.test", cls.lab.certificates.root.certificate_text),
                   within=15)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.standalone.remove("private.yaml")

    def test_nothing_at_home_listens_to_the_outside(self) -> None:
        listening = [line.split()[3] for line in self.lab.home.run(["ss", "--no-header", "-ltn"]).splitlines()]
        self.assertTrue(listening, "the uplink serves its readiness at least on its tunnel address")
        for local in listening:
            host, _, port = local.rpartition(":")
            host = host.strip("[]").split("%")[0]
            self.assertTrue(host not in ("*", "") and (ipaddress.ip_address(host).is_loopback or ipaddress.ip_address(host) in TUNNEL),
                            f"{local} is open to the home network")
            self.assert_no_entry(self.lab.backend, HOME, int(port))

    def assert_no_entry(self, seen_from, address: str, port: int) -> None:
        with self.assertRaises(OSError):
            seen_from.connect(address, port, timeout=0.5).close()

    def test_nothing_comes_in_from_the_internet(self) -> None:
        for port in (22, 40500, 40600, 51821):
            self.assert_no_entry(self.lab.internet, NAT, port)

    def test_the_vps_reaches_nothing_but_what_is_bound(self) -> None:
        vps = self.lab.vps.namespace
        for address, port in ((BACKEND, 7001), (BACKEND, 7000), ("192.168.77.1", 22), ("10.200.0.2", 22)):
            self.assert_no_entry(vps, address, port)

    def test_envoy_s_admin_is_closed_to_the_internet(self) -> None:
        for port in (9901, 15000, 40500, 40600):
            self.assert_refused(self.lab.client.connect, VPS, port, timeout=1)

    def test_the_relay_s_private_key_is_nowhere_but_on_the_vps(self) -> None:
        text = self.lab.vps.exec(["cat", "/etc/tidegate/relay.key"]).strip()
        raw = base64.b64decode(text)
        self.assertEqual(len(raw), 32)
        mode = self.lab.vps.exec(["stat", "--format=%a %U", "/etc/tidegate/relay.key"]).strip()
        self.assertEqual(mode, "600 root")
        for file in self.files_at_home():
            self.assert_lacks(file, text.encode(), raw, raw.hex().encode())

    def test_no_key_in_any_log(self) -> None:
        secrets = key_lines(self.lab.operator_key.private_text) + key_lines(self.certificate.key_text)
        secrets += [path.read_text().strip() for path in (self.standalone.state / "uplinks").rglob("priv-*")]
        secrets.append(self.lab.vps.exec(["cat", "/etc/tidegate/relay.key"]).strip())
        self.assertGreater(len(secrets), 5)
        logs = {"standalone's log": self.standalone.log_text(), "the VPS's journal": self.lab.vps.exec(["journalctl", "--no-pager"])}
        self.assertRegex(logs["standalone's log"], re.compile("debug", re.I), "the test is worth most at the debug level")
        for where, log in logs.items():
            for secret in secrets:
                self.assertNotIn(secret, log, f"a secret stands in {where}")

    def test_no_key_in_any_command_line_or_world_readable_file(self) -> None:
        secrets = [line.encode() for line in key_lines(self.lab.operator_key.private_text) + key_lines(self.certificate.key_text)]
        pids = self.lab.home.pids() + self.lab.vps.namespace.pids()
        self.assertGreater(len(pids), 5)
        for pid in pids:
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue  # it ended meanwhile
            for secret in secrets:
                self.assertNotIn(secret, line)
        for file in self.files_at_home():
            if file.is_relative_to(self.standalone.state) and file.stat().st_mode & 0o077:
                self.assert_lacks(file, *secrets)
        readable = self.lab.vps.exec(["find", "/etc/tidegate", "/usr/local/lib/tidegate", "-type", "f", "-perm", "/o+r"]).split()
        for name in readable:
            if name.startswith("/etc/tidegate"):
                self.assert_lacks(self.lab.vps.root / name.lstrip("/"), *secrets)

    def files_at_home(self) -> list[Path]:
        found = [path for path in self.standalone.folder.rglob("*") if path.is_file()]
        self.assertTrue(found)
        return found

    def assert_lacks(self, file: Path, *secrets: bytes) -> None:
        content = file.read_bytes()
        for secret in secrets:
            self.assertNotIn(secret, content, f"a secret stands in {file}")
