"""What a kube-apiserver fills into built-in objects. Each works on an object of its own, decoded."""

from __future__ import annotations

import base64
from typing import Any, Callable

from .jsons import Object


def fill(kind: str, obj: Object) -> None:
    """Defaults that hold at every decoding."""
    filler = _FILLERS.get(kind)
    if filler:
        filler(obj)


def create(kind: str, obj: Object) -> None:
    """What a new object gets after its fields were counted as someone's."""
    if kind == "Namespace":
        obj["spec"] = {"finalizers": ["kubernetes"]}
        obj["status"] = {"phase": "Active"}
    elif kind == "Pod":
        _new_pod(obj)


def _put(obj: Object, **values: Any) -> None:
    for name, value in values.items():
        if obj.get(name) in (None, ""):
            obj[name] = value


def _namespace(obj: Object) -> None:
    name = obj["metadata"].get("name")
    if name:
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name
    _put(obj["status"], phase="Active")


def _secret(obj: Object) -> None:
    for name, value in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[name] = base64.b64encode(value.encode()).decode()
    _put(obj, type="Opaque")


def _service(obj: Object) -> None:
    spec = obj["spec"]
    _put(spec, sessionAffinity="None", type="ClusterIP")
    if spec["type"] != "ExternalName":
        _put(spec, internalTrafficPolicy="Cluster")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        _put(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        _put(spec, allocateLoadBalancerNodePorts=True)
    if spec["sessionAffinity"] == "ClientIP":
        _put(spec, sessionAffinityConfig={"clientIP": {"timeoutSeconds": 10800}})
    for port in spec.get("ports") or ():
        _put(port, protocol="TCP")
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port["port"]


def _stateful_set(obj: Object) -> None:
    spec = obj["spec"]
    _put(spec, podManagementPolicy="OrderedReady", replicas=1, revisionHistoryLimit=10)
    strategy = spec["updateStrategy"]
    _put(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _put(strategy, rollingUpdate={})
        _put(strategy["rollingUpdate"], partition=0)
    _put(spec, persistentVolumeClaimRetentionPolicy={})
    _put(spec["persistentVolumeClaimRetentionPolicy"], whenDeleted="Retain", whenScaled="Retain")
    _pod_spec(spec["template"]["spec"])


def _deployment(obj: Object) -> None:
    spec = obj["spec"]
    _put(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    _put(spec["strategy"], type="RollingUpdate")
    if spec["strategy"]["type"] == "RollingUpdate":
        _put(spec["strategy"], rollingUpdate={})
        _put(spec["strategy"]["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")
    _pod_spec(spec["template"]["spec"])


def _pod(obj: Object) -> None:
    _pod_spec(obj["spec"])
    _put(obj["spec"], enableServiceLinks=True)
    for container in obj["spec"].get("containers") or ():
        limits = container["resources"].get("limits") or {}
        requests = {**limits, **(container["resources"].get("requests") or {})}
        if requests:
            container["resources"]["requests"] = dict(sorted(requests.items()))


def _new_pod(obj: Object) -> None:
    spec = obj["spec"]
    tolerations = spec.setdefault("tolerations", []) or []
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(one.get("key") in (key, None) and one.get("effect") in ("NoExecute", None) for one in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
    spec["tolerations"] = tolerations
    _put(spec, priority=0, preemptionPolicy="PreemptLowerPriority")
    obj["status"] = {"phase": "Pending", "qosClass": _quality(spec)}


def _quality(spec: Object) -> str:
    resources = [one["resources"] for one in spec.get("containers") or ()]
    if not any(one.get("limits") or one.get("requests") for one in resources):
        return "BestEffort"
    whole = all(set(one.get("limits") or ()) >= {"cpu", "memory"} and one.get("requests") == one.get("limits") for one in resources)
    return "Guaranteed" if whole else "Burstable"


def _pod_spec(spec: Object) -> None:
    _put(spec, restartPolicy="Always", terminationGracePeriodSeconds=30, dnsPolicy="ClusterFirst", schedulerName="default-scheduler",
         securityContext={})
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if name:
        spec["serviceAccountName"] = spec["serviceAccount"] = name
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        _container(container)
    for volume in spec.get("volumes") or ():
        for source in ("secret", "configMap", "downwardAPI", "projected"):
            if isinstance(volume.get(source), dict):
                _put(volume[source], defaultMode=420)
        if isinstance(volume.get("hostPath"), dict):
            volume["hostPath"].setdefault("type", "")
        if len(volume) == 1:
            volume["emptyDir"] = {}
        for holder in ("downwardAPI",):
            for item in (volume.get(holder) or {}).get("items") or ():
                if item.get("fieldRef"):
                    _put(item["fieldRef"], apiVersion="v1")
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("serviceAccountToken"):
                _put(source["serviceAccountToken"], expirationSeconds=3600)


def _container(container: Object) -> None:
    image = container.get("image", "")
    last = image.rsplit("/", 1)[-1]
    tag = "" if "@" in last else last.partition(":")[2] or "latest"
    _put(container, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File",
         imagePullPolicy="Always" if tag == "latest" else "IfNotPresent")
    for port in container.get("ports") or ():
        _put(port, protocol="TCP")
    for variable in container.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference:
            _put(reference, apiVersion="v1")
        resource = (variable.get("valueFrom") or {}).get("resourceFieldRef")
        if resource:
            _put(resource, divisor="0")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe:
            for field, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
                if not probe.get(field):
                    probe[field] = value
            if probe.get("grpc"):
                probe["grpc"].setdefault("service", "")
        _http_get(probe)
    for handler in (container.get("lifecycle") or {}).values():
        if isinstance(handler, dict):
            _http_get(handler)


def _http_get(holder: Any) -> None:
    if holder and holder.get("httpGet"):
        _put(holder["httpGet"], path="/", scheme="HTTP")


def _definition(obj: Object) -> None:
    names = obj["spec"]["names"]
    _put(names, singular=names.get("kind", "").lower(), listKind=names.get("kind", "") + "List")
    _put(obj["spec"], conversion={"strategy": "None"})


def _binding(obj: Object) -> None:
    _put(obj["roleRef"], apiGroup="rbac.authorization.k8s.io")
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            _put(subject, apiGroup="rbac.authorization.k8s.io")


def _network_policy(obj: Object) -> None:
    spec = obj["spec"]
    for rule in [*(spec.get("ingress") or ()), *(spec.get("egress") or ())]:
        for port in rule.get("ports") or ():
            _put(port, protocol="TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


_FILLERS: dict[str, Callable[[Object], None]] = {
    "Namespace": _namespace, "Secret": _secret, "Service": _service, "StatefulSet": _stateful_set, "Deployment": _deployment,
    "Pod": _pod, "CustomResourceDefinition": _definition, "RoleBinding": _binding, "ClusterRoleBinding": _binding,
    "NetworkPolicy": _network_policy,
}
