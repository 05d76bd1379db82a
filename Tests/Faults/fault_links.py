"""Links, the program on the VPS that takes them, and the networks that they go through (docs/links.md)."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import fault_change
from fault_uplinks import _LOST, cut_network, freeze, routed_around
from lab.commands import run
from lab.network import UPLINKS, VPS
from product import traffic
from product.standalone import faked
from product.traffic import eventually
from registry import LINKS, Seen, fault
from scenes import ADDRESSES, DATAGRAMS, WEB, Linked


def link_program(scene: Linked) -> int:
    return int(scene.on_vps("pgrep", "--newest", "--exact", "edge-link"))


@fault("link program killed", LINKS, injected="SIGKILL to edge-link", expected="back within 5 s, without the controller", stage="linked", quick=True)
def program_killed(scene: Linked) -> Seen:
    with scene.open_load() as load:
        time.sleep(1)
        began = time.monotonic()
        scene.on_vps("kill", "-KILL", str(link_program(scene)))
        time.sleep(0.1)
        took = scene.back(began, within=20)
    assert took < 5, f"back after {took:.1f} s"
    return Seen("started again by its supervisor; the uplinks dialed anew", took, len(load.lost()), load.requests)


@fault("linked uplink killed", LINKS, injected="SIGKILL to one of 3 uplinks that come by links; started again after 15 s", expected=_LOST, stage="linked")
def uplink_killed(scene: Linked) -> Seen:
    return routed_around(scene, lambda: scene.signal_victim(signal.SIGKILL), scene.revive)


@fault("linked uplink's network cut", LINKS, injected="the network link of one of 3 such uplinks goes down for 15 s", expected=_LOST, stage="linked")
def network_cut(scene: Linked) -> Seen:
    return cut_network(scene)


@fault("linked uplink's node frozen", LINKS, injected="SIGSTOP to one of 3 such uplinks, SIGCONT after 15 s", expected=_LOST, stage="linked")
def frozen(scene: Linked) -> Seen:
    return freeze(scene)


@fault("VPS rebooted, uplinks linked", LINKS, injected="an orderly reboot", expected="traffic is back by itself after the boot, without the controller",
       stage="linked")
def rebooted(scene: Linked) -> Seen:
    scene.standalone.stop()
    try:
        began = time.monotonic()
        scene.machine.reboot()
        booted = time.monotonic() - began
        took = scene.back(began, within=90)
    finally:
        scene.standalone.start()
    return Seen(f"sshd answered after {booted:.1f} s, traffic after {took:.1f} s", took)


@contextmanager
def slow_way(scene: Linked, *, milliseconds: int, bits: int) -> Iterator[None]:
    """The victim's wire is long and narrow: `milliseconds` more there and back, `bits` a second each way."""
    nat, role = scene.lab.nat, scene.victim_host.role
    nat.configure(["link add narrow type veth peer name wide", "link set wide master br0", "link set wide up", "link set narrow up",
                   f"link set {role} nomaster"])
    for host, device in ((nat, role), (nat, "narrow"), (nat, "wide"), (scene.victim_host, "eth0")):
        run(["ip", "netns", "exec", host.name, "ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off", "gro", "off"])
    wire = nat.start([sys.executable, "-m", "lab.delay", role, "narrow", str(milliseconds / 2), str(bits)],
                     cwd=str(Path(__file__).parents[1] / "Lab"))
    try:
        yield
    finally:
        wire.kill()
        wire.wait()
        nat.configure([f"link set {role} master br0", "link delete narrow"])


@fault("slow and long way of links", LINKS, injected="300 ms and 1 Mbit/s on the way of one of 3 linked uplinks for 25 s, with six transfers of 60 kB",
       expected="no request fails, and the uplink stays in rotation; datagrams pass", stage="linked")
def slow(scene: Linked) -> Seen:
    with slow_way(scene, milliseconds=300, bits=1_000_000), scene.open_load(rate=10) as load:
        time.sleep(3)
        before = load.peers[scene.victim_address]
        for _ in range(6):
            traffic.echo_once(scene.client, VPS, WEB, 60_000, timeout=20)
        with traffic.Datagrams(scene.client, VPS, DATAGRAMS) as session:
            session.echo(1400)
        time.sleep(15)
        by_it = load.peers[scene.victim_address] - before
    scene.settle(60)
    assert not load.lost(), f"{len(load.lost())} of {load.requests} requests lost: {load.lost()[0].failure}"
    assert by_it > 10, f"{by_it} requests went by it"
    slowest = max((one.took for one in load.troubles), default=0)
    return Seen(f"{by_it} requests went by it; the slowest took {slowest:.1f} s" if slowest else f"{by_it} requests went by it, none took longer than 1 s",
                None, 0, load.requests)


@fault("linked uplinks rolled", LINKS, injected="each such uplink in turn: SIGTERM, wait for its end, start again, wait until it is ready",
       expected="no request fails; drained connections may end", stage="linked")
def rolled(scene: Linked) -> Seen:
    return fault_change.rolled(scene)


