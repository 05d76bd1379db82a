"""Envoy is restarted, upgraded and killed, the agent is upgraded, under load: nobody is refused, and what was open lives on."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from pathlib import Path

from lab import tree
from lab.commands import CommandFailed, run
from lab.network import BACKEND, VPS
from load import Load, SteadyLoad
from product import manifests as m
from product import traffic
from product.programs import programs
from product.traffic import HeldConnection, eventually
from stage import EndToEnd, Stage, fresh

_DRAIN = 25  # seconds that a replaced Envoy's connections live here
_HELD = 200
_OLD = "1.39.3"


def envoy(version: str) -> list[str]:
    return ["--envoy-source", str(tree.envoy(version)), "--envoy-sha256", tree.envoy_sha256(version), "--envoy-version", version]


class DatagramLoad(Load):
    """One session that goes on, and a new one each time: `with DatagramLoad(...) as load:`, then `load.failures`."""

    def __init__(self, client, port: int):
        super().__init__()
        self.client, self.port, self.answers = client, port, 0
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._one, self._many)]

    def _ask(self, session: traffic.Datagrams, what: str) -> None:
        try:
            session.whoami()
            self.answers += 1
        except (OSError, ValueError) as error:
            self.failures.append(f"{time.monotonic() - self.began:.2f} s: {what}: {error}")

    def _one(self) -> None:
        with traffic.Datagrams(self.client, VPS, self.port, timeout=1) as session:
            while not self._stopped.wait(0.05):
                self._ask(session, "the session that goes on")

    def _many(self) -> None:
        while not self._stopped.wait(0.05):
            with traffic.Datagrams(self.client, VPS, self.port, timeout=1) as session:
                self._ask(session, "a new session")


class EnvoyRestartTests(EndToEnd):
    """In this order, on one VPS: unittest runs them by name."""

    wish = 0

    @classmethod
    def make_stage(cls) -> Stage:
        stage = fresh()
        cls.write_node(stage)
        stage.standalone.write("web.yaml", m.port_binding("web", "edge", m.tcp("web", 80, BACKEND, 7000)))
        stage.standalone.start(*envoy(_OLD))
        stage.standalone.wait("EdgeNode", "edge", within=120)
        stage.standalone.wait("PortBinding", "web")
        return stage

    @classmethod
    def write_node(cls, stage: Stage) -> None:
        node = m.edge_node("edge", VPS, edge={"drainTimeout": f"{_DRAIN}s"})
        if cls.wish:
            node["metadata"]["annotations"] = {"tunnel.achetronic.com/restart-envoy": str(cls.wish)}
        secret = m.ssh_secret("vps-ssh", privateKey=stage.lab.operator_key.private_text, knownHosts=stage.lab.known_hosts(VPS))
        stage.standalone.write("node.yaml", node, secret)

    def supervision(self) -> dict:
        try:
            return json.loads(self.lab.vps.exec(["cat", "/run/tidegate/envoy.json"]))
        except CommandFailed as error:
            raise AssertionError("nothing supervises Envoy") from error

    def serving(self) -> dict:
        serving = [one for one in self.supervision()["processes"] if one["phase"] == "serving"]
        self.assertEqual(len(serving), 1)
        return serving[0]

    def hold(self) -> list[HeldConnection]:
        held = [HeldConnection(self.lab.client, VPS, 80) for _ in range(_HELD)]
        self.addCleanup(lambda: [one.close() for one in held])
        return held

    def restart(self, *, within: float = 40) -> str:
        """Asks for a restart, and returns what the event says of it."""
        begin = len(self.standalone.log_text())
        count = self.supervision()["restarts"]
        type(self).wish += 1
        self.write_node(self.stage)
        eventually(lambda: self.supervision()["restarts"] > count, within=within)
        def told() -> str | None:
            return next((line for line in self.standalone.log_text()[begin:].splitlines() if "EnvoyRestarted" in line), None)
        return eventually(told, within=15)

    def other_controller(self, version: str, *, bundle: Path | None = None) -> None:
        """A controller that wants another Envoy, or brings another agent."""
        self.assertEqual(self.standalone.stop(), 0)
        self.standalone.start(*envoy(version), *(["--agent-bundle", str(bundle)] if bundle else []))
        build = (bundle.parent / "agent.build").read_text() if bundle else None
        def arrived() -> bool:
            """The other Envoy is chosen, the other agent is there."""
            chosen = self.lab.vps.exec(["readlink", "/usr/local/lib/tidegate/envoy"]).strip()
            return chosen == f"envoy-{version}" and build in (None, self.lab.vps.exec(["cat", "/usr/local/lib/tidegate/BUILD"]))
        eventually(arrived, within=60, every=0.5)
        self.standalone.wait("EdgeNode", "edge", within=60)

    def assert_hot(self, event: str, before: dict, held: list[HeldConnection], *loads) -> None:
        for load in loads:
            self.assertEqual(load.failures, [])
        self.assertIn("restarted hot", event)
        after = self.serving()
        self.assertNotEqual(after["pid"], before["pid"])
        self.assertEqual(after["epoch"], before["epoch"] + 1)
        for one in held:
            one.check()

    def test_1_upgrade_is_hot(self) -> None:
        self.assertEqual(self.serving()["version"], _OLD)
        held, before = self.hold(), self.serving()
        self.other_controller(tree.ENVOY_DEFAULT)
        self.assertEqual(self.serving(), before, "another version waits for a restart")
        with SteadyLoad(self.lab.client, VPS, 80, pause=0.02) as load:
            event = self.restart()
            time.sleep(3)
        self.assert_hot(event, before, held, load)
        self.assertEqual(self.serving()["version"], tree.ENVOY_DEFAULT)
        self.assertGreater(load.requests, 100)
        # What drains is closed at the end of its time, not before.
        time.sleep(_DRAIN / 2)
        held[0].check()
        eventually(lambda: len(self.supervision()["processes"]) == 1, within=_DRAIN)
        with self.assertRaises(ConnectionError):
            held[0].check()

    def test_2_restart_on_request_is_hot_for_tcp_and_udp(self) -> None:
        # On one number too, which Envoy once mixed up (envoyproxy/envoy#20584).
        self.standalone.write("udp.yaml", m.port_binding(
            "udp", "edge", m.udp("dns", 53, BACKEND, 7000), m.udp("same", 80, BACKEND, 7000)))
        self.standalone.wait("PortBinding", "udp")
        held, before = self.hold(), self.serving()
        with SteadyLoad(self.lab.client, VPS, 80, pause=0.02) as load, DatagramLoad(self.lab.client, 53) as dns, \
                DatagramLoad(self.lab.client, 80) as same:
            event = self.restart()
            time.sleep(5)
        self.assert_hot(event, before, held, load, dns, same)
        self.assertGreater(dns.answers, 50)

    def test_3_downgrade_is_hot_and_udp_makes_the_way_back_plain(self) -> None:
        eventually(lambda: len(self.supervision()["processes"]) == 1, within=_DRAIN + 20, every=0.5)
        held, before = self.hold(), self.serving()
        self.other_controller(_OLD)
        with SteadyLoad(self.lab.client, VPS, 80, pause=0.02) as load, DatagramLoad(self.lab.client, 53) as dns:
            event = self.restart()
            time.sleep(3)
        self.assert_hot(event, before, held, load, dns)
        self.other_controller(tree.ENVOY_DEFAULT)
        event = self.restart()
        self.assertIn("restarted plainly", event)
        self.assertIn("Envoy 1.39.3 cannot hand UDP ports over", event)
        eventually(lambda: traffic.whoami(self.lab.client, VPS, 80), within=10)
        with traffic.Datagrams(self.lab.client, VPS, 53) as session:
            eventually(session.whoami, within=10)
        self.assertEqual(self.serving()["version"], tree.ENVOY_DEFAULT)

    def test_4_agent_upgrade_touches_nothing(self) -> None:
        held, before = self.hold(), self.supervision()
        bundle = self.other_bundle()
        with SteadyLoad(self.lab.client, VPS, 80, pause=0.02) as load:
            self.other_controller(tree.ENVOY_DEFAULT, bundle=bundle)
            time.sleep(2)
            self.assertEqual(self.supervision(), before)
            self.assertIn("(deleted)", self.program(before["supervisor"]), "the supervisor is still the former build")
            # With the next restart the supervisor becomes the new build, and keeps the Envoys.
            event = self.restart()
            time.sleep(2)
        serving = next(one for one in before["processes"] if one["phase"] == "serving")
        self.assert_hot(event, serving, held, load)
        after = self.supervision()
        self.assertEqual(after["supervisor"], before["supervisor"])
        self.assertNotIn("(deleted)", self.program(after["supervisor"]))

    def program(self, pid: int) -> str:
        return self.lab.vps.exec(["readlink", f"/proc/{pid}/exe"]).strip()

    def other_bundle(self) -> Path:
        """The agent as another build: the same program, a byte longer."""
        folder = Path(tempfile.mkdtemp(prefix="tidegate-bundle-"))
        self.addCleanup(lambda: run(["rm", "-rf", str(folder)]))
        files = folder / "files"
        files.mkdir()
        run(["tar", "-xzf", str(programs().agent_bundle), "-C", str(files)])
        with open(files / "edge-agent", "ab") as program:
            program.write(b"\n")
        (files / "BUILD").write_text("0123456789abcdef\n")
        run(["tar", "-czf", str(folder / "agent.tar.gz"), "-C", str(files), *sorted(one.name for one in files.iterdir())])
        (folder / "agent.build").write_text("0123456789abcdef\n")
        return folder / "agent.tar.gz"

    def test_5_envoy_that_does_not_start_leaves_the_former_one_serving(self) -> None:
        eventually(lambda: len(self.supervision()["processes"]) == 1, within=_DRAIN + 20, every=0.5)
        held, before = self.hold(), self.serving()
        program = "/usr/local/lib/tidegate/envoy-1.40.0/envoy"
        # Says its versions, passes the look at its bootstrap, and dies.
        script = f"#!/bin/sh\ncase \"$*\" in --version|--hot-restart-version|*validate*) exec {program}.good \"$@\";; esac\necho broken >&2; exit 3\n"
        self.lab.vps.exec(["mv", program, f"{program}.good"])
        self.lab.vps.exec(["tee", program], input=script)
        self.lab.vps.exec(["chmod", "755", program])
        with SteadyLoad(self.lab.client, VPS, 80, pause=0.02) as load, self.assertRaises(CommandFailed):
            self.lab.vps.exec(["systemctl", "reload", "tidegate-envoy"], timeout=100)
        self.assertIn("ended with status 3", self.supervision()["outcome"]["message"])
        self.assertEqual(load.failures, [])
        self.assertEqual(self.serving()["pid"], before["pid"])
        self.lab.vps.exec(["mv", f"{program}.good", program])
        # The supervisor tries again by itself: the attempt cost the former one its admin interface.
        eventually(lambda: self.serving()["pid"] != before["pid"], within=40)
        for one in held:
            one.check()

    def test_6_whatever_dies_comes_back(self) -> None:
        serving = self.serving()["pid"]
        self.lab.vps.exec(["kill", "-KILL", str(serving)])
        eventually(lambda: self.serving()["pid"] != serving, within=5)
        eventually(lambda: traffic.whoami(self.lab.client, VPS, 80, timeout=1), within=5)
        supervisor = self.supervision()["supervisor"]
        self.lab.vps.exec(["kill", "-KILL", str(supervisor)])
        eventually(lambda: self.supervision()["supervisor"] != supervisor, within=10)
        eventually(lambda: traffic.whoami(self.lab.client, VPS, 80, timeout=1), within=10)
        names = self.lab.vps.exec(["ls", "/dev/shm"]).split()
        self.assertLessEqual(len(names), 2, names)
