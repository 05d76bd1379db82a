"""What `kubectl get en,pb -w` says while things change: each line held against traffic at its moment."""

from __future__ import annotations

import json
import time

from cluster.proxy import BACKEND as BACKEND_ANNOTATION
from cluster_stage import UPLINKS
from fault_cluster import settled
from lab.network import BACKEND, VPS
from product import manifests as m
from product import traffic
from product.traffic import eventually
from registry import STATUS, Seen, fault
from scenes import ClusterScene
from watching import NODE, WEB_BINDING, Watched, watched

_TRUE = ("no line says Ready while most requests fail for 5 s, none says not Ready while all are answered for 5 s, and none falls for less than "
         "3 s with nothing lost")
_BINDINGS = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{UPLINKS}/rolebindings"


def seen(one: Watched, text: str = "", recovery: float | None = None) -> Seen:
    one.check()
    return Seen(f"{text}{'; ' if text else ''}EdgeNode: {one.story()}; PortBinding: {one.story(WEB_BINDING)}", recovery, one.lost, one.made)


def scale(scene: ClusterScene, replicas: int) -> None:
    scene.patch_node({"uplink": {"replicas": replicas}})
    eventually(lambda: scene.stage.status("StatefulSet", "edge-uplink", UPLINKS).get("readyReplicas") == replicas
               and len(scene.stage.list("Pod", UPLINKS)) == replicas, within=120, every=0.2)


@fault("the status while uplinks scale", STATUS, injected="uplink.replicas 1 → 3 → 1", expected=f"{_TRUE}; no request is lost", stage="cluster")
def scaling(scene: ClusterScene) -> Seen:
    scale(scene, 1)
    time.sleep(5)

    def change() -> None:
        scale(scene, 3)
        time.sleep(10)
        scale(scene, 1)
    one = watched(scene, "scaling", change)
    scale(scene, 3)
    scene.settle()
    assert one.lost == 0, f"{one.lost} of {one.made} requests failed"
    return seen(one)


@fault("the status while uplinks roll", STATUS, injected="another memory limit in uplink.resources", expected=f"{_TRUE}; no request is lost",
       stage="cluster")
def rolling(scene: ClusterScene) -> Seen:
    before = {one["metadata"]["uid"] for one in scene.stage.list("Pod", UPLINKS)}

    def change() -> None:
        scene.patch_node({"uplink": {"resources": {"limits": {"memory": "301Mi"}}}})

        def replaced() -> bool:
            pods = {one["metadata"]["uid"] for one in scene.stage.list("Pod", UPLINKS)}
            return len(pods) == 3 and not pods & before and settled(scene)
        eventually(replaced, within=180, every=0.5)
    one = watched(scene, "rolling", change)
    assert one.lost == 0, f"{one.lost} of {one.made} requests failed"
    return seen(one)


@fault("StatefulSet of the uplinks deleted", STATUS, injected="kubectl delete statefulset, its pods go with it",
       expected=f"it is back within 5 s, by itself, and the event DriftRepaired says so; {_TRUE}; all three carry traffic again", stage="cluster")
def stateful_set_deleted(scene: ClusterScene) -> Seen:
    old = scene.stage.get("StatefulSet", "edge-uplink", UPLINKS)["metadata"]["uid"]
    made: list[float] = []

    def change() -> None:
        began = time.monotonic()
        scene.stage.kubectl("delete", "statefulset", "edge-uplink", "--namespace", UPLINKS)
        eventually(lambda: (scene.stage.get("StatefulSet", "edge-uplink", UPLINKS) or {"metadata": {"uid": old}})["metadata"]["uid"] != old,
                   within=200, every=0.1)
        made.append(time.monotonic() - began)
        scene.settle(90)
    one = watched(scene, "stateful-set-deleted", change)
    told = scene.stage.wait_event("DriftRepaired", regarding="edge", within=5).get("note", "")
    assert "edge-uplink" in told, f"DriftRepaired does not name it: {told}"
    assert made[0] < 5, f"it was back after {made[0]:.1f} s only"
    one.check()
    first = one.first_failure()
    late = {object: one.fell(object) - first for object in (NODE, WEB_BINDING)}
    assert max(late.values()) < 5, f"it said Ready for {max(late.values()):.1f} s after the first request that failed"
    back = max(began for began, answered in one.requests[WEB_BINDING] if not answered) - one.began
    return seen(one, f"it was back after {made[0]:.1f} s", back)


def cut(scene: ClusterScene, name: str, links: list[tuple[object, str]], *, seconds: float = 20) -> Watched:
    """Links go down for a while."""
    def change() -> None:
        for host, link in links:
            host.configure([f"link set {link} down"])
        try:
            time.sleep(seconds)
        finally:
            for host, link in links:
                host.configure([f"link set {link} up"])
    return watched(scene, name, change, tail=25)


