"""Traffic through change: 200 held connections and a steady load while the manifests or the programs change."""

from __future__ import annotations

import dataclasses
import random
import shutil
import ssl
import tarfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from lab.network import BACKEND, HOME, UPLINKS, VPS
from load import Crowd, SteadyLoad
from product import manifests as m
from product import traffic
from product.programs import programs
from product.traffic import eventually
from registry import CHANGE, Seen, fault
from scenes import NAME, OTHER, SECURE, ThreeUplinks

_NOTHING_LOST = "no held connection breaks, no request fails"
_STOPS = 40


@contextmanager
def traffic_through(scene: ThreeUplinks, *, apart_from: str | None = None) -> Iterator[tuple[SteadyLoad, Crowd]]:
    """200 held connections and a load through another binding than the changed one. What broke fails the row."""
    with scene.crowd() as crowd, scene.load() as load:
        time.sleep(1)
        yield load, crowd
        time.sleep(1)
        broken = crowd.broken(apart_from=apart_from)
    assert broken == [], f"{len(broken)} of {len(crowd.held)} held connections broke: {broken[0]}"
    assert load.failures == [], f"{len(load.failures)} of {load.requests} requests failed: {load.failures[0]}"


def nothing_lost(load: SteadyLoad, crowd: Crowd, text: str, recovery: float | None = None) -> Seen:
    return Seen(f"{text}; {len(crowd.held)} held connections live", recovery, 0, load.requests)


def write_added(scene: ThreeUplinks, *, target: int = 7001) -> None:
    """A binding beside the scene's, on port 7301."""
    scene.standalone.write("added.yaml", m.port_binding("added", "edge", m.tcp("added", 7301, BACKEND, target)))


@fault("binding added", CHANGE, injected="a PortBinding is written", expected=f"in force within 2 s; {_NOTHING_LOST}", stage="three", quick=True)
def added(scene: ThreeUplinks) -> Seen:
    with traffic_through(scene) as (load, crowd):
        began = time.monotonic()
        write_added(scene)
        eventually(lambda: scene.answers(7301)["name"] == "other", within=10)
        took = time.monotonic() - began
    assert took < 2, f"in force after {took:.1f} s"
    return nothing_lost(load, crowd, f"in force after {took:.1f} s")


@fault("binding removed", CHANGE, injected="that PortBinding is removed", expected=f"the port closes; {_NOTHING_LOST}", stage="three", quick=True)
def removed(scene: ThreeUplinks) -> Seen:
    write_added(scene)
    eventually(lambda: scene.answers(7301), within=15)
    with traffic_through(scene) as (load, crowd):
        began = time.monotonic()
        scene.standalone.remove("added.yaml")

        def is_closed() -> bool:
            try:
                scene.client.connect(VPS, 7301, timeout=1).close()
            except ConnectionRefusedError:
                return True
            return False
        eventually(is_closed, within=10)
        took = time.monotonic() - began
    return nothing_lost(load, crowd, f"closed after {took:.1f} s")


@fault("binding retargeted", CHANGE, injected="another target in spec.bindings[].target",
       expected=f"new connections reach the new target within 2 s, none fails on the way; {_NOTHING_LOST}", stage="three", quick=True)
def retargeted(scene: ThreeUplinks) -> Seen:
    try:
        with traffic_through(scene) as (load, crowd), scene.load(OTHER, threads=2) as other:
            began = time.monotonic()
            scene.write_web(target=7000)
            eventually(lambda: scene.answers(OTHER)["name"] == "echo", within=10)
            took = time.monotonic() - began
            # No straggler: an uplink that took it up late would still answer as before.
            time.sleep(1)
            late = [name for name in (scene.answers(OTHER)["name"] for _ in range(30)) if name != "echo"]
        assert took < 2, f"in force after {took:.1f} s"
        assert late == [], f"{len(late)} of 30 connections still reached the former target after {took + 1:.1f} s"
        assert other.failures == [], f"{len(other.failures)} of {other.requests} requests to it failed: {other.failures[0]}"
        return nothing_lost(load, crowd, f"in force after {took:.1f} s, {other.requests} requests to it went through")
    finally:
        scene.write_web()


