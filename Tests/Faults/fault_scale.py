"""Scale: what holds with five bindings holds with five thousand."""

from __future__ import annotations

import time
from collections import Counter

import many
from cluster_stage import UPLINKS
from lab.network import VPS
from load import SpreadLoad
from many import Many
from product import traffic
from product.traffic import eventually
from registry import SCALE, Seen, fault
from scenes import ClusterScene

_APPLIED, _ONE_MORE, _ROUTED_AROUND, _AT_REST = 60, 1.0, 3, 3.0  # s, s, s, % of a core
_ASKED = 33 + 4  # requests of a leader in a minute, 30 of them for its Lease; half a minute is counted, and two may fall into it by chance
_INJECTED = ("{} bindings ({}), 5 of a hundred UDP, every tenth PortBinding to a Service, are created; then one more; one of 3 uplinks is "
             "killed; Envoy is restarted; {} s of rest")
_EXPECTED = (f"in force within {_APPLIED} s, each leads where it should; first byte of one more within {_ONE_MORE:.0f} s; no request that begins "
             f"{_ROUTED_AROUND} s after the kill is lost, none at all by the restart; at rest Envoy with its agent, and each uplink, under "
             f"{_AT_REST:.0f} % of a core; no uplink restarts but the killed one; the API server is asked no more than with one binding")


def holds(scene: ClusterScene, count: int, *, rest: float) -> Seen:
    some = Many(scene, count)
    before = some.restarts()
    lost, requests = 0, 0
    wrong: list[str] = []
    # The short row is for CI, whose machine may be busy and whose programs are debug builds: the budgets themselves are the long rows'.
    short = rest < 30
    try:
        own, began = many.spent([scene.stage.server.pid]), time.monotonic()
        some.apply()
        some.wait_ready(_APPLIED * 2)
        applied, own = time.monotonic() - began, many.spent([scene.stage.server.pid]) - own
        if applied > _APPLIED:
            wrong.append(f"in force after {applied:.1f} s only")
        some.sample()
        first = first_byte(scene, some)
        if first > _ONE_MORE * (3 if short else 1):
            wrong.append(f"the first byte of one more came after {first:.2f} s")
        with SpreadLoad(scene.lab.client, VPS, some.streams) as load:
            time.sleep(2)
            killed = time.monotonic()
            scene.stage.cluster.kill(UPLINKS, "edge-uplink-2")
            time.sleep(15)
            eventually(lambda: scene.stage.status("StatefulSet", "edge-uplink", UPLINKS).get("readyReplicas") == 3, within=60)
        late = load.lost(since=killed + _ROUTED_AROUND)
        if late:
            wrong.append(f"{len(late)} of {load.requests} requests lost, the last {late[-1].began - killed:.1f} s after the kill: {late[-1].failure}")
        lost, requests = lost + len(load.lost()), requests + load.requests
        restart, load = hot_restart(scene, some)
        if load.lost():
            wrong.append(f"{len(load.lost())} of {load.requests} requests lost by the restart: {load.lost()[0].failure}")
        lost, requests = lost + len(load.lost()), requests + load.requests
        time.sleep(10)
        scene.stage.server.control("record")
        groups = {"Envoy and agent": many.of_vps(scene, "envoy", "edge-agent"), "the VPS's wireguard-go": many.of_vps(scene, "wireguard-go"),
                  "controller": [scene.stage.controllers[0].process.pid],
                  **{f"uplink {ordinal}": many.of_uplink(scene, ordinal) for ordinal in range(3)}}
        shares = many.at_rest(groups, rest)
        asked = sum(one["user"] == scene.stage.user() for one in scene.stage.server.control("records")) * 60 / rest
        if asked > _ASKED and not short:
            wrong.append(f"{asked:.0f} requests a minute to the API server at rest")
        for name in ("Envoy and agent", "uplink 0", "uplink 1", "uplink 2"):
            if shares[name] > _AT_REST * (2 if short else 1):
                wrong.append(f"{name} at rest: {shares[name]:.1f} % of a core")
        restarts = some.restarts() - before
        if restarts != 1:
            wrong.append(f"{restarts} restarts of uplinks, one was killed")
        memory = {"Envoy": many.resident(many.of_vps(scene, "envoy")), "uplink": many.resident(groups["uplink 0"]),
                  "controller": many.resident(groups["controller"])}
    finally:
        if not wrong:
            some.remove("one-more")
    text = (f"in force after {applied:.1f} s ({own:.1f} s of them the API server's double computed); one more {first:.2f} s; restart {restart:.1f} s; at rest "
            + ", ".join(f"{name} {share:.1f} %" for name, share in shares.items()) + "; resident "
            + ", ".join(f"{name} {size:.0f} MB" for name, size in memory.items())
            + f"; {asked:.0f} requests a minute to the API server")
    print(f"        {count} bindings: {text}", flush=True)
    assert not wrong, "; ".join(wrong)
    return Seen(text, None, lost, requests)


