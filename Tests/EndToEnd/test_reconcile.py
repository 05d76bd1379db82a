"""What a reconcile costs when there is nothing to do, and when one is due."""

from __future__ import annotations

import time

from lab.network import BACKEND, VPS
from product import manifests as m
from product import traffic
from product.traffic import eventually
from stage import EndToEnd


class ReconcileTests(EndToEnd):
    def sessions(self) -> tuple[int, int]:
        """How many logins and how many started programs sshd has logged so far."""
        said = self.lab.vps.exec(["journalctl", "--unit=ssh", "--no-pager", "--output=cat"])
        return said.count("Accepted publickey"), said.count("Starting session: command")

    def test_nothing_to_do_is_one_exec_on_the_kept_connection(self) -> None:
        self.lab.vps.exec(["tee", "/etc/ssh/sshd_config.d/10-verbose.conf"], input="LogLevel VERBOSE\n")
        self.lab.vps.exec(["systemctl", "restart", "ssh"])
        # The connection of before keeps its log level, so it has to go; the controller makes another.
        self.lab.vps.exec(["pkill", "-f", "^sshd: root"])
        self.publish("counted", m.port_binding("counted", "edge", m.tcp("counted", 7400, BACKEND, 7000)))
        eventually(lambda: traffic.whoami(self.lab.client, VPS, 7400), within=30)
        self.standalone.wait_binding("counted", "counted")
        logins, before = self.settled()
        # A label that nothing depends on: the node is planned again, and nothing is different.
        text = (self.standalone.manifests / "node.yaml").read_text()
        labelled = text.replace("kind: EdgeNode\nmetadata:\n", "kind: EdgeNode\nmetadata:\n  labels: {remark: none}\n")
        self.assertNotEqual(text, labelled)
        self.standalone.write_text("node.yaml", labelled)
        eventually(lambda: self.sessions()[1] > before, within=10)
        self.assertEqual(self.settled(), (logins, before + 1))

    def test_the_end_of_the_kept_connection_leads_to_a_look(self) -> None:
        logins, _ = self.settled()
        self.lab.vps.exec(["pkill", "-f", "^sshd: root"])
        eventually(lambda: self.sessions()[0] == logins + 1, within=20)

    def settled(self) -> tuple[int, int]:
        """The counts, once they have stayed the same for 3 s."""
        last, since = self.sessions(), time.monotonic()
        while time.monotonic() - since < 3:
            time.sleep(0.2)
            now = self.sessions()
            if now != last:
                last, since = now, time.monotonic()
        return last