@fault("certificate rotated", CHANGE, injected="tls.crt and tls.key of the binding's Secret change",
       expected=f"new handshakes show it within 2 s, none fails; {_NOTHING_LOST}", stage="three", quick=True)
def rotated(scene: ThreeUplinks) -> Seen:
    trust = scene.lab.certificates.root.certificate_text

    def shown() -> bytes:
        return traffic.tls(scene.client, VPS, SECURE, NAME, trust).certificate
    with traffic_through(scene) as (load, crowd):
        old = traffic.secure(scene.client.connect(VPS, SECURE), NAME, trust)
        scene.edge = scene.lab.certificates.issue(f"edge-{time.monotonic_ns()}", NAME)
        began = time.monotonic()
        scene.write_web()
        handshakes = 0
        while shown() != ssl.PEM_cert_to_DER_cert(scene.edge.certificate_text):
            handshakes += 1
            assert time.monotonic() - began < 10, "still the former certificate"
        took = time.monotonic() - began
        traffic.ask(old)
        old.close()
    assert took < 2, f"in force after {took:.1f} s"
    return nothing_lost(load, crowd, f"in force after {took:.1f} s and {handshakes} handshakes with the former one")


@fault("uplinks scaled down and up", CHANGE, injected="the third uplink is told to stop (SIGTERM), uplink.replicas 3 → 2 → 3, it starts again",
       expected="no held connection of those that stay breaks, no request fails", stage="three")
def scaled(scene: ThreeUplinks) -> Seen:
    with traffic_through(scene, apart_from=scene.victim_address) as (load, crowd):
        assert scene.uplinks[scene.victim].stop(40) == 0
        scene.spec = {"uplink": {"replicas": 2}}
        scene.write_node()
        eventually(lambda: len(scene.standalone.status("EdgeNode", "edge").get("uplinks", [])) == 2, within=30)
        began = time.monotonic()
        scene.spec = {"uplink": {"replicas": 3}}
        scene.write_node()
        scene.start_uplink(scene.victim)
        before = load.peers[scene.victim_address]
        eventually(lambda: load.peers[scene.victim_address] > before, within=40)
        took = time.monotonic() - began
    return nothing_lost(load, crowd, f"the third uplink carries traffic {took:.1f} s after it is wanted again")


@fault("uplinks rolled", CHANGE, injected="each uplink in turn: SIGTERM, wait for its end, start again, wait until it is ready",
       expected="no request fails; drained connections may end", stage="three")
def rolled(scene: ThreeUplinks) -> Seen:
    with scene.load() as load:
        time.sleep(1)
        for ordinal in range(3):
            assert scene.uplinks[ordinal].stop(40) == 0
            scene.start_uplink(ordinal)
            address = (HOME, *UPLINKS)[ordinal]
            before = load.peers[address]
            eventually(lambda: load.peers[address] > before + 5, within=40)
    assert load.failures == [], f"{len(load.failures)} of {load.requests} requests failed: {load.failures[0]}"
    return Seen("each was back in rotation before the next went", None, 0, load.requests)


@fault("uplink key rotated", CHANGE, injected="the private key of one uplink is replaced, and it starts again",
       expected="no request fails; the relay takes the new key", stage="three")
def key_rotated(scene: ThreeUplinks) -> Seen:
    key = scene.files.key(scene.victim)
    with traffic_through(scene, apart_from=scene.victim_address) as (load, crowd):
        assert scene.uplinks[scene.victim].stop(40) == 0
        key.unlink()
        scene.nudge()
        eventually(key.exists, within=15)
        began = time.monotonic()
        scene.start_uplink(scene.victim)
        before = load.peers[scene.victim_address]
        eventually(lambda: load.peers[scene.victim_address] > before, within=40)
        took = time.monotonic() - began
    return nothing_lost(load, crowd, f"the uplink carries traffic {took:.1f} s after it runs with its new key")


