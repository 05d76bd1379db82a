"""What the namespace controller says of a namespace that cannot end yet (pkg/controller/namespace/deletion, status_condition_utils.go)."""

from __future__ import annotations

from collections import Counter
from typing import Sequence

from .decoding import now
from .jsons import Object
from .store import Stored

_DONE = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
    "NamespaceDeletionContentFailure": ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}


def conditions(left: Sequence[Stored], old: Sequence[Object]) -> list[Object]:
    """`left` is what is still in it; what did not change keeps its time."""
    kinds = Counter(f"{one.key[1]}.{one.key[0]}" for one in left)
    finalizers = Counter(name for one in left for name in one.obj["metadata"].get("finalizers") or ())
    said = dict(_DONE)
    if kinds:
        said["NamespaceContentRemaining"] = ("SomeResourcesRemain", "Some resources are remaining: " + ", ".join(
            f"{kind} has {count} resource instances" for kind, count in sorted(kinds.items())))
    if finalizers:
        said["NamespaceFinalizersRemaining"] = ("SomeFinalizersRemain", "Some content in the namespace has finalizers remaining: " + ", ".join(
            f"{name} in {count} resource instances" for name, count in sorted(finalizers.items())))
    before = {one["type"]: one for one in old}
    found = []
    for kind, (reason, message) in said.items():
        status = "False" if (reason, message) == _DONE[kind] else "True"
        was = before.get(kind, {})
        since = was["lastTransitionTime"] if was.get("status") == status else now()
        found.append({"type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message})
    return found
