"""Limits on the way: packets too long, tables full, ports used up; and the clocks."""

from __future__ import annotations

import socket
import time

from lab.commands import attempt, run
from lab.network import VPS
from product import traffic
from product.traffic import eventually
from registry import HOST, Seen, fault
from registry import UPLINKS as GROUP
from scenes import OTHER, WEB, ThreeUplinks

_BLACK_HOLE = """
table ip fault {
  chain forward {
    type filter hook forward priority 0;
    udp dport 51821 meta length > 1400 drop
    udp sport 51821 meta length > 1400 drop
  }
}
"""


@fault("MTU black hole", GROUP, injected="packets of the tunnel longer than 1,400 bytes are dropped without a word, both ways",
       expected="the uplinks find out, lower the tunnel's MTU, and the status says to what; large transfers go on", stage="three")
def mtu_black_hole(scene: ThreeUplinks) -> Seen:
    internet = scene.lab.internet
    scene.lab.send_whole_packets()
    run(["ip", "netns", "exec", internet.name, "nft", "-f", "-"], input=_BLACK_HOLE)
    try:
        # A path is looked at when an uplink begins, and each minute.
        began = time.monotonic()

        def passes() -> bool:
            for _ in range(6):
                traffic.echo_once(scene.client, VPS, WEB, 200_000, timeout=5)
            return True
        eventually(passes, within=120, every=1)
        took = time.monotonic() - began
        scene.nudge()

        def said() -> str | None:
            conditions = scene.standalone.status("EdgeNode", "edge").get("conditions", [])
            return next((one["message"] for one in conditions if one.get("reason") == "PathMTUTooSmall"), None)
        message = eventually(said, within=30)
    finally:
        run(["ip", "netns", "exec", internet.name, "nft", "delete", "table", "ip", "fault"])
        for ordinal in range(3):
            scene.uplinks[ordinal].stop(40)
            scene.start_uplink(ordinal)
        scene.settle(60)
    return Seen(f"large transfers pass; a condition says: {message}", took)


@fault("conntrack table of an uplink full", GROUP, injected="as many made-up UDP flows in one uplink's host as its conntrack table holds, for 15 s",
       expected="no request is lost: the others take over; back in rotation by itself", stage="three")
def conntrack_full(scene: ThreeUplinks) -> Seen:
    host = scene.victim_host
    most = int(host.run(["sysctl", "-n", "net.netfilter.nf_conntrack_max"]))
    # Made-up flows live long, so that they fill the table however slowly they are made.
    host.sysctl({"net.netfilter.nf_conntrack_udp_timeout": "600"})
    script = f"""
import socket
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sent, number = 0, 0
while sent < {most} * 1.2:
    try:
        one.sendto(b"x", (f"10.96.{{number // 60000 + 100}}.7", number % 60000 + 1024))
    except OSError:
        pass
    number += 1
    sent += 1
"""
    with scene.crowd(count=60) as crowd, scene.open_load() as load:
        time.sleep(1)
        began = time.monotonic()
        highest = 0
        while time.monotonic() - began < 15:
            host.run(["python3", "-c", script], timeout=120)
            highest = max(highest, int(host.run(["sysctl", "-n", "net.netfilter.nf_conntrack_count"])))
        settled = load.trouble_ended(began)
        broken = crowd.broken()
        host.sysctl({"net.netfilter.nf_conntrack_udp_timeout": "30"})
        attempt(["ip", "netns", "exec", host.name, "conntrack", "-D", "-p", "udp", "--orig-src", scene.victim_address])
        scene.settle(60)
    assert highest > most * 0.95, f"only {highest} of {most} flows were made"
    assert broken == [], f"{len(broken)} held connections broke: {broken[0]}"
    assert not load.lost(), f"{len(load.lost())} of {load.requests} requests lost: {load.lost()[0].failure}"
    return Seen(f"{highest:,} of {most:,} flows; {len(load.troubles)} requests took longer than 1 s", settled, 0, load.requests)


@fault("ephemeral ports exhausted", HOST, injected="the VPS's range of source ports cut to 100, 3 uplinks, 500 connections to one binding",
       expected="those beyond are refused at once, established ones and other bindings go on; new ones come through within 70 s of the end of some", stage="three")
def ports_exhausted(scene: ThreeUplinks) -> Seen:
    namespace = scene.machine.namespace
    before = namespace.run(["sysctl", "-n", "net.ipv4.ip_local_port_range"]).split()
    namespace.sysctl({"net.ipv4.ip_local_port_range": "40000 40099"})
    taken: list[socket.socket] = []
    refused, slowest = 0, 0.0
    try:
        # Few enough requests that the load does not use up its own ports.
        with scene.load(threads=1, pause=1) as load:
            for _ in range(500):
                began = time.monotonic()
                one = scene.client.connect(VPS, OTHER, timeout=8)
                try:
                    traffic.ask(one)
                    taken.append(one)
                except OSError:
                    refused += 1
                    slowest = max(slowest, time.monotonic() - began)
                    one.close()
            for number, one in enumerate(taken):
                try:
                    traffic.ask(one)
                except OSError as error:
                    raise AssertionError(f"connection {number} of {len(taken)} that were carried broke: {error}") from error
            traffic.release(taken)
            began = time.monotonic()
            # Envoy closed them first, so its ports rest for a minute (TIME_WAIT).
            eventually(lambda: scene.answers(OTHER), within=90, every=0.5)
            took = time.monotonic() - began
    finally:
        traffic.release(taken)
        namespace.sysctl({"net.ipv4.ip_local_port_range": " ".join(before)})
    assert took < 70, f"the next came through after {took:.0f} s"
    assert load.failures == [], f"the other binding lost {len(load.failures)} of {load.requests}: {load.failures[0]}"
    assert refused and slowest < 2, f"{refused} refused, the slowest after {slowest:.1f} s"
    assert len(taken) > 200, f"only {len(taken)} were carried"
    return Seen(f"{len(taken)} carried, {refused} refused within {slowest:.1f} s", took, 0, load.requests)
