"""What the Deployment and ReplicaSet controllers of Kubernetes do, without the ReplicaSets between: decisions as values, no API.

A pod of the newest template is made first where `maxSurge` allows it, and one of an older template goes once the newest is available.
"""

from __future__ import annotations

import copy
import hashlib
import json
import secrets
from datetime import datetime

from .api import Manifest
from .statefulsets import Decision, is_available, is_ready, is_terminating

HASH = "pod-template-hash"


def revision(owner: Manifest) -> str:
    text = json.dumps(owner["spec"]["template"], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def reference(owner: Manifest) -> Manifest:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
            "controller": True, "blockOwnerDeletion": True}


def decide(owner: Manifest, pods: list[Manifest], moment: datetime) -> Decision:
    """`pods` are those that it owns."""
    spec, update = owner["spec"], revision(owner)
    wanted = spec.get("replicas", 1)
    if "deletionTimestamp" in owner["metadata"]:
        return Decision(status=owner.get("status", {}))
    decision = Decision()
    for pod in pods:
        if pod.get("status", {}).get("phase") in ("Failed", "Succeeded") and not is_terminating(pod):
            decision.delete.append(pod["metadata"]["name"])
    alive = [pod for pod in pods if not is_terminating(pod) and pod["metadata"]["name"] not in decision.delete]
    newest = [pod for pod in alive if pod["metadata"].get("labels", {}).get(HASH) == update]
    older = [pod for pod in alive if pod not in newest]
    recreates = spec.get("strategy", {}).get("type") == "Recreate"
    if not (recreates and (older or any(is_terminating(pod) for pod in pods))):
        decision.create += [make_pod(owner, update) for _ in range(wanted - len(newest))]
    decision.delete += [pod["metadata"]["name"] for pod in newest[wanted:]]
    available = sum(1 for pod in newest if is_available(pod, spec.get("minReadySeconds", 0), moment))
    if recreates or available >= wanted:
        decision.delete += [pod["metadata"]["name"] for pod in older]
    ready = sum(1 for pod in alive if is_ready(pod))
    well = sum(1 for pod in alive if is_available(pod, spec.get("minReadySeconds", 0), moment))
    decision.status = {"observedGeneration": owner["metadata"].get("generation", 0), "replicas": len(alive), "updatedReplicas": len(newest),
                       "readyReplicas": ready, "availableReplicas": well, "unavailableReplicas": max(0, wanted - well)}
    return decision


def make_pod(owner: Manifest, update: str) -> Manifest:
    template = copy.deepcopy(owner["spec"]["template"])
    meta = owner["metadata"]
    suffix = "".join(secrets.choice("bcdfghjklmnpqrstvwxz2456789") for _ in range(5))
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": f"{meta['name']}-{update}-{suffix}", "namespace": meta["namespace"],
            "labels": {**template.get("metadata", {}).get("labels", {}), HASH: update},
            **({"annotations": annotations} if (annotations := template.get("metadata", {}).get("annotations")) else {}),
            "ownerReferences": [reference(owner)],
        },
        "spec": template["spec"],
    }
