"""Uplinks that die, hang, or cannot be reached, and what stands between them and the VPS."""

from __future__ import annotations

import os
import signal
import time

from lab.commands import run
from lab.network import BACKEND, HOME, UPLINKS, VPS
from load import SteadyLoad
from product import traffic
from product.traffic import eventually
from registry import UPLINKS as GROUP
from registry import Seen, fault
from scenes import ADDRESSES, DATAGRAMS, WEB, ThreeUplinks

_ROUTED_AROUND = 3  # seconds: the goal
_LONE_REQUESTS = 16
_LOST = (f"no request that begins {_ROUTED_AROUND} s later or more is lost or takes longer than 1 s, no connection by the other uplinks "
         "breaks; back in rotation by itself")


def routed_around(scene: ThreeUplinks, break_it, mend_it, *, stay: float = 15, within: float = 60) -> Seen:
    """One of three uplinks is gone for `stay` seconds, then comes back."""
    with scene.crowd(count=60) as crowd, scene.open_load() as load:
        time.sleep(2)
        began = time.monotonic()
        break_it()
        time.sleep(stay)
        settled = load.trouble_ended(began)
        broken = crowd.broken(apart_from=scene.victim_address)
        mended = time.monotonic()
        mend_it()
        before = load.peers[scene.victim_address]
        eventually(lambda: load.peers[scene.victim_address] > before + 3, within=within)
        back = time.monotonic() - mended
    lost, late = load.lost(), load.lost(since=began + _ROUTED_AROUND)
    slowest = max((one.took for one in load.troubles), default=0)
    assert broken == [], f"connections by other uplinks broke: {broken[0]}"
    assert not late, f"{len(late)} of {load.requests} requests lost, the last {late[-1].began - began:.1f} s after: {late[-1].failure}"
    assert settled < _ROUTED_AROUND, f"a request that began {settled:.1f} s after was held up"
    slow = f"; {len(load.troubles) - len(lost)} took longer than 1 s, up to {slowest:.1f} s" if len(load.troubles) > len(lost) else ""
    return Seen(f"the last request it held up began after {settled:.1f} s{slow}; back in rotation {back:.1f} s after it runs again", settled,
                len(lost), load.requests)


def cut_network(scene: ThreeUplinks) -> Seen:
    def set_link(state: str) -> None:
        scene.lab.nat.configure([f"link set {scene.victim_host.role} {state}"])
    return routed_around(scene, lambda: set_link("down"), lambda: set_link("up"))


def freeze(scene: ThreeUplinks) -> Seen:
    return routed_around(scene, lambda: scene.signal_victim(signal.SIGSTOP), lambda: scene.signal_victim(signal.SIGCONT))


@fault("uplink killed", GROUP, injected="SIGKILL to one of 3 uplinks and its wireguard-go, as when a pod dies; started again after 15 s",
       expected=_LOST, stage="three", quick=True)
def killed(scene: ThreeUplinks) -> Seen:
    return routed_around(scene, lambda: scene.signal_victim(signal.SIGKILL), scene.revive)


@fault("uplink killed while requests are few", GROUP, injected="the same, with 2 requests a second",
       expected=f"no request that begins {_ROUTED_AROUND} s later or more is lost; one that meets the dead uplink goes by another in the end, and "
       "none does once the probes have told (15 s)", stage="three")
def killed_under_few(scene: ThreeUplinks) -> Seen:
    with scene.open_load(rate=2) as load:
        time.sleep(2)
        began = time.monotonic()
        scene.signal_victim(signal.SIGKILL)
        time.sleep(25)
        settled = load.trouble_ended(began)
    scene.revive()
    slowest = max((one.took for one in load.troubles), default=0)
    late = load.lost(since=began + _ROUTED_AROUND)
    assert not late, f"{len(late)} of {load.requests} requests lost, the last {late[-1].began - began:.1f} s after: {late[-1].failure}"
    assert settled < 15, f"a request that began {settled:.1f} s after was held up"
    return Seen(f"the last request it held up began after {settled:.1f} s; {len(load.troubles)} took longer than 1 s, up to {slowest:.1f} s", settled,
                len(load.lost()), load.requests)


@fault("uplink leads nowhere and answers probes", GROUP, stage="three",
       injected=f"one of 2 uplinks in rotation loses its way to the target; {_LONE_REQUESTS} requests, one after the other, each when a probe has put "
       "that uplink back in rotation",
       expected="none is lost: two attempts that meet it take it out, and the last of four goes by the other")
def leads_nowhere(scene: ThreeUplinks) -> Seen:
    third = 1
    assert scene.uplinks[third].stop(40) == 0
    eventually(lambda: len(scene.in_rotation()) == 2, within=20)
    took = []
    scene.on_victim("ip", "route", "add", "blackhole", BACKEND)
    try:
        for _ in range(_LONE_REQUESTS):
            began = time.monotonic()
            traffic.whoami(scene.client, VPS, WEB, timeout=10)
            took.append(time.monotonic() - began)
            time.sleep(7 - took[-1])
    finally:
        scene.on_victim("ip", "route", "delete", "blackhole", BACKEND)
        scene.start_uplink(third)
    scene.settle(60)
    met = [one for one in took if one > 1]
    assert len(met) > 1, f"only {len(met)} met it, so this shows nothing"
    return Seen(f"{len(met)} met it at first, the slowest took {max(met):.1f} s", None, 0, len(took))


