"""What faults happen to: a lab with one VPS and three uplinks on hosts of their own, or a bare one."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import unittest
from pathlib import Path

import cluster_stage
import stage as stages
from lab.commands import CommandFailed, attempt
from lab.machine import NspawnMachine
from lab.network import BACKEND, HOME, UPLINKS, VPS
from load import Crowd, OpenLoad, SteadyLoad
from product import manifests as m
from product import traffic
from product.traffic import eventually
from product.uplinks import MachineUplink, RemoteUplink, UplinkFiles
from registry import Seen

WEB, OTHER, DATAGRAMS, SECURE = 80, 81, 53, 9443
TUNNEL = 51821
NAME = "edge.example.test"
ADDRESSES = (HOME, *UPLINKS)


class Scene:
    """A lab and a controller."""

    def __init__(self, made: stages.Stage):
        self.stage = made
        self.lab, self.standalone = made.lab, made.standalone
        self.client = self.lab.client
        self._nudges = 0
        self.spec: dict = {}

    @property
    def machine(self) -> NspawnMachine:
        """The VPS, where it shares this machine's kernel."""
        assert isinstance(self.lab.vps, NspawnMachine)
        return self.lab.vps

    # The controller

    def write_node(self, *, known_hosts_end: str = "") -> None:
        key = self.lab.operator_key.private_text
        secret = m.ssh_secret("vps-ssh", privateKey=key, knownHosts=self.lab.known_hosts() + known_hosts_end)
        self.standalone.write("node.yaml", m.edge_node("edge", VPS, **self.spec), secret)

    def nudge(self) -> None:
        """Makes the controller look at the VPS now and not in three minutes: its Secret gets another comment."""
        self._nudges += 1
        self.write_node(known_hosts_end=f"# {self._nudges}\n")

    def mark(self) -> int:
        """Where the controller's log is now."""
        return len(self.standalone.log_text())

    def told(self, words: str, since: int, *, within: float = 15) -> str:
        """The first line of the controller's log after `since` that matches the expression."""
        def found() -> str | None:
            return next((line for line in self.standalone.log_text()[since:].splitlines() if re.search(words, line)), None)
        try:
            return eventually(found, within=within)
        except AssertionError:
            tail = "\n".join(self.standalone.log_text()[since:].splitlines()[-15:])
            raise AssertionError(f"the controller did not say {words!r} within {within} s; it said:\n{tail}") from None

    def event(self, reason: str, since: int, *, about: str = "", within: float = 15) -> str:
        """The message of an event of that reason which speaks `about` something."""
        return self.told(rf"(?=.*\breason=\"?{reason}\b)(?=.*{about})", since, within=within)

    def condition(self) -> dict:
        return self.standalone.condition("EdgeNode", "edge", "Ready")

    def wait_ready(self, within: float = 60) -> None:
        self.standalone.wait("EdgeNode", "edge", within=within)

    def wait_not_ready(self, words: str, *, within: float = 60) -> str:
        """The message of Ready=False, once it matches."""
        def found() -> str | None:
            condition = self.condition()
            shown = f"{condition.get('reason', '')}: {condition.get('message', '')}"
            return shown if condition.get("status") != "True" and re.search(words, shown) else None
        try:
            return eventually(found, within=within)
        except AssertionError:
            raise AssertionError(f"the status did not say {words!r} within {within} s, but: {self.condition()}") from None

    # The VPS

    def on_vps(self, *command: str, input: str | bytes | None = None) -> str:
        return self.machine.exec(list(command), input=input)

    def property(self, unit: str, name: str) -> str:
        return self.on_vps("systemctl", "show", f"--property={name}", "--value", f"tidegate-{unit}.service").strip()

    def pid(self, unit: str) -> int:
        """Of the unit's process; for Envoy that of the one that serves, not of its supervisor. 0 for none."""
        if unit != "envoy":
            return int(self.property(unit, "MainPID") or 0)
        try:
            run = json.loads(self.on_vps("cat", "/run/tidegate/envoy.json"))
        except CommandFailed:
            return 0
        return next((one["pid"] for one in run["processes"] if one["phase"] == "serving"), 0)

    def envoy(self) -> int:
        """The Envoy that began last."""
        return int(self.on_vps("pgrep", "--newest", "--exact", "envoy"))

    def envoy_lives(self, pid: int) -> bool:
        try:
            return str(pid) in self.on_vps("pgrep", "--exact", "envoy").split()
        except CommandFailed:
            return False  # there is none at all

    # Traffic

    def load(self, port: int = WEB, **options) -> SteadyLoad:
        return SteadyLoad(self.client, VPS, port, **options)

    def open_load(self, port: int = WEB, **options) -> OpenLoad:
        return OpenLoad(self.client, VPS, port, **options)

    def crowd(self, port: int = WEB, count: int = 200) -> Crowd:
        return Crowd(self.client, VPS, port, count)

    def answers(self, port: int = WEB, *, timeout: float = 1) -> dict:
        return traffic.whoami(self.client, VPS, port, timeout=timeout)

    def back(self, since: float, *, port: int = WEB, within: float) -> float:
        """Waits until the port answers ten times on end; seconds from `since` until the first of them."""
        deadline = time.monotonic() + within
        while True:
            began = time.monotonic()
            try:
                for _ in range(10):
                    self.answers(port)
                return began - since
            except (OSError, ValueError) as error:
                if time.monotonic() > deadline:
                    raise AssertionError(f"port {port} does not answer {within} s on: {error}") from error
                time.sleep(0.05)


