"""An uplink on another machine, by the one line that `tidegate join-command` prints (docs/standalone.md)."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from lab.commands import CommandFailed
from lab.network import BACKEND, UPLINKS, VPS
from product import manifests as m
from product import traffic
from product.traffic import eventually
from stage import EndToEnd, Stage, fresh

_ENROLLMENT = 120
_PORT = 7100


class Join(EndToEnd):
    """The other machine's user has no rights, and nothing of the controller's but the line."""

    uplink: subprocess.Popen | None = None

    @classmethod
    def make_stage(cls) -> Stage:
        stage = fresh()
        stage.standalone.write_node(uplink={"replicas": 2}, tunnel={"carriers": ["TLS"]})
        stage.standalone.write("web.yaml", m.port_binding("web", "edge", m.tcp("web", _PORT, BACKEND, 7000)))
        stage.standalone.start()
        stage.standalone.wait("EdgeNode", "edge", "Enrolled", within=_ENROLLMENT)
        eventually(lambda: traffic.whoami(stage.lab.client, VPS, _PORT), within=60)
        return stage

    @classmethod
    def tearDownClass(cls) -> None:
        if cls.uplink is not None:
            cls.uplink.kill()
            cls.uplink.wait()

    def join_command(self, *options: str) -> str:
        return self.standalone.command("join-command", "--state", str(self.standalone.state), *options, "edge")

    def refused(self, *options: str) -> str:
        try:
            return self.fail(f"it printed {self.join_command(*options)!r}")
        except CommandFailed as failure:
            return str(failure)

    @property
    def folder(self) -> Path:
        return self.lab.folder / "joined"

    def start(self, line: str | None = None) -> None:
        """The line as a shell runs it that somebody types into; without one, from the folder alone."""
        cls = type(self)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        shutil.chown(self.folder, 65534, 65534)
        self.lab.folder.chmod(0o711)
        self.lab.folder.parent.chmod(0o711)
        program = f"{self.standalone.programs.uplink} join"
        command = f"exec {program}" if line is None else line.strip().replace("uplink join", program)
        with open(self.lab.folder / "joined.log", "ab") as log:
            cls.uplink = self.lab.uplinks[0].start(
                ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all",
                 "sh"], log=log, stdin=subprocess.PIPE,
                env={"STATE_DIRECTORY": str(self.folder), "LOG_FORMAT": "text", "LOG_LEVEL": "debug"})
        assert cls.uplink.stdin is not None
        cls.uplink.stdin.write(f"{command}\n".encode())
        cls.uplink.stdin.close()

    def stop(self) -> None:
        cls = type(self)
        assert cls.uplink is not None
        for pid in self.lab.uplinks[0].pids():
            try:
                if "uplink" in Path(f"/proc/{pid}/comm").read_text():
                    subprocess.run(["kill", "-TERM", str(pid)], check=False)
            except FileNotFoundError:
                pass
        cls.uplink.wait(40)
        cls.uplink = None

    def log(self) -> str:
        return (self.lab.folder / "joined.log").read_text()

    def peers(self, port: int = _PORT) -> set[str]:
        return {traffic.whoami(self.lab.client, VPS, port)["peer"] for _ in range(12)}

    def test_1_the_line_makes_an_uplink(self) -> None:
        line = self.join_command()
        self.assertRegex(line, r"^echo tidegate-join-1\.[\w.-]+ \| uplink join -\n$")
        type(self).token = line.split()[1]
        began = time.monotonic()
        self.start(line)
        eventually(lambda: UPLINKS[0] in self.peers(), within=30)
        self.assertLess(time.monotonic() - began, 10)
        self.assertIn("was shown at", self.refused("--uplink", "1"))
        self.assertIn("raise spec.uplink.replicas", self.refused())
        self.assertIn("has no uplink 7", self.refused("--uplink", "7"))

    def test_2_what_is_secret_stays_so(self) -> None:
        secret = type(self).token.split(".")[2]
        for pid in self.lab.uplinks[0].pids():
            self.assertNotIn(secret.encode(), Path(f"/proc/{pid}/cmdline").read_bytes())
            self.assertNotIn(secret.encode(), Path(f"/proc/{pid}/environ").read_bytes())
        self.assertNotIn(secret, self.log())
        self.assertNotIn(secret, self.standalone.log_text())
        for file in self.folder.rglob("*"):
            self.assertEqual(file.stat().st_mode & 0o077, 0, file)
        # The VPS hands over what it cannot read.
        self.assertEqual(self.lab.vps.exec(["sh", "-c", f"grep -rl {BACKEND} /etc/tidegate/link || echo none"]).strip(), "none")
        self.assertIn("handed", self.lab.vps.exec(["ls", "/etc/tidegate/link"]))

    def test_3_another_binding_comes_by_the_link(self) -> None:
        self.publish("more", m.port_binding("more", "edge", m.tcp("more", 7101, BACKEND, 7001)))
        self.standalone.wait("PortBinding", "more")
        eventually(lambda: UPLINKS[0] in self.peers(7101), within=20)

    def test_4_it_starts_again_from_its_folder(self) -> None:
        self.stop()
        eventually(lambda: UPLINKS[0] not in self.peers(), within=20)
        self.start()
        eventually(lambda: UPLINKS[0] in self.peers(), within=30)

    def test_5_an_altered_document_is_not_taken(self) -> None:
        before = (self.folder / "config" / "document.json").read_bytes()
        self.lab.vps.exec(["sh", "-c", "head -c 5000 /dev/urandom > /etc/tidegate/link/handed.new && chmod 0640 /etc/tidegate/link/handed.new && "
                           "chgrp tidegate-link /etc/tidegate/link/handed.new && mv /etc/tidegate/link/handed.new /etc/tidegate/link/handed"])
        eventually(lambda: "is not taken" in self.log(), within=20)
        self.assertEqual((self.folder / "config" / "document.json").read_bytes(), before)
        self.assertIn(UPLINKS[0], self.peers())

    def test_6_a_token_is_taken_back(self) -> None:
        self.assertIn("is void", self.join_command("--revoke", "--uplink", "1"))
        eventually(lambda: UPLINKS[0] not in self.peers(), within=30)
        eventually(lambda: "the edge" in self.log() or "no link" in self.log(), within=30)
        self.stop()
        # Another joins in its place, from the same folder.
        self.start(self.join_command("--uplink", "1"))
        eventually(lambda: UPLINKS[0] in self.peers(), within=30)

    def test_7_a_token_that_was_cut_is_told(self) -> None:
        self.stop()
        self.start(f"echo {type(self).token[:-5]} | uplink join -")
        assert self.uplink is not None
        self.assertNotEqual(self.uplink.wait(20), 0)
        self.assertIn("copy all of it", self.log())
        type(self).uplink = None