def fallen_in_time(one: Watched) -> Seen:
    one.check()
    first = one.first_failure()
    late = one.fell(NODE) - first
    assert late < 5, f"the EdgeNode said Ready for {late:.1f} s after the first request that failed"
    back = max(began for began, answered in one.requests[WEB_BINDING] if not answered) - one.began - 20
    return seen(one, f"not Ready {late:.1f} s after the first request that failed", max(back, 0))


@fault("the status while the uplinks' network is cut", STATUS, injected="the links of all three nodes go down for 20 s",
       expected=f"not Ready within 5 s, Ready again within 5 s of traffic; {_TRUE}", stage="cluster")
def network_cut(scene: ClusterScene) -> Seen:
    return fallen_in_time(cut(scene, "network-cut", [(scene.lab.nat, node.name) for node in scene.stage.cluster.nodes]))


@fault("the status while the VPS is cut", STATUS, injected="the VPS's link goes down for 20 s",
       expected=f"not Ready within 5 s, Ready again within 5 s of traffic; {_TRUE}", stage="cluster")
def vps_cut(scene: ClusterScene) -> Seen:
    return fallen_in_time(cut(scene, "vps-cut", [(scene.lab.internet, "v0")]))


@fault("the status while a Service is recreated", STATUS, injected="the Service of a binding's target is deleted, and created again 10 s later "
       "with another address", expected=f"{_TRUE}, for this binding and for the others, of which no request is lost", stage="cluster")
def service_recreated(scene: ClusterScene) -> Seen:
    service = scene.stage.service("back", (80, 7000), backend=BACKEND)
    scene.stage.kubectl.apply(service, m.port_binding("by-service", "edge", m.tcp_to_service("by-service", 7310, "back", 80)))
    eventually(lambda: traffic.whoami(scene.lab.client, VPS, 7310), within=30)
    scene.stage.wait("PortBinding", "by-service", within=10)
    first = scene.stage.get("Service", "back")["spec"]["clusterIP"]

    def change() -> None:
        scene.stage.kubectl("delete", "service", "back")
        time.sleep(10)
        scene.stage.kubectl.apply(service)
        eventually(lambda: traffic.whoami(scene.lab.client, VPS, 7310, timeout=1), within=30)
    one = watched(scene, "service-recreated", change, also={"by-service": 7310})
    second = scene.stage.get("Service", "back")["spec"]["clusterIP"]
    scene.stage.kubectl("delete", "portbinding/by-service", "service/back")
    assert first != second, "the Service got the address it had, so this shows nothing"
    assert one.lost == 0, f"{one.lost} of {one.made} requests of the other binding failed"
    return seen(one, f"its own: {one.story(('portbindings', 'by-service'))}")


@fault("the uplinks' rights taken and given back", STATUS, injected="the RoleBinding tidegate-uplinks is deleted for 20 s, a binding is added meanwhile",
       expected=f"the added binding or the EdgeNode names what is forbidden; in force within 10 s of the right's return; {_TRUE}; no request is lost",
       stage="cluster")
def rights_taken(scene: ClusterScene) -> Seen:
    role = scene.stage.api.request("GET", f"{_BINDINGS}/tidegate-uplinks")
    role["metadata"] = {key: role["metadata"][key] for key in ("name", "namespace")}
    took: list[float] = []
    said: list[str] = []

    def change() -> None:
        scene.stage.api.request("DELETE", f"{_BINDINGS}/tidegate-uplinks")
        try:
            scene.stage.kubectl.apply(m.port_binding("added", "edge", m.tcp("added", 7301, BACKEND, 7001)))
            time.sleep(20)
            said.extend(scene.stage.condition(kind, name).get("message", "") for kind, name in (("EdgeNode", "edge"), ("PortBinding", "added")))
        finally:
            scene.stage.api.request("POST", _BINDINGS, role)
        began = time.monotonic()
        eventually(lambda: traffic.whoami(scene.lab.client, VPS, 7301, timeout=1), within=200)
        took.append(time.monotonic() - began)
    # Of the EdgeNode alone: it may tell of the right while its bindings carry traffic.
    one = watched(scene, "rights-taken", change, excused=lambda line: line.kind == NODE[0])
    scene.stage.kubectl("delete", "portbinding", "added")
    assert any("forbidden" in word for word in said), f"nothing said what is forbidden, but: {said}"
    assert took[0] < 10, f"in force {took[0]:.1f} s after the right was given back"
    assert one.lost == 0, f"{one.lost} of {one.made} requests failed"
    return seen(one, f"in force {took[0]:.1f} s after the right was given back", took[0])


