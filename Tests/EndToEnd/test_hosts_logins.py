"""Debian 11, 12 and 13, and logins that are not root's: each becomes root by sudo, or says why not."""

from __future__ import annotations

import unittest

import hosts
from lab import machine
from lab.network import BACKEND, VPS
from product import manifests as m
from product import traffic
from product.traffic import eventually
from stage import EndToEnd, Stage, fresh

PASSWORD = "correct horse 'battery' $staple"


class AnyHost(EndToEnd):
    """One VPS: enrolled, carrying TCP and UDP, and left as it was. The classes below say which."""

    release: str
    rules: str
    secret: dict[str, str]

    @classmethod
    def make_stage(cls) -> Stage:
        stage = fresh(release=cls.release)
        vps = stage.lab.vps
        machine.add_user(vps, "admin", PASSWORD, home=cls.release != "trixie")
        machine.set_sudo(vps, cls.rules)
        for folder in ("/tmp", "/var/tmp"):
            vps.exec(["mount", "-t", "tmpfs", "-o", "noexec,nosuid,nodev", "tmpfs", folder])
        vps.exec(["systemctl", "is-system-running", "--wait"])
        cls.before = hosts.snapshot(stage.lab)
        stage.standalone.write_node(ssh={"user": "admin"}, secret=cls.secret)
        stage.standalone.write("web.yaml", m.port_binding(
            "web", "edge", m.tcp("web", 443, BACKEND, 7000), m.udp("names", 53, BACKEND, 7000)))
        stage.standalone.start()
        stage.standalone.wait("EdgeNode", "edge", within=120)
        stage.standalone.wait("PortBinding", "web")
        return stage

    def test_1_traffic(self) -> None:
        traffic.echo_once(self.lab.client, VPS, 443, 100_000)
        with traffic.Datagrams(self.lab.client, VPS, 53) as session:
            session.echo(1000)

    def test_2_the_password_is_nowhere(self) -> None:
        """Not in a log, a status, or a process list."""
        self.assertNotIn("battery", self.standalone.log_text() + str(self.standalone.status("EdgeNode", "edge")))
        self.assertNotIn("battery", self.lab.vps.exec(["ps", "-eo", "args"]))
        self.assertNotIn("battery", self.lab.vps.exec(["journalctl", "--no-pager", "--lines=5000"]))

    def test_3_reboot(self) -> None:
        self.lab.vps.reboot()
        eventually(lambda: traffic.echo_once(self.lab.client, VPS, 443, 1000) or True, within=60, every=0.5)

    def test_4_nothing_is_left(self) -> None:
        self.standalone.remove("web.yaml")
        self.standalone.remove("node.yaml")
        eventually(self.is_as_before, within=60, every=0.5)

    def is_as_before(self) -> bool:
        found = [one for one in hosts.differences(self.before, hosts.snapshot(self.lab)) if not one.startswith("process")]
        self.assertEqual(found, [])
        return True


class Debian11(AnyHost):
    """sudo asks for a password. /tmp is mounted noexec on all of them until the reboot."""

    release = "bullseye"
    rules = "admin ALL=(ALL) ALL\n"
    secret = {"sudoPassword": PASSWORD + "\n"}


class Debian13(AnyHost):
    """sudo asks for nothing, and gives each command a terminal of its own. The user's home does not exist."""

    release = "trixie"
    rules = "admin ALL=(ALL) NOPASSWD: ALL\n"
    secret: dict[str, str] = {}


class SudoRefusals(EndToEnd):
    """In this order, on one Debian 12: each obstacle has a reason of its own, until the last is out of the way."""

    @classmethod
    def make_stage(cls) -> Stage:
        stage = fresh()
        machine.add_user(stage.lab.vps, "admin", PASSWORD)
        stage.standalone.write_node(ssh={"user": "admin"})
        stage.standalone.start()
        return stage

    def told(self, rules: str, reason: str, *words: str, **secret: str) -> None:
        """With these rules and this Secret, the condition has that reason and these words."""
        machine.set_sudo(self.lab.vps, rules)
        self.standalone.write_node(ssh={"user": "admin"}, secret=secret)

        def is_told() -> bool:
            said = self.standalone.condition("EdgeNode", "edge", "Enrolled")
            self.assertEqual((said.get("status"), said.get("reason")), ("False", reason))
            for word in words:
                self.assertIn(word, said["message"])
            self.assertNotIn("battery", said["message"] + self.standalone.log_text())
            return True

        eventually(is_told, within=30)

    def test_1_a_password_is_missing(self) -> None:
        self.told("admin ALL=(ALL) ALL\n", "SudoPasswordMissing", "sudoPassword", "NOPASSWD")

    def test_2_the_password_is_wrong(self) -> None:
        self.told("admin ALL=(ALL) ALL\n", "SudoPasswordWrong", "admin", sudoPassword="wrong battery")

    def test_3_the_user_may_not(self) -> None:
        self.told("", "SudoRefused", "not in the sudoers file", sudoPassword=PASSWORD)

    def test_4_the_user_may_too_little(self) -> None:
        self.told("admin ALL=(ALL) /bin/ls\n", "SudoRefused", "not allowed to execute", sudoPassword=PASSWORD + "\r\n")

    def test_5_sudo_wants_a_terminal(self) -> None:
        self.told("Defaults requiretty\nadmin ALL=(ALL) NOPASSWD: ALL\n", "SudoRefused", "!requiretty")

    def test_6_all_is_well(self) -> None:
        machine.set_sudo(self.lab.vps, "admin ALL=(ALL) ALL\n")
        self.standalone.write_node(ssh={"user": "admin"}, secret={"sudoPassword": PASSWORD})
        self.standalone.wait("EdgeNode", "edge", within=120)

    def test_7_sudo_changes_its_mind(self) -> None:
        """The connection is kept, and the password is that of another day: told as such, and no document is spent on it."""
        self.lab.vps.exec(["chpasswd"], input="admin:another\n")
        self.standalone.write("web.yaml", m.port_binding("web", "edge", m.tcp("web", 80, BACKEND, 7000)))
        self.standalone.wait("EdgeNode", "edge", "Enrolled", "False", reason="SudoPasswordWrong", within=60)
        self.standalone.write_node(ssh={"user": "admin"}, secret={"sudoPassword": "another"})
        self.standalone.wait("PortBinding", "web", within=60)


def load_tests(loader: unittest.TestLoader, _tests: unittest.TestSuite, _pattern: str | None) -> unittest.TestSuite:
    """The classes with a host; AnyHost is none."""
    return unittest.TestSuite(loader.loadTestsFromTestCase(one) for one in (Debian11, Debian13, SudoRefusals))
