"""On a cluster: pods, their nodes and the controllers die or are replaced."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor

from cluster_stage import UPLINKS
from lab.network import BACKEND, VPS
from product import manifests as m
from product import traffic
from product.traffic import eventually
from registry import CLUSTER, Seen, fault, untested
from scenes import ClusterScene


def settled(scene: ClusterScene) -> bool:
    """Three pods of the newest template, all ready."""
    status = scene.stage.status("StatefulSet", "edge-uplink", UPLINKS)
    return status.get("updatedReplicas") == status.get("readyReplicas") == status.get("replicas") == 3 \
        and status.get("currentRevision") == status.get("updateRevision")


@fault("rolling update of the uplinks", CLUSTER, injected="another memory limit in uplink.resources with 3 replicas, drain included",
       expected="every pod is replaced, no request fails", stage="cluster")
def rolling_update(scene: ClusterScene) -> Seen:
    before = {one["metadata"]["uid"] for one in scene.stage.list("Pod", UPLINKS)}
    with scene.open_load() as load:
        time.sleep(1)
        began = time.monotonic()
        scene.stage.kubectl("patch", "edgenode", "edge", "--type=merge", "--patch",
                            '{"spec":{"uplink":{"resources":{"limits":{"memory":"300Mi"}}}}}')

        def replaced() -> bool:
            pods = {one["metadata"]["uid"] for one in scene.stage.list("Pod", UPLINKS)}
            return len(pods) == 3 and not pods & before and settled(scene)
        eventually(replaced, within=180, every=0.5)
        took = time.monotonic() - began
    assert not load.lost(), f"{len(load.lost())} of {load.requests} requests failed: {load.lost()[0].failure}"
    return Seen(f"all replaced after {took:.0f} s; {len(load.troubles)} requests took longer than 1 s", None, 0, load.requests)


@fault("an uplink's pod killed", CLUSTER, injected="SIGKILL to the container of one of 3 pods",
       expected="no request that begins 3 s later or more is lost; the pod is back by itself", stage="cluster")
def pod_killed(scene: ClusterScene) -> Seen:
    with scene.open_load() as load:
        time.sleep(1)
        began = time.monotonic()
        scene.stage.cluster.kill(UPLINKS, "edge-uplink-2")
        time.sleep(15)
        eventually(lambda: settled(scene), within=60)
        held_up = load.trouble_ended(began)
    late = load.lost(since=began + 3)
    assert not late, f"{len(late)} of {load.requests} requests lost, the last {late[-1].began - began:.1f} s after: {late[-1].failure}"
    return Seen(f"the last request it held up began after {held_up:.1f} s", held_up, len(load.lost()), load.requests)


@fault("the leading controller killed", CLUSTER, injected="SIGKILL to the controller that leads, another waits; a binding is added",
       expected="the other leads and the binding is in force within 30 s; no request fails", stage="cluster")
def leader_killed(scene: ClusterScene) -> Seen:
    second = scene.stage.controller(1).start()
    time.sleep(2)
    with scene.open_load() as load:
        scene.stage.controllers[0].kill()
        began = time.monotonic()
        scene.stage.kubectl.apply(m.port_binding("added", "edge", m.tcp("added", 7301, BACKEND, 7001)))
        eventually(lambda: traffic.whoami(scene.lab.client, VPS, 7301, timeout=1), within=60)
        took = time.monotonic() - began
    second.stop()
    assert took < 30, f"in force after {took:.1f} s"
    assert not load.lost(), f"{len(load.lost())} of {load.requests} requests failed"
    return Seen(f"in force after {took:.1f} s", took, 0, load.requests)


@fault("the uplinks' keys deleted by hand", CLUSTER, injected="kubectl delete secret edge-uplink-keys; 30 s",
       expected="it is back within 10 s with the same keys, the event DriftRepaired says so; no request is lost, no uplink restarts", stage="cluster")
def keys_deleted(scene: ClusterScene) -> Seen:
    def keys() -> dict:
        return (scene.stage.get("Secret", "edge-uplink-keys", UPLINKS) or {}).get("data") or {}
    before, pods = keys(), {one["metadata"]["uid"] for one in scene.stage.list("Pod", UPLINKS)}
    assert len(before) == 3, f"not three keys: {sorted(before)}"
    with scene.open_load() as load:
        time.sleep(1)
        began = time.monotonic()
        scene.stage.kubectl("delete", "secret", "edge-uplink-keys", "--namespace", UPLINKS)
        eventually(lambda: len(keys()) == 3, within=200, every=0.1)
        took = time.monotonic() - began
        time.sleep(max(0, 30 - took))
    assert not load.lost(), f"{len(load.lost())} of {load.requests} requests failed, the first {load.lost()[0].began - began:.1f} s after"
    assert keys() == before, "other keys than before"
    assert {one["metadata"]["uid"] for one in scene.stage.list("Pod", UPLINKS)} == pods, "uplinks were replaced"
    assert took < 10, f"back after {took:.1f} s"
    scene.stage.wait_event("DriftRepaired", regarding="edge", within=5)
    return Seen(f"back after {took:.1f} s, the same", took, 0, load.requests)


def first_connection(scene: ClusterScene, port: int, within: float) -> float:
    """Connects until the port takes it; the seconds that first connection then took to its answer. Raises OSError when it is reset."""
    def opened() -> socket.socket | None:
        try:
            return scene.lab.client.connect(VPS, port, timeout=5)
        except ConnectionRefusedError:
            return None
    try:
        connection = eventually(opened, within=within, every=0.01)
    except AssertionError:
        raise AssertionError(f"port {port} is still refused after {within:.0f} s") from None
    began = time.monotonic()
    with connection:
        traffic.ask(connection)
    return time.monotonic() - began


def first_connections(scene: ClusterScene, ports: range, within: float) -> list[float | str]:
    """For each port, all at once: the seconds its very first connection took, or what became of it."""
    def one(port: int) -> float | str:
        try:
            return first_connection(scene, port, within)
        except (OSError, AssertionError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
    with ThreadPoolExecutor(len(ports)) as pool:
        return list(pool.map(one, ports))


def all_at_once(scene: ClusterScene, taken: list[float | str], text: str) -> Seen:
    broken = [answer for answer in taken if isinstance(answer, str)]
    waited = [answer for answer in taken if isinstance(answer, float) and answer > 0.5]
    said = [one for listed in scene.stage.list("PortBinding") for one in listed.get("status", {}).get("bindings", []) if not one["ready"]]
    assert not broken and not waited, f"of {len(taken)} first connections {len(broken)} failed, {len(waited)} waited (up to " \
        f"{max(waited, default=0):.1f} s); {broken[:1]}; not Ready were {said[:1]}"
    return Seen(text, None, 0, len(taken))


_FIRST = "the port is refused until it leads somewhere: none of the first connections waits for longer than 0.5 s or is reset"


@fault("the first connections of new ports", CLUSTER, injected="18 PortBindings, one after the other; connections from before each is there",
       expected=_FIRST, stage="cluster")
def new_ports(scene: ClusterScene) -> Seen:
    ports, taken, opened = range(7320, 7338), [], []
    try:
        for port in ports:
            began = time.monotonic()
            scene.stage.kubectl.apply(m.port_binding(f"new-{port}", "edge", m.tcp(f"new-{port}", port, BACKEND, 7000)))
            taken += first_connections(scene, range(port, port + 1), 20)
            opened.append(time.monotonic() - began)
        return all_at_once(scene, taken, f"all answered at once; open after {min(opened):.1f} to {max(opened):.1f} s")
    finally:
        scene.stage.kubectl("delete", "portbinding", *(f"new-{port}" for port in ports), "--ignore-not-found")


@fault("the first connections when pods may not be annotated", CLUSTER, stage="cluster",
       injected="the API server refuses the annotation of pods, so that the kubelets bring the document within 60 to 90 s; 18 bindings at once",
       expected=_FIRST)
def new_ports_late(scene: ClusterScene) -> Seen:
    ports = range(7340, 7358)
    scene.stage.server.answer(403, verb="patch", resource="pods", user=".*tidegate-controller.*", times=10_000)
    try:
        scene.stage.kubectl.apply(m.port_binding("late", "edge", *(m.tcp(f"p{port}", port, BACKEND, 7000) for port in ports)))
        began = time.monotonic()
        taken = first_connections(scene, ports, 120)
        return all_at_once(scene, taken, f"all answered at once; open after {time.monotonic() - began:.1f} s")
    finally:
        scene.stage.server.clear_faults()
        scene.stage.kubectl("delete", "portbinding", "late")


untested("the kernel's WireGuard in a pod", CLUSTER, expected="as wireguard-go in a pod, and as the kernel's on a machine",
         why="pods of the lab share the machine's kernel, which has no WireGuard, and its machines in QEMU run no kubelet; each of the two is seen above")