@fault("linked uplink's key rotated", LINKS, injected="the private key of one such uplink, which its link key is made of, is replaced, and it starts again",
       expected="no request fails, no connection by the others breaks; the VPS takes the new key", stage="linked")
def key_rotated(scene: Linked) -> Seen:
    return fault_change.key_rotated(scene)


@fault("relay's key rotated, uplinks linked", LINKS, injected="relay.key on the VPS is deleted and the EdgeNode applied",
       expected="the uplinks take the new pin by themselves; traffic is back within 5 s", stage="linked")
def relay_key_rotated(scene: Linked) -> Seen:
    former = scene.standalone.status("EdgeNode", "edge")["linkPin"]
    with scene.open_load() as load:
        time.sleep(1)
        scene.on_vps("rm", "/etc/tidegate/relay.key")
        began = time.monotonic()
        scene.nudge()
        eventually(lambda: scene.standalone.status("EdgeNode", "edge").get("linkPin") not in (None, former), within=30)
        eventually(lambda: scene.in_rotation() == set(ADDRESSES), within=60)
        settled = load.trouble_ended(began)
    assert settled < 5, f"a request that began {settled:.1f} s after was held up"
    return Seen(f"the last request it held up began after {settled:.1f} s", settled, len(load.lost()), load.requests)


@fault("agent and link program upgraded", LINKS, injected="the controller starts with an agent and a link program of other builds, then again with the first",
       expected="no request fails; connections that are held go on while the former program drains (30 s)", stage="linked")
def upgraded(scene: Linked) -> Seen:
    own = scene.standalone.programs
    other = fault_change.other_build(scene.lab.folder)
    # Another build of a program is another file: bytes after its end change nothing of what it does.
    shutil.copyfile(own.agent_bundle.with_name("edge-link-x86_64"), other.with_name("edge-link-x86_64"))
    with open(other.with_name("edge-link-x86_64"), "ab") as program:
        program.write(bytes(16))
    took = 0.0
    try:
        with scene.load() as load:
            for bundle in (other, own.agent_bundle):
                with scene.crowd() as crowd:
                    former = link_program(scene)
                    assert scene.standalone.stop() == 0
                    scene.standalone.programs = dataclasses.replace(own, agent_bundle=bundle)
                    since, began = scene.mark(), time.monotonic()
                    scene.standalone.start()
                    scene.told("takes over from", since, within=60)
                    took = max(took, time.monotonic() - began)
                    eventually(lambda: link_program(scene) != former, within=10)
                    time.sleep(15)
                    broken = crowd.broken()
                    assert broken == [], f"{len(broken)} of {len(crowd.held)} held connections broke: {broken[0]}"
                scene.settle()
        assert load.failures == [], f"{len(load.failures)} of {load.requests} requests failed: {load.failures[0]}"
    finally:
        scene.standalone.programs = own
    return Seen(f"pushed and at work after {took:.1f} s; 200 held connections answered 15 s on", None, 0, load.requests)


@fault("clock of a linked uplink ten years ahead", LINKS, injected="one of 3 such uplinks starts under libfaketime, ten years ahead",
       expected="it is linked and carries traffic as before: no certificate of a link begins or ends", stage="linked")
def clock_ahead(scene: Linked) -> Seen:
    clock = scene.lab.folder / "ten-years"
    clock.write_text(f"+{10 * 365 * 86_400}\n")
    assert scene.uplinks[scene.victim].stop(40) == 0
    environment = faked(clock)
    os.environ.update(environment)
    try:
        scene.start_uplink(scene.victim)
    finally:
        for name in environment:
            del os.environ[name]
    try:
        took = scene.settle(60)
    finally:
        scene.uplinks[scene.victim].stop(40)
        scene.start_uplink(scene.victim)
        scene.settle(60)
    return Seen(f"in rotation {took:.1f} s after its start", took)


@fault("path MTU hole on the way of links", LINKS, injected="packets above 1,200 bytes of one of 3 linked uplinks vanish, ICMP too, for 20 s",
       expected="large and small requests pass by all three within 15 s", stage="linked")
def mtu_hole(scene: Linked) -> Seen:
    rules = f"""
table inet hole {{
  chain f {{ type filter hook forward priority -20; ip saddr {UPLINKS[1]} meta length > 1200 drop; ip daddr {UPLINKS[1]} meta length > 1200 drop; }}
}}
"""
    run(["ip", "netns", "exec", scene.lab.nat.name, "nft", "-f", "-"], input=rules)
    scene.lab.nat.run(["sysctl", "-qw", "net.ipv4.ip_no_pmtu_disc=0"])
    began = time.monotonic()
    try:
        def large() -> bool:
            for _ in range(6):
                traffic.echo_once(scene.client, VPS, WEB, 200_000, timeout=4)
            return True
        eventually(large, within=40)
        took = time.monotonic() - began
    finally:
        scene.lab.nat.run(["nft", "delete", "table", "inet", "hole"])
    return Seen(f"six transfers of 200 kB on end after {took:.1f} s", took)
