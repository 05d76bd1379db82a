"""Deletion: at once, or when finalizers and kubelets are done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Optional

from . import objects
from .errors import conflict, forbidden
from .jsons import Object, clone
from .resources import Resource
from .store import Stored
from .verbs import Verbs, Written

_IMMORTAL = ("default", "kube-system", "kube-public")  # the admission plugin NamespaceLifecycle


@dataclass
class DeleteOptions:
    uid: str = ""
    version: str = ""
    grace: Optional[int] = None
    propagation: str = ""
    dry_run: bool = False


def delete(verbs: Verbs, resource: Resource, namespace: str, name: str, options: DeleteOptions) -> tuple[Written, bool]:
    """True when the object is gone, false when it waits for its finalizers or its kubelet."""
    stored = verbs.stored(resource, namespace, name)
    meta = stored.obj["metadata"]
    if resource.key == ("", "namespaces") and name in _IMMORTAL:
        raise forbidden(resource.plural, "", name, "this namespace may not be deleted")
    _preconditions(resource, meta, options)
    finalizers = list(meta.get("finalizers") or ())
    for word, finalizer in (("Foreground", "foregroundDeletion"), ("Orphan", "orphan")):
        if options.propagation == word and finalizer not in finalizers:
            finalizers.append(finalizer)
    grace = _grace(resource, stored.obj, options)
    if resource.key == ("", "namespaces") or finalizers or grace:
        if meta.get("deletionTimestamp") and finalizers == list(meta.get("finalizers") or ()) and grace >= meta.get("deletionGracePeriodSeconds", 0):
            return stored, False
        return _mark(verbs, resource, stored, finalizers, grace, options), False
    if not options.dry_run:
        verbs.finalized(resource, stored)
    return stored, True


def _preconditions(resource: Resource, meta: Object, options: DeleteOptions) -> None:
    if options.uid and options.uid != meta["uid"]:
        raise conflict(resource.kind, resource.group, meta["name"],
                       f"the UID in the precondition ({options.uid}) does not match the UID in record ({meta['uid']}). "
                       "The object might have been deleted and then recreated")
    if options.version and options.version != meta["resourceVersion"]:
        raise conflict(resource.kind, resource.group, meta["name"],
                       f"the ResourceVersion in the precondition ({options.version}) does not match the ResourceVersion in record "
                       f"({meta['resourceVersion']}). The object might have been modified")


def _grace(resource: Resource, obj: Object, options: DeleteOptions) -> int:
    if resource.key != ("", "pods"):
        return 0
    spec, status = obj["spec"], obj["status"]
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    grace = options.grace if options.grace is not None else spec.get("terminationGracePeriodSeconds", 30)
    return max(grace, 0)


def _mark(verbs: Verbs, resource: Resource, stored: Stored, finalizers: list[str], grace: int, options: DeleteOptions) -> Written:
    obj = clone(objects.wire_form(resource, stored))
    meta = obj["metadata"]
    when = datetime.now(timezone.utc) + timedelta(seconds=grace)
    if not meta.get("deletionTimestamp"):
        if "generation" in meta:
            meta["generation"] += 1
        meta["deletionTimestamp"] = when.strftime("%Y-%m-%dT%H:%M:%SZ")
    elif grace < meta.get("deletionGracePeriodSeconds", 0):
        meta["deletionTimestamp"] = when.strftime("%Y-%m-%dT%H:%M:%SZ")
    meta["deletionGracePeriodSeconds"] = grace
    if finalizers:
        meta["finalizers"] = finalizers
    if resource.key == ("", "namespaces"):
        obj["status"]["phase"] = "Terminating"
        meta.pop("deletionGracePeriodSeconds")
    obj = verbs.normal(resource, obj)
    if options.dry_run:
        return obj
    written = verbs.store.put(resource.key, stored.place, objects.stored_form(resource, obj))
    verbs.on_write(resource, written)
    return written