@fault("uplink process killed", GROUP, injected="SIGKILL to the uplink alone, its tunnel stays; started again after 15 s",
       expected=_LOST, stage="three")
def process_killed(scene: ThreeUplinks) -> Seen:
    return routed_around(scene, scene.uplinks[scene.victim].kill, lambda: scene.start_uplink(scene.victim))


@fault("uplink's link cut", GROUP, injected="the network link of one of 3 uplinks goes down for 15 s", expected=_LOST, stage="three", quick=True)
def link_cut(scene: ThreeUplinks) -> Seen:
    return cut_network(scene)


@fault("uplink's node frozen", GROUP, injected="SIGSTOP to one of 3 uplinks and its wireguard-go, SIGCONT after 15 s", expected=_LOST, stage="three")
def frozen(scene: ThreeUplinks) -> Seen:
    return freeze(scene)


@fault("uplink's wireguard-go killed", GROUP, injected="SIGKILL to the wireguard-go of one of 3 uplinks", expected=_LOST, stage="three")
def wireguard_go_killed(scene: ThreeUplinks) -> Seen:
    def kill() -> None:
        own = scene.uplinks[scene.victim].pid()
        for pid in scene.victims():
            if pid != own:
                os.kill(pid, signal.SIGKILL)
    return routed_around(scene, kill, lambda: None)


@fault("all uplinks down", GROUP, injected="SIGKILL to all 3 uplinks, at home only theirs; started again after 15 s",
       expected="refused within tcp.connectTimeout (5 s), and at once when the probes have told; never hung; back by itself", stage="three")
def all_down(scene: ThreeUplinks) -> Seen:
    def kill(ordinal: int) -> None:
        host = scene.hosts[ordinal]
        controller = scene.standalone.process.pid if scene.standalone.process else None
        for pid in host.pids():
            if pid != controller:
                os.kill(pid, signal.SIGKILL)
        scene.uplinks[ordinal].kill()
    began = time.monotonic()
    for ordinal in range(3):
        kill(ordinal)

    def refused_after() -> float:
        asked = time.monotonic()
        try:
            scene.answers(timeout=10)
        except OSError:
            return time.monotonic() - asked
        raise AssertionError("a dead uplink answers")
    waits = [refused_after()]
    while waits[-1] > 0.5:
        assert time.monotonic() - began < 30, f"still refused after {waits[-1]:.1f} s only"
        waits.append(refused_after())
    took = time.monotonic() - began
    assert max(waits) < 6, f"a connection hung for {max(waits):.1f} s"
    slow = [one for one in (refused_after() for _ in range(20)) if one > 0.5]
    assert not slow, f"{len(slow)} of 20 connections were not refused at once"
    for ordinal in range(3):
        scene.start_uplink(ordinal)
    started = time.monotonic()
    back = scene.back(started, within=40)
    return Seen(f"refused after up to {max(waits):.1f} s, at once from {took:.1f} s on; all was back {back:.1f} s after they run again", back)


@fault("UDP sessions when their uplink dies", GROUP,
       injected="12 UDP sessions with a datagram each 200 ms; SIGKILL to one uplink and its wireguard-go, back after 15 s",
       expected="sessions by other uplinks lose nothing; those by the dead one go on by another, and none ends in a black hole", stage="three")
def udp_sessions(scene: ThreeUplinks) -> Seen:
    sessions: list[traffic.Datagrams] = []

    def opened() -> set[str]:
        """Where twelve fresh sessions went. The checks of a UDP binding's uplinks are its own."""
        while sessions:
            sessions.pop().socket.close()
        sessions.extend(traffic.Datagrams(scene.client, VPS, DATAGRAMS, timeout=0.4) for _ in range(12))
        return {one.whoami()["peer"] for one in sessions}
    try:
        eventually(lambda: opened() == set(ADDRESSES), within=20)
        hit = [number for number, one in enumerate(sessions) if one.whoami()["peer"] == scene.victim_address]
        scene.signal_victim(signal.SIGKILL)
        began = time.monotonic()
        last_failure, lost_elsewhere, asked = 0.0, 0, 0
        revived = False
        while time.monotonic() - began < 25:
            if not revived and time.monotonic() - began > 15:
                scene.revive()
                revived = True
            for number, one in enumerate(sessions):
                asked += 1
                try:
                    one.whoami()
                except (OSError, ValueError):
                    if number in hit:
                        last_failure = time.monotonic() - began
                    else:
                        lost_elsewhere += 1
            time.sleep(0.2)
        for one in sessions:
            one.whoami()
    finally:
        for one in sessions:
            one.socket.close()
    assert lost_elsewhere == 0, f"{lost_elsewhere} datagrams of sessions by other uplinks were lost"
    assert last_failure < 15, f"a session by the dead uplink was silent for {last_failure:.1f} s"
    return Seen(f"{len(hit)} of 12 sessions passed the dead uplink and went on by another", last_failure, None)