@fault("a target that answers late", STATUS, injected="a Service without endpoints and its binding are applied together; 8 s later an endpoint is there",
       expected="TargetUnreachable, and Ready within 5 s of the first request that is answered", stage="cluster")
def target_late(scene: ClusterScene) -> Seen:
    service = scene.stage.service("late", (80, 7000), backend=BACKEND)
    annotations = service["metadata"].pop("annotations")
    scene.stage.kubectl.apply(service, m.port_binding("late", "edge", m.tcp_to_service("late", 7311, "late", 80)))
    try:
        scene.stage.wait_binding("late", "late", ready=False, reason="TargetUnreachable", within=20)
        time.sleep(8)
        scene.stage.kubectl("annotate", "service", "late", f"{BACKEND_ANNOTATION}={annotations[BACKEND_ANNOTATION]}")
        eventually(lambda: traffic.whoami(scene.lab.client, VPS, 7311, timeout=1), within=30)
        answered = time.monotonic()
        scene.stage.wait_binding("late", "late", within=200)
        took = time.monotonic() - answered
    finally:
        scene.stage.kubectl("delete", "portbinding/late", "service/late")
    assert took < 5, f"Ready {took:.1f} s after the first request that was answered"
    return Seen(f"Ready {took:.1f} s after the first request that was answered", took)


@fault("the uplinks' namespace deleted, then the EdgeNode", STATUS, injected="uplinks in a namespace of their own, which is deleted; then the EdgeNode",
       expected="not Ready within 5 s of the first request that fails; the EdgeNode goes within 30 s, and the VPS is left as it was found",
       stage="elsewhere")
def namespace_deleted(scene: ClusterScene) -> Seen:
    def change() -> None:
        scene.stage.kubectl("delete", "namespace", scene.uplinks, "--wait=false")
        eventually(lambda: scene.stage.api.get(f"/api/v1/namespaces/{scene.uplinks}") is None, within=90, every=0.2)
    one = watched(scene, "namespace-deleted", change)
    late = one.fell(NODE) - one.first_failure()
    said = scene.stage.condition("EdgeNode", "edge")
    took = gone(scene)
    one.check()
    assert late < 5, f"Ready for {late:.1f} s after the first request that failed"
    return Seen(f"not Ready {late:.1f} s after the first request that failed ({said['reason']}: {said['message']}); gone after {took:.1f} s", took)


@fault("the uplinks' rights taken, then the EdgeNode deleted", STATUS, stage="elsewhere",
       injected="the RoleBinding in the uplinks' namespace is deleted, then the EdgeNode; 15 s later it is there again",
       expected="the condition and an event name what is forbidden and the way out; the EdgeNode goes within 10 s of the right's return")
def rights_taken_at_the_end(scene: ClusterScene) -> Seen:
    path = _BINDINGS.replace(UPLINKS, scene.uplinks)
    role = scene.stage.api.request("GET", f"{path}/tidegate-uplinks")
    role["metadata"] = {key: role["metadata"][key] for key in ("name", "namespace")}
    scene.stage.api.request("DELETE", f"{path}/tidegate-uplinks")
    scene.stage.kubectl("delete", "edgenode", "edge", "--wait=false")
    time.sleep(15)
    said = scene.stage.condition("EdgeNode", "edge")
    events = [one.get("note", "") for one in scene.stage.list("Event") if one["regarding"]["name"] == "edge"]
    scene.stage.api.request("POST", path, role)
    took = gone(scene, within=200)
    assert said.get("status") == "False" and "forbidden" in said.get("message", ""), f"the condition said {json.dumps(said)}"
    assert "skip-deprovision" in said["message"] or any("skip-deprovision" in note for note in events), f"no way out was named: {said['message']}"
    assert any("forbidden" in note for note in events), f"no event named it: {events[-3:]}"
    assert took < 10, f"gone {took:.1f} s after the right was given back"
    return Seen(f"the condition said: {said['reason']}: {said['message']}; gone {took:.1f} s after the right's return", took)


def gone(scene: ClusterScene, within: float = 30) -> float:
    """Deletes the EdgeNode, if nobody did; seconds until it is gone."""
    began = time.monotonic()
    scene.stage.kubectl("delete", "edgenode", "edge", "--wait=false", "--ignore-not-found")
    try:
        eventually(lambda: scene.stage.get("EdgeNode", "edge") is None, within=within, every=0.1)
    except AssertionError:
        raise AssertionError(f"the EdgeNode is still there {within} s on, and says {scene.stage.condition('EdgeNode', 'edge')}") from None
    return time.monotonic() - began
