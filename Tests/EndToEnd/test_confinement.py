"""What our processes may do on the VPS, and what others may do with our files: looked at on the running host."""

from __future__ import annotations

import re

from lab.network import BACKEND, VPS
from product import manifests as m
from product import traffic
from product.traffic import eventually
from stage import EndToEnd

_MOST_EXPOSED = 2.5
_PRIVILEGED_PORT = 443
_NET_BIND_SERVICE = 1 << 10
_OURS = ["/etc/tidegate", "/usr/local/lib/tidegate", "/run/tidegate", "/run/tidegate.lock", "/run/wireguard"]
_AS_ENVOY = ["setpriv", "--reuid=tidegate-envoy", "--regid=tidegate-envoy", "--clear-groups"]


class ConfinementTests(EndToEnd):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        certificate = cls.lab.certificates.issue("confined", "confined.example.test")
        cls.standalone.write(
            "confined.yaml",
            m.port_binding("confined", "edge", m.tcp("confined", _PRIVILEGED_PORT, BACKEND, 7000, tls=m.offload("confined-tls"))),
            m.tls_secret("confined-tls", certificate))
        root = cls.lab.certificates.root.certificate_text
        eventually(lambda: traffic.tls(cls.lab.client, VPS, _PRIVILEGED_PORT, "confined.example.test", root), within=15)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.standalone.remove("confined.yaml")

    def envoys(self) -> list[int]:
        """The supervisor and its Envoys."""
        pids = self.lab.vps.exec(["pgrep", "-u", "tidegate-envoy"]).split()
        self.assertGreaterEqual(len(pids), 2)
        return [int(pid) for pid in pids]

    def status(self, pid: int) -> dict[str, str]:
        lines = self.lab.vps.exec(["cat", f"/proc/{pid}/status"]).splitlines()
        return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}

    def test_units_are_little_exposed(self) -> None:
        for unit in ("envoy", "boot", "wireguard"):
            said = self.lab.vps.exec(["systemd-analyze", "security", "--no-pager", f"tidegate-{unit}.service"])
            found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
            assert found is not None, said
            with self.subTest(unit=unit, score=found[1]):
                self.assertLess(float(found[1]), _MOST_EXPOSED)

    def test_envoy_has_no_right_but_the_low_ports(self) -> None:
        for pid in self.envoys():
            status = self.status(pid)
            self.assertNotIn("0", status["Uid"].split() + status["Gid"].split() + status["Groups"].split())
            for kind in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"):
                self.assertEqual(int(status[kind], 16), _NET_BIND_SERVICE, kind)
            self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))

    def test_nobody_else_can_write_what_is_ours(self) -> None:
        found = self.lab.vps.exec(["find", *_OURS, "!", "-type", "l", "-perm", "/022"])
        self.assertEqual(found, "")
        units = self.lab.vps.exec(["find", "/etc/systemd/system", "-name", "tidegate-*", "-type", "f", "-printf", "%m %U %G\\n"])
        self.assertEqual(set(units.split("\n")) - {""}, {"644 0 0"})
        owners = self.lab.vps.exec(["find", "/etc/tidegate", "/usr/local/lib/tidegate", "!", "-user", "root"])
        self.assertEqual(owners, "")
        for folder in ("/etc/tidegate", "/usr/local/lib/tidegate", "/etc/systemd/system"):
            look = f"{' '.join(_AS_ENVOY)} find {folder} ! -type l -writable 2>/dev/null; true"
            writable = self.lab.vps.exec(["sh", "-c", look])
            self.assertEqual(writable, "")

    def test_envoy_reads_no_key_but_those_it_serves(self) -> None:
        keys = self.lab.vps.exec(["grep", "-rlE", "PRIVATE KEY|^[A-Za-z0-9+/]{43}=$", "/etc/tidegate", "/etc/ssh"]).split()
        self.assertIn("/etc/tidegate/relay.key", keys)
        # As its process sees the host: in its namespace of mounts, with its user.
        pid = max(self.envoys())
        inside = ["nsenter", "--target", str(pid), "--mount", "--", *_AS_ENVOY, "sh", "-c"]
        look = "grep -rlE 'PRIVATE KEY|^[A-Za-z0-9+/]{43}=$' /etc/tidegate /etc/ssh /run/tidegate/config /root 2>/dev/null; true"
        seen = self.lab.vps.exec([*inside, look]).split()
        self.assertTrue(seen)
        self.assertTrue(all(one.startswith("/run/tidegate/config/tls/") for one in seen), seen)

    def test_no_process_of_ours_leaves_a_core_dump(self) -> None:
        wireguard = [int(pid) for pid in self.lab.vps.exec(["pgrep", "-f", "wireguard-go --foreground"]).split()]
        for pid in self.envoys() + wireguard:
            self.assertRegex(self.lab.vps.exec(["cat", f"/proc/{pid}/limits"]), r"Max core file size +0 +0 ")