class ThreeUplinks(Scene):
    """Enrolled, with an uplink on each of the hosts home, uplink1 and uplink2. The victim is the last."""

    enrollment: float = 120  # seconds

    def __init__(self, made: stages.Stage):
        super().__init__(made)
        self.hosts = (self.lab.home, *self.lab.uplinks)
        self.uplinks: dict[int, RemoteUplink | MachineUplink] = {}
        self.files = UplinkFiles(self.standalone, "edge")
        self.spec = {"uplink": {"replicas": 3}}
        self.victim, self.victim_host, self.victim_address = 2, self.lab.uplinks[1], UPLINKS[1]
        self.edge = self.lab.certificates.issue("edge", NAME)

    def build(self, *, edge: Path | None = None) -> "ThreeUplinks":
        """`edge`: the bindings' manifest as it was elsewhere; a fresh one without."""
        self.write_node()
        if edge is None:
            self.write_web()
        else:
            self.standalone.write_text("web.yaml", edge.read_text())
        self.standalone.start()
        self.standalone.wait("EdgeNode", "edge", "Enrolled", within=self.enrollment)
        for ordinal in range(3):
            self.start_uplink(ordinal)
        self.settle(60)
        return self

    def web(self, *, target: int = 7001) -> m.Manifest:
        return m.port_binding(
            "web", "edge", m.tcp("web", WEB, BACKEND, 7000), m.tcp("other", OTHER, BACKEND, target),
            m.udp("datagrams", DATAGRAMS, BACKEND, 7000), m.tcp("secure", SECURE, BACKEND, 7000, tls=m.offload("edge-tls")))

    def write_web(self, *, target: int = 7001) -> None:
        self.standalone.write("web.yaml", self.web(target=target), m.tls_secret("edge-tls", self.edge))

    def start_uplink(self, ordinal: int) -> RemoteUplink | MachineUplink:
        self._wait_for_files(ordinal)
        self.uplinks[ordinal] = RemoteUplink(self.standalone, self.hosts[ordinal], "edge", ordinal)
        return self.uplinks[ordinal]

    def _wait_for_files(self, ordinal: int) -> None:
        eventually(lambda: self.files.are_there(ordinal), within=30)

    def on_victim(self, *command: str) -> str:
        return self.victim_host.run(list(command))

    def victims(self) -> list[int]:
        """The processes of the victim's host: the uplink and its wireguard-go."""
        return self.victim_host.pids()

    def signal_victim(self, number: signal.Signals) -> None:
        for pid in self.victims():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def revive(self) -> None:
        """The victim runs again, as a kubelet would start it."""
        self.signal_victim(signal.SIGKILL)
        self.uplinks[self.victim].kill()
        attempt(["ip", "-n", self.victim_host.name, "link", "delete", "wg-uplink"])
        self.start_uplink(self.victim)

    def all_tell(self) -> bool:
        """Whether the controller heard all three."""
        told = self.standalone.status("EdgeNode", "edge").get("uplinks", [])
        return len(told) == 3 and all(one["ready"] for one in told)

    def in_rotation(self) -> set[str]:
        """The uplinks that twelve requests passed."""
        return {self.answers()["peer"] for _ in range(12)}

    def settle(self, within: float = 40) -> float:
        """Waits until all three carry traffic; how long that took."""
        began = time.monotonic()
        eventually(lambda: self.in_rotation() == set(ADDRESSES), within=within)
        return time.monotonic() - began