@fault("controller restarted", CHANGE, injected="SIGTERM to the controller, then SIGKILL to the next one, started again each time",
       expected=_NOTHING_LOST, stage="three", quick=True)
def controller_restarted(scene: ThreeUplinks) -> Seen:
    with traffic_through(scene) as (load, crowd):
        assert scene.standalone.stop() == 0
        time.sleep(1)
        scene.standalone.start()
        scene.wait_ready()
        scene.standalone.kill()
        began = time.monotonic()
        scene.standalone.start()
        write_added(scene)
        eventually(lambda: scene.answers(7301), within=20)
        took = time.monotonic() - began
        scene.standalone.remove("added.yaml")
    return nothing_lost(load, crowd, f"a change is in force {took:.1f} s after the start", took)


@fault("controller stopped at any moment", CHANGE,
       injected=f"{_STOPS} times: the controller starts on a changed manifest, and SIGTERM comes up to half a second later (fixed seed)",
       expected=f"each ends with status 0 within 5 s; the last change is in force after a start; {_NOTHING_LOST}", stage="three")
def controller_stopped(scene: ThreeUplinks) -> Seen:
    moments = random.Random(4)
    slowest = 0.0
    with traffic_through(scene) as (load, crowd):
        assert scene.standalone.stop() == 0
        for round in range(_STOPS):
            since = scene.mark()
            write_added(scene, target=(7000, 7001)[round % 2])
            scene.standalone.start()
            # Before this line SIGTERM ends it as it ends any program.
            scene.told("Starting service lifecycle", since)
            time.sleep(moments.uniform(0, 0.5))
            began = time.monotonic()
            status = scene.standalone.stop()
            slowest = max(slowest, time.monotonic() - began)
            assert status == 0, f"stop {round + 1} ended with {status}"
        write_added(scene, target=7000)
        began = time.monotonic()
        scene.standalone.start()
        eventually(lambda: scene.answers(7301)["name"] == "echo", within=20)
        took = time.monotonic() - began
        scene.standalone.remove("added.yaml")
    assert slowest < 5, f"one took {slowest:.1f} s to end"
    return nothing_lost(load, crowd, f"{_STOPS} ended with 0, the slowest after {slowest:.1f} s", took)


def other_build(folder: Path) -> Path:
    """The agent's bundle under another build's name."""
    made = folder / "other/edge-agent-x86_64.tar.gz"
    shutil.rmtree(made.parent, ignore_errors=True)
    files = made.parent / "files"
    files.mkdir(parents=True)
    with tarfile.open(programs().agent_bundle) as bundle:
        bundle.extractall(files)
    (files / "BUILD").write_text("0123456789abcdef\n")
    with tarfile.open(made, "w:gz", compresslevel=1) as bundle:
        for file in sorted(files.iterdir()):
            bundle.add(file, file.name)
    (made.parent / "edge-agent-x86_64.build").write_text("0123456789abcdef\n")
    return made


@fault("agent upgraded", CHANGE, injected="the controller starts with an agent of another build, then again with the first",
       expected=f"the agent is pushed; {_NOTHING_LOST}", stage="three")
def agent_upgraded(scene: ThreeUplinks) -> Seen:
    own = scene.standalone.programs
    took = 0.0
    try:
        with traffic_through(scene) as (load, crowd):
            for bundle in (other_build(scene.lab.folder), own.agent_bundle):
                assert scene.standalone.stop() == 0
                scene.standalone.programs = dataclasses.replace(own, agent_bundle=bundle)
                since, began = scene.mark(), time.monotonic()
                scene.standalone.start()
                scene.told("pushing the agent", since)
                scene.told("reconciled", since, within=30)
                took = max(took, time.monotonic() - began)
                build = scene.on_vps("cat", "/usr/local/lib/tidegate/BUILD").strip()
                assert build == bundle.with_name("edge-agent-x86_64.build").read_text().strip(), build
        return nothing_lost(load, crowd, f"pushed and at work after {took:.1f} s")
    finally:
        scene.standalone.programs = own