def conntrack_flush(scene: ThreeUplinks) -> None:
    scene.lab.nat.run(["conntrack", "-F"])


def blip(scene: ThreeUplinks, action, *, within: float, expected_lost: int | None = None) -> tuple[float, SteadyLoad]:
    """Seconds until the last request that the action held up had begun; the load goes on for `within` seconds."""
    with scene.open_load() as load:
        time.sleep(2)
        began = time.monotonic()
        action()
        time.sleep(within)
    return load.trouble_ended(began), load


@fault("NAT before the uplinks rebinds", GROUP, injected="the NAT forgets every flow and takes other ports for all uplinks at once",
       expected="traffic is back within one keepalive (25 s)", stage="three")
def nat_rebinds(scene: ThreeUplinks) -> Seen:
    def rebind() -> None:
        # Other source ports than before, then no memory of the former flows.
        run(["ip", "netns", "exec", scene.lab.nat.name, "nft", "-f", "-"], input="""
            flush chain inet lab postrouting
            add rule inet lab postrouting oifname "wan" meta nfproto ipv4 meta l4proto udp masquerade to :20000-29999 random
            add rule inet lab postrouting oifname "wan" meta nfproto ipv4 masquerade
        """)
        conntrack_flush(scene)
    try:
        took, load = blip(scene, rebind, within=35)
    finally:
        run(["ip", "netns", "exec", scene.lab.nat.name, "nft", "-f", "-"], input="""
            flush chain inet lab postrouting
            add rule inet lab postrouting oifname "wan" meta nfproto ipv4 masquerade
        """)
    assert took <= 25, f"requests were held up until {took:.1f} s after"
    return Seen(f"the last request it held up began after {took:.1f} s", took, len(load.failures), load.requests)


@fault("NAT before the uplinks changes its address", GROUP, injected="another public address on the NAT, the former gone, flows forgotten",
       expected="traffic is back within one keepalive (25 s)", stage="three")
def nat_moves(scene: ThreeUplinks) -> Seen:
    def move(old: str, new: str) -> None:
        scene.lab.nat.configure([f"addr del {old}/24 dev wan", f"addr add {new}/24 dev wan", "route replace default via 198.18.2.1"])
        conntrack_flush(scene)
    try:
        took, load = blip(scene, lambda: move("198.18.2.2", "198.18.2.3"), within=35)
    finally:
        move("198.18.2.3", "198.18.2.2")
    assert took <= 25, f"requests were held up until {took:.1f} s after"
    return Seen(f"the last request it held up began after {took:.1f} s", took, len(load.failures), load.requests)


def drop_tunnel(scene: ThreeUplinks, seconds: float) -> None:
    """All of the tunnel's packets are lost for so long."""
    host = scene.lab.internet.name
    rules = """table ip fault {
      chain forward {
        type filter hook forward priority 0;
        udp dport 51821 drop
        udp sport 51821 drop
      }
    }"""
    run(["ip", "netns", "exec", host, "nft", "-f", "-"], input=rules)
    try:
        time.sleep(seconds)
    finally:
        run(["ip", "netns", "exec", host, "nft", "delete", "table", "ip", "fault"])


@fault("tunnel cut for 10 s", GROUP, injected="all UDP between the NAT and the VPS is dropped for 10 s, three times; then a new connection each 50 ms",
       expected="the first that gets through is answered within 1.5 s of the end of the cut", stage="three")
def cut_short(scene: ThreeUplinks) -> Seen:
    took = []
    for _ in range(3):
        scene.settle(60)
        drop_tunnel(scene, 10)
        ended = time.monotonic()
        # Each is given up soon: what is asked is when a new one gets through.
        eventually(lambda: scene.answers(timeout=0.3), within=30)
        took.append(time.monotonic() - ended)
    said = ", ".join(f"{one:.1f}" for one in took)
    assert max(took) < 1.5, f"a new connection got through {said} s after"
    return Seen(f"a new connection got through {said} s after", max(took))


@fault("tunnel's packets lost for a while", GROUP, injected="all UDP between the NAT and the VPS is dropped for 20 s",
       expected="back within 10 s of its return; not a single restart", stage="three")
def black_out(scene: ThreeUplinks) -> Seen:
    pids = {ordinal: one.pid() for ordinal, one in scene.uplinks.items()}
    drop_tunnel(scene, 20)
    returned = time.monotonic()
    took = scene.back(returned, within=40)
    scene.settle(60)
    assert took < 10, f"back after {took:.1f} s"
    assert all(pids.values()) and pids == {ordinal: one.pid() for ordinal, one in scene.uplinks.items()}, "an uplink began anew"
    return Seen(f"traffic {took:.1f} s after the packets pass again; addresses {HOME} and {', '.join(UPLINKS)} all in rotation", took)