class KernelUplink(ThreeUplinks):
    """As ThreeUplinks, but the victim's host is a machine in QEMU, its WireGuard that of its own kernel. SIGKILL to the victim cuts its
    power, SIGSTOP freezes it."""

    def build(self, *, edge: Path | None = None) -> "KernelUplink":
        self.victim_machine = self.lab.own_kernel(self.victim_host.role)
        super().build(edge=edge)
        shown = self.on_victim("ip", "-details", "link", "show", "wg-uplink")
        assert "wireguard" in shown, f"not the kernel's WireGuard: {shown}"
        return self

    def start_uplink(self, ordinal: int) -> RemoteUplink | MachineUplink:
        if ordinal != self.victim:
            return super().start_uplink(ordinal)
        self._wait_for_files(ordinal)
        self.uplinks[ordinal] = MachineUplink(self.standalone, self.victim_machine, "edge", ordinal)
        return self.uplinks[ordinal]

    def on_victim(self, *command: str) -> str:
        return self.victim_machine.exec(list(command))

    def revive(self) -> None:
        """The machine boots again, and its uplink begins."""
        self.victim_machine.start()
        self.victim_machine.wait_ready()
        self.start_uplink(self.victim)


class Linked(ThreeUplinks):
    """As ThreeUplinks, but the uplinks come by links of TLS alone."""

    def __init__(self, made: stages.Stage):
        super().__init__(made)
        self.spec["tunnel"] = {"carriers": ["TLS"]}


class KernelRelay(ThreeUplinks):
    """As ThreeUplinks, but the VPS is a machine in QEMU, and the relay that of its own kernel. Fewer requests: its Envoy is slow."""

    enrollment = 400

    def __init__(self, made: stages.Stage):
        super().__init__(made)
        self.spec |= {"ssh": {"connectTimeout": "60s"}}

    def build(self, *, edge: Path | None = None) -> "KernelRelay":
        super().build(edge=edge)
        assert self.standalone.status("EdgeNode", "edge")["wireGuardKind"] == "kernel"
        return self

    def open_load(self, port: int = WEB, **options) -> OpenLoad:
        return super().open_load(port, **({"rate": 20} | options))


class Bare(Scene):
    """Nothing is enrolled yet; its one uplink is the controller's own."""

    def begin(self, **options: str) -> None:
        self.write_node()
        self.standalone.write("web.yaml", m.port_binding("web", "edge", m.tcp("web", WEB, BACKEND, 7000)))
        self.standalone.start()

    def assert_well(self, within: float = 120) -> float:
        """Enrolled, traffic flows, and no half-done file is left; how long that took."""
        began = time.monotonic()
        self.wait_ready(within)
        self.back(began, within=20)
        took = time.monotonic() - began
        odd = [str(path) for place in ("usr/local/lib", "etc/tidegate") for path in (self.machine.root / place).rglob("*")
               if any(word in path.name for word in ("tmp", "partial", ".new", "staging", ".next"))]
        assert odd == [], f"left behind: {odd}"
        empty = [str(path) for path in (self.machine.root / "etc/tidegate").rglob("*") if path.is_file() and path.stat().st_size == 0]
        assert empty == [], f"empty: {empty}"
        return took


class ClusterScene:
    """A cluster with an enrolled EdgeNode `edge`, three pods as its uplinks, and the binding `web`."""

    def __init__(self, *, replicas: int = 3, uplinks: str = cluster_stage.UPLINKS, spent: bool = False, **lab_options):
        """`uplinks`: the namespace of the pods. `spent`: nobody can use it after its first fault. For lab_options see Lab.up."""
        self.stage = cluster_stage.fresh(**lab_options)
        self.lab, self.replicas, self.uplinks, self.spent = self.stage.lab, replicas, uplinks, spent

    def build(self) -> "ClusterScene":
        if self.uplinks != cluster_stage.UPLINKS:
            self.stage.grant_uplinks(self.uplinks)
        self.stage.controller().start()
        self.stage.enroll(uplink={"replicas": self.replicas, "namespace": self.uplinks})
        self.stage.kubectl.apply(m.port_binding("web", "edge", m.tcp("web", WEB, BACKEND, 7000)))
        self.settle(90)
        return self

    def settle(self, within: float = 60) -> None:
        """Waits until every uplink carries traffic and the status says so."""
        eventually(lambda: len({traffic.whoami(self.lab.client, VPS, WEB)["peer"] for _ in range(12)}) == self.replicas, within=within)
        self.stage.wait("EdgeNode", "edge", within=within)

    def patch_node(self, spec: dict) -> None:
        self.stage.kubectl("patch", "edgenode", "edge", "--type=merge", "--patch", json.dumps({"spec": spec}))

    def open_load(self, **options) -> OpenLoad:
        return OpenLoad(self.lab.client, VPS, WEB, **options)


