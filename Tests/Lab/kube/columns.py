"""The printer columns of built-in kinds, without name and age."""

from __future__ import annotations

from typing import Any

from .jsons import Object, at


def _count(*path: str) -> Any:
    return lambda obj: len(at(obj, *path) or ())


def _text(*path: str, none: str = "<none>") -> Any:
    return lambda obj: str(at(obj, *path)) if at(obj, *path) not in (None, "") else none


def _ready(obj: Object) -> str:
    states = at(obj, "status", "containerStatuses") or ()
    return f"{sum(bool(one.get('ready')) for one in states)}/{len(at(obj, 'spec', 'containers') or ())}"


def _pod_status(obj: Object) -> str:
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for state in at(obj, "status", "containerStatuses") or ():
        for kind in ("waiting", "terminated"):
            reason = at(state, "state", kind, "reason")
            if reason:
                return reason
    return at(obj, "status", "reason") or at(obj, "status", "phase") or "Unknown"


def _ports(obj: Object) -> str:
    ports = at(obj, "spec", "ports") or ()
    return ",".join(f"{one['port']}{':' + str(one['nodePort']) if one.get('nodePort') else ''}/{one['protocol']}" for one in ports) or "<none>"


def _labels(value: Any) -> str:
    return ",".join(f"{key}={one}" for key, one in sorted((value or {}).items())) or "<none>"


def _images(obj: Object) -> str:
    return ",".join(one.get("image", "") for one in at(obj, "spec", "template", "spec", "containers") or ())


def _containers(obj: Object) -> str:
    return ",".join(one.get("name", "") for one in at(obj, "spec", "template", "spec", "containers") or ())


def _bound(obj: Object, kind: str) -> str:
    return ",".join((f"{one.get('namespace', '')}/" if kind == "ServiceAccount" else "") + one["name"]
                    for one in obj.get("subjects") or () if one["kind"] == kind)


_BINDING = [("Role", "string", 0, lambda obj: f"{obj['roleRef']['kind']}/{obj['roleRef']['name']}"),
            *[(title, "string", 1, lambda obj, kind=kind: _bound(obj, kind)) for title, kind in
              (("Users", "User"), ("Groups", "Group"), ("ServiceAccounts", "ServiceAccount"))]]
_IN_TEMPLATE = [("Containers", "string", 1, _containers), ("Images", "string", 1, _images)]

COLUMNS: dict[str, list[tuple[str, str, int, Any]]] = {
    "Namespace": [("Status", "string", 0, _text("status", "phase"))],
    "ConfigMap": [("Data", "string", 0, lambda obj: len(obj.get("data") or ()) + len(obj.get("binaryData") or ()))],
    "Secret": [("Type", "string", 0, _text("type")), ("Data", "string", 0, _count("data"))],
    "ServiceAccount": [("Secrets", "string", 0, _count("secrets"))],
    "Service": [("Type", "string", 0, _text("spec", "type")), ("Cluster-IP", "string", 0, _text("spec", "clusterIP")),
                ("External-IP", "string", 0, lambda obj: ",".join(at(obj, "spec", "externalIPs") or ()) or "<none>"), ("Port(s)", "string", 0, _ports),
                ("Selector", "string", 1, lambda obj: _labels(at(obj, "spec", "selector")))],
    "Pod": [("Ready", "string", 0, _ready), ("Status", "string", 0, _pod_status),
            ("Restarts", "string", 0, lambda obj: str(sum(one.get("restartCount", 0) for one in at(obj, "status", "containerStatuses") or ()))),
            ("IP", "string", 1, _text("status", "podIP")), ("Node", "string", 1, _text("spec", "nodeName")),
            ("Nominated Node", "string", 1, _text("status", "nominatedNodeName")), ("Readiness Gates", "string", 1, lambda obj: "<none>")],
    "StatefulSet": [("Ready", "string", 0, lambda obj: f"{at(obj, 'status', 'readyReplicas') or 0}/{obj['spec']['replicas']}"), *_IN_TEMPLATE],
    "Deployment": [("Ready", "string", 0, lambda obj: f"{at(obj, 'status', 'readyReplicas') or 0}/{obj['spec']['replicas']}"),
                   ("Up-to-date", "string", 0, lambda obj: at(obj, "status", "updatedReplicas") or 0),
                   ("Available", "string", 0, lambda obj: at(obj, "status", "availableReplicas") or 0), *_IN_TEMPLATE,
                   ("Selector", "string", 1, lambda obj: _labels(at(obj, "spec", "selector", "matchLabels")))],
    "PodDisruptionBudget": [("Min Available", "string", 0, _text("spec", "minAvailable", none="N/A")),
                            ("Max Unavailable", "string", 0, _text("spec", "maxUnavailable", none="N/A")),
                            ("Allowed Disruptions", "integer", 0, lambda obj: at(obj, "status", "disruptionsAllowed") or 0)],
    "Lease": [("Holder", "string", 0, _text("spec", "holderIdentity", none=""))],
    "CustomResourceDefinition": [("Created At", "date", 0, lambda obj: obj["metadata"].get("creationTimestamp"))],
    "RoleBinding": _BINDING, "ClusterRoleBinding": _BINDING,
}


def _about(obj: Object) -> str:
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    return f"{about.get('kind', '').lower()}/{about.get('name', '')}"


def _since(*fields: str) -> Any:
    def cell(obj: Object) -> str:
        from .tables import age

        stamps = [at(obj, *field.split(".")) for field in fields]
        return age(next((stamp for stamp in stamps if stamp), None))

    return cell


def _source(obj: Object) -> str:
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    return ", ".join(filter(None, (source.get("component") or obj.get("reportingComponent") or obj.get("reportingController"),
                                   source.get("host") or obj.get("reportingInstance"))))


# The one kind whose name is not its first column.
EVENT = [("Last Seen", "string", 0, _since("series.lastObservedTime", "lastTimestamp", "deprecatedLastTimestamp", "eventTime")),
         ("Type", "string", 0, _text("type", none="")), ("Reason", "string", 0, _text("reason", none="")), ("Object", "string", 0, _about),
         ("Subobject", "string", 1, _text("involvedObject", "fieldPath", none="")), ("Source", "string", 1, _source),
         ("Message", "string", 0, lambda obj: (obj.get("message") or obj.get("note") or "").strip()),
         ("First Seen", "string", 1, _since("firstTimestamp", "deprecatedFirstTimestamp", "eventTime")),
         ("Count", "string", 1, lambda obj: at(obj, "series", "count") or obj.get("count") or obj.get("deprecatedCount") or 1),
         ("Name", "string", 1, _text("metadata", "name"))]