def first_byte(scene: ClusterScene, some: Many) -> float:
    """Seconds from one more PortBinding to its first byte."""
    began = time.monotonic()
    some.add("one-more", many.ONE_MORE)
    eventually(lambda: traffic.whoami(scene.lab.client, VPS, many.ONE_MORE, timeout=3), within=30, every=0.01)
    return time.monotonic() - began


def hot_restart(scene: ClusterScene, some: Many) -> tuple[float, SpreadLoad]:
    """Asks for a restart of Envoy under load; seconds until another one serves."""
    envoy = scene.stage.envoy_pid()
    with SpreadLoad(scene.lab.client, VPS, some.streams) as load:
        time.sleep(1)
        began = time.monotonic()
        scene.stage.kubectl("annotate", "edgenode", "edge", "tunnel.achetronic.com/restart-envoy=true")
        eventually(lambda: scene.stage.envoy_pid() != envoy, within=60, every=0.2)
        took = time.monotonic() - began
        time.sleep(5)
    return took, load


@fault("300 bindings", SCALE, injected=_INJECTED.format(300, "3 PortBindings", 10), expected=_EXPECTED, stage="cluster", quick=True)
def some_hundred(scene: ClusterScene) -> Seen:
    return holds(scene, 300, rest=10)


@fault("50 bindings", SCALE, injected=_INJECTED.format(50, "one PortBinding", 30), expected=_EXPECTED, stage="cluster")
def fifty(scene: ClusterScene) -> Seen:
    return holds(scene, 50, rest=30)


@fault("500 bindings", SCALE, injected=_INJECTED.format(500, "5 PortBindings", 30), expected=_EXPECTED, stage="cluster")
def five_hundred(scene: ClusterScene) -> Seen:
    return holds(scene, 500, rest=30)


@fault("5,000 bindings", SCALE, injected=_INJECTED.format("5,000", "50 PortBindings", 30), expected=_EXPECTED, stage="cluster")
def five_thousand(scene: ClusterScene) -> Seen:
    return holds(scene, 5_000, rest=30)


@fault("5,000 bindings where 4,096 files are all", SCALE, injected="a VPS whose processes may open 4,096 files and can get no more; 5,000 bindings",
       expected="as many as fit carry traffic; each of the rest says that files are short, none is Ready, and its port is not open", stage="few files")
def few_files(scene: ClusterScene) -> Seen:
    some = Many(scene, 5_000)
    limits = scene.lab.vps.exec(["sh", "-c", "cat /proc/1/limits /proc/$(pgrep --newest --exact envoy)/limits"])
    hard = [line.split()[4] for line in limits.splitlines() if line.startswith("Max open files")]
    assert hard == ["4096", "4096"], f"the VPS lets more files be opened than the lab was told: {hard}"
    some.apply()

    def said() -> list[tuple[str, bool, str]]:
        return sorted((one["name"], one["ready"], one["reason"]) for one in some.states())

    def settled() -> bool:
        """each binding is Ready or says why not, and still says so 10 s on"""
        before = said()
        if len(before) < some.count or any(reason == "NotYetApplied" for _, _, reason in before):
            return False
        time.sleep(10)
        return said() == before
    began = time.monotonic()
    try:
        eventually(settled, within=180, every=1)
    except AssertionError:
        reasons = Counter("Ready" if ready else reason for _, ready, reason in said())
        node = scene.stage.condition("EdgeNode", "edge", "ConfigSynced")
        raise AssertionError(f"not settled within 180 s: {dict(reasons)}; the EdgeNode said {node.get('reason')}: {node.get('message')}") from None
    took = time.monotonic() - began - 10
    ready, rest = [], []
    for one in some.states():
        (ready if one["ready"] else rest).append(one)
    assert len(ready) >= 500, f"only {len(ready)} carry traffic; another said {rest[0]['reason']}: {rest[0]['message']}"
    unnamed = [one for one in rest if "files" not in one["message"]]
    assert rest and not unnamed, f"{len(unnamed)} of {len(rest)} do not name files: {(unnamed or ready)[0]}"
    for one in some.random.sample(ready, 40):
        if (port := int(one["name"][1:])) in some.streams:
            traffic.whoami(scene.lab.client, VPS, port)
    for one in some.random.sample(rest, 40):
        if (port := int(one["name"][1:])) in some.streams:
            try:
                scene.lab.client.connect(VPS, port, timeout=2).close()
            except ConnectionRefusedError:
                continue
            raise AssertionError(f"port {port} is open, and its binding said {one['reason']}")
    return Seen(f"{len(ready):,} carry traffic, {len(rest):,} say: {rest[0]['message']}", took)