class OwnKernel:
    """An enrolled VPS in QEMU, its one uplink the controller's own, and the binding `web`."""

    def __init__(self, made: stages.Stage):
        self.lab, self.standalone, self.machine = made.lab, made.standalone, made.lab.vps
        self.client = self.lab.client

    def build(self) -> "OwnKernel":
        self.standalone.write_node(ssh={"connectTimeout": "60s"})
        self.standalone.write("web.yaml", m.port_binding("web", "edge", m.tcp("web", WEB, BACKEND, 7000)))
        self.standalone.start()
        self.standalone.wait("EdgeNode", "edge", within=400)
        return self

    def answers(self, *, timeout: float) -> dict:
        return traffic.whoami(self.client, VPS, WEB, timeout=timeout)

    def open_load(self, **options) -> OpenLoad:
        return OpenLoad(self.client, VPS, WEB, **options)

    def crowd(self, count: int) -> Crowd:
        return Crowd(self.client, VPS, WEB, count)


class EndToEndTests:
    """For what the end-to-end tests show already: they make their own stages."""

    def passed(self, *names: str) -> Seen:
        suite = unittest.defaultTestLoader.loadTestsFromNames(names)
        result = unittest.TestResult()
        result.failfast = True
        suite.run(result)
        for test, trace in result.errors + result.failures:
            raise AssertionError(f"{test.id()}: {trace.strip().splitlines()[-1]}")
        assert result.testsRun > 0, "no such test"
        words = " ".join(name.partition(".")[2] for name in names)
        return Seen(f"{result.testsRun} {'test' if result.testsRun == 1 else 'tests'} passed (`Tests/EndToEnd/run {words}`)")


# Clusters for one fault each.
_SPENT: dict[str, dict] = {"few files": {"files": 4096}, "elsewhere": {"uplinks": "edges"}}
# Those that are kept from fault to fault.
_THREE: dict[str, type[ThreeUplinks]] = {"three": ThreeUplinks, "kernel uplink": KernelUplink, "kernel relay": KernelRelay, "linked": Linked}


class Scenes:
    """One scene at a time; the shared one is kept until another is asked for, or a fault left it broken."""

    def __init__(self) -> None:
        self._three: ThreeUplinks | None = None
        self._cluster: ClusterScene | None = None

    def get(self, kind: str) -> Scene | ClusterScene | OwnKernel | EndToEndTests:
        if kind in _THREE:
            if type(self._three) is not _THREE[kind]:
                self._close_cluster()
                self._three = _THREE[kind](stages.fresh(uplinks="files", kernel_wireguard=kind == "kernel relay")).build()
            return self._three
        self._three = None
        if kind in _SPENT:
            self._close_cluster()
            stages.close()
            self._cluster = ClusterScene(replicas=1, spent=True, **_SPENT[kind]).build()
            return self._cluster
        if kind == "cluster":
            if self._cluster is None:
                stages.close()
                self._cluster = ClusterScene().build()
            return self._cluster
        self._close_cluster()
        if kind == "bare":
            return Bare(stages.fresh())
        if kind == "own kernel":
            return OwnKernel(stages.fresh(kernel_wireguard=True)).build()
        if kind == "tests":
            return EndToEndTests()
        raise ValueError(f"no stage {kind}")

    def after(self, *, failed: bool) -> None:
        """The shared scene goes on only while it is well."""
        if failed or self._cluster is not None and self._cluster.spent:
            self._close_cluster()
        if self._three is None:
            return
        try:
            if failed:
                raise AssertionError("a fault was not as expected")
            self._three.settle()
            self._three.wait_ready(30)
        except (AssertionError, OSError, ValueError):
            self.close()

    def close(self) -> None:
        self._three = None
        self._close_cluster()
        stages.close()

    def _close_cluster(self) -> None:
        if self._cluster is not None:
            self._cluster = None
            cluster_stage.close()

    def evidence(self, folder: Path, text: str) -> None:
        stages.keep_evidence(folder, text)
        cluster_stage.keep_evidence(folder)
