"""On a cluster: pods, their nodes and the controllers die or are replaced."""

from __future__ import annotations

import time

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


untested("the kernel's WireGuard in a pod", CLUSTER, expected="as wireguard-go in a pod, and as the kernel's on a machine",
         why="pods of the lab share the machine's kernel, which has no WireGuard, and its machines in QEMU run no kubelet; each of the two is seen above")
