"""Links, the program on the VPS that takes them, and the networks that they go through (docs/links.md)."""

from __future__ import annotations

import signal
import time

from fault_uplinks import _LOST, cut_network, freeze, routed_around
from lab.commands import run
from lab.network import UPLINKS, VPS
from product import traffic
from product.traffic import eventually
from registry import LINKS, Seen, fault, untested
from scenes import WEB, Linked


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


untested("slow and long way of links", LINKS, expected="no request fails by an uplink whose way has 1 Mbit/s and 300 ms more; datagrams pass",
         why="the lab's kernels have no netem")


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
