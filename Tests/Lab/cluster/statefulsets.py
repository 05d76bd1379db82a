"""What the StatefulSet controller of Kubernetes does, for podManagementPolicy Parallel: decisions as values, no API.

As kubernetes' pkg/controller/statefulset/stateful_set_control.go and stateful_set_utils.go.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import datetime

from .api import Manifest

REVISION, POD_NAME, POD_INDEX = "controller-revision-hash", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"


@dataclass
class Decision:
    """`create` are whole pods but for their node; `delete` are names; `status` is the StatefulSet's."""

    create: list[Manifest] = field(default_factory=list)
    delete: list[str] = field(default_factory=list)
    status: Manifest = field(default_factory=dict)


def revision(owner: Manifest) -> str:
    """The name of the revision that the template stands for: the same template, the same name."""
    text = json.dumps(owner["spec"]["template"], sort_keys=True)
    return f"{owner['metadata']['name']}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def owned(owner: Manifest, pods: list[Manifest]) -> list[Manifest]:
    uid = owner["metadata"]["uid"]
    return [pod for pod in pods if any(one["uid"] == uid and one.get("controller") for one in pod["metadata"].get("ownerReferences", []))]


def adopted(owner: Manifest, pods: list[Manifest]) -> list[Manifest]:
    """Those that nobody controls and that are its own by labels and name: what an orphaning deletion left."""
    meta, wanted = owner["metadata"], (owner["spec"].get("selector") or {}).get("matchLabels") or {}
    if "deletionTimestamp" in meta:
        return []
    return [pod for pod in pods if pod["metadata"]["namespace"] == meta["namespace"] and not is_terminating(pod)
            and not any(one.get("controller") for one in pod["metadata"].get("ownerReferences", []))
            and wanted.items() <= pod["metadata"].get("labels", {}).items()
            and pod["metadata"]["name"] == f"{meta['name']}-{ordinal(pod)}"]


def reference(owner: Manifest) -> Manifest:
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
            "controller": True, "blockOwnerDeletion": True}


def ordinal(pod: Manifest) -> int:
    found = re.search(r"-(\d+)$", pod["metadata"]["name"])
    return int(found[1]) if found else -1


def is_ready(pod: Manifest) -> bool:
    status = pod.get("status", {})
    return status.get("phase") == "Running" and any(
        one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions", []))


def is_available(pod: Manifest, seconds: int, moment: datetime) -> bool:
    """Ready, and that for `minReadySeconds`."""
    if not is_ready(pod):
        return False
    since = next(one["lastTransitionTime"] for one in pod["status"]["conditions"] if one["type"] == "Ready")
    return (moment - datetime.fromisoformat(since)).total_seconds() >= seconds


def is_terminating(pod: Manifest) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def decide(owner: Manifest, pods: list[Manifest], moment: datetime) -> Decision:
    """`pods` are those of `owned`."""
    spec = owner["spec"]
    if spec.get("podManagementPolicy") != "Parallel":
        raise NotImplementedError("the lab emulates podManagementPolicy Parallel only")
    if "deletionTimestamp" in owner["metadata"]:
        return Decision(status=owner.get("status", {}))
    start, wanted, update = spec.get("ordinals", {}).get("start", 0), spec.get("replicas", 1), revision(owner)
    by_ordinal = {ordinal(pod): pod for pod in pods}
    decision = Decision()
    for number in range(start, start + wanted):
        pod = by_ordinal.get(number)
        if pod is None:
            decision.create.append(make_pod(owner, number, update))
        elif pod.get("status", {}).get("phase") in ("Failed", "Succeeded") and not is_terminating(pod):
            decision.delete.append(pod["metadata"]["name"])
    condemned = [pod for number, pod in sorted(by_ordinal.items(), reverse=True) if not start <= number < start + wanted]
    decision.delete += [pod["metadata"]["name"] for pod in condemned if not is_terminating(pod)]
    if not decision.create and not decision.delete:
        decision.delete += rolled([by_ordinal[number] for number in range(start, start + wanted)], spec, update, moment)
    decision.status = status(owner, pods, update, moment)
    return decision


def rolled(pods: list[Manifest], spec: Manifest, update: str, moment: datetime) -> list[str]:
    """At most one pod of an older revision, from the highest ordinal down, once all above it are well again."""
    strategy = spec.get("updateStrategy", {})
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return []
    partition = (strategy.get("rollingUpdate") or {}).get("partition", 0)
    for pod in reversed(pods):
        if ordinal(pod) < partition:
            return []
        if pod["metadata"].get("labels", {}).get(REVISION) != update and not is_terminating(pod):
            return [pod["metadata"]["name"]]
        if is_terminating(pod) or not is_available(pod, spec.get("minReadySeconds", 0), moment):
            return []
    return []


def status(owner: Manifest, pods: list[Manifest], update: str, moment: datetime) -> Manifest:
    old = owner.get("status", {})
    current = old.get("currentRevision") or update
    def count(condition) -> int:
        return sum(1 for pod in pods if condition(pod))
    def of(name: str):
        return lambda pod: pod["metadata"].get("labels", {}).get(REVISION) == name and not is_terminating(pod)
    ready, updated, wanted = count(is_ready), count(of(update)), owner["spec"].get("replicas", 1)
    if updated == wanted and ready == wanted == len(pods):
        current = update
    return {"observedGeneration": owner["metadata"].get("generation", 0), "replicas": len(pods), "readyReplicas": ready,
            "availableReplicas": count(lambda pod: is_available(pod, owner["spec"].get("minReadySeconds", 0), moment)), "currentReplicas": count(of(current)), "updatedReplicas": updated, "currentRevision": current,
            "updateRevision": update, "collisionCount": 0}


def make_pod(owner: Manifest, number: int, update: str) -> Manifest:
    template = copy.deepcopy(owner["spec"]["template"])
    meta, name = owner["metadata"], f"{owner['metadata']['name']}-{number}"
    labels = {**template.get("metadata", {}).get("labels", {}), REVISION: update, POD_NAME: name, POD_INDEX: str(number)}
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": meta["namespace"], "labels": labels,
            **({"annotations": annotations} if (annotations := template.get("metadata", {}).get("annotations")) else {}),
            "ownerReferences": [reference(owner)],
        },
        "spec": {**template["spec"], "hostname": name, "subdomain": owner["spec"].get("serviceName", "")},
    }
