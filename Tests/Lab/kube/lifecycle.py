"""What controllers of a cluster do in the background: definitions come into force, owners take their dependents along, namespaces empty."""

from __future__ import annotations

import asyncio
from typing import Optional

from . import definitions, namespaces
from .deletion import DeleteOptions, delete
from .jsons import Object, clone
from .resources import Registry, Resource
from .store import Change, Store, Stored
from .verbs import Verbs

_CRD = ("apiextensions.k8s.io", "customresourcedefinitions")
_NAMESPACES = ("", "namespaces")


class Lifecycle:
    """Follows the store. What a change asks for is done a moment later, on the event loop."""

    def __init__(self, store: Store, registry: Registry, verbs: Verbs, loop: asyncio.AbstractEventLoop):
        self._store, self._registry, self._verbs, self._loop = store, registry, verbs, loop
        self._scheduled = False
        for stored in store.all(_CRD):
            self._register(stored.obj)
        store.listen(self._saw)
        self._schedule()

    def _saw(self, change: Change) -> None:
        if change.new.key == _CRD:
            self._definition(change)
        meta = change.new.obj["metadata"]
        if change.type == "DELETED" or meta.get("deletionTimestamp") or meta.get("ownerReferences"):
            self._schedule()

    def _definition(self, change: Change) -> None:
        if change.type == "DELETED":
            spec = change.new.obj["spec"]
            self._registry.replace_custom(spec["group"], spec["names"]["plural"], [])
        else:
            self._register(change.new.obj)

    def _register(self, obj: Object) -> None:
        spec = obj["spec"]
        if any(one["type"] == "Established" for one in (obj.get("status") or {}).get("conditions") or ()):
            self._registry.replace_custom(spec["group"], spec["names"]["plural"], definitions.resources(obj))

    def established(self, stored: Stored) -> None:
        """Called after a definition was written: its status, as two controllers would leave it."""
        obj = clone(stored.obj)
        obj["status"] = definitions.status(obj)
        if not obj["metadata"].get("deletionTimestamp"):
            finalizers = obj["metadata"].get("finalizers") or []
            if definitions.FINALIZER not in finalizers:
                obj["metadata"]["finalizers"] = [*finalizers, definitions.FINALIZER]
        if obj != stored.obj:
            self._store.put(_CRD, stored.place, obj)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_later(0.01, self._collect)

    def _collect(self) -> None:
        self._scheduled = False
        alive: Optional[set[str]] = None
        for stored in list(self._store.everything()):
            if self._store.get(stored.key, stored.place) is not stored:
                continue
            meta = stored.obj["metadata"]
            owners = meta.get("ownerReferences")
            if owners:
                if alive is None:
                    alive = {one.obj["metadata"]["uid"] for one in self._store.everything()}
                self._dependent(stored, owners, alive)
            if meta.get("deletionTimestamp"):
                self._dying(stored)

    def _resource(self, stored: Stored) -> Optional[Resource]:
        return self._registry.stored(stored.key)

    def _dependent(self, stored: Stored, owners: list[Object], alive: set[str]) -> None:
        left = [one for one in owners if one["uid"] in alive]
        resource = self._resource(stored)
        if resource is None or len(left) == len(owners):
            return
        if not left:
            self._delete(resource, stored)
        else:
            self._rewrite(stored, {**stored.obj["metadata"], "ownerReferences": left})

    def _delete(self, resource: Resource, stored: Stored) -> None:
        if not stored.obj["metadata"].get("deletionTimestamp"):
            delete(self._verbs, resource, *stored.place, DeleteOptions(uid=stored.obj["metadata"]["uid"], propagation="Background"))

    def _rewrite(self, stored: Stored, meta: Object) -> None:
        """A write of the garbage collector; it ends an object whose last finalizer it takes."""
        if meta.get("deletionTimestamp") and not meta.get("finalizers") and not meta.get("deletionGracePeriodSeconds"):
            resource = self._resource(stored)
            if resource is not None:
                self._verbs.finalized(resource, stored)
            else:
                self._store.delete(stored.key, stored.place)
            return
        self._store.put(stored.key, stored.place, {**stored.obj, "metadata": {name: value for name, value in meta.items() if value != []}})

    def _dying(self, stored: Stored) -> None:
        if self._store.get(stored.key, stored.place) is not stored:  # a dependent of others as well, and gone with them
            return
        meta = stored.obj["metadata"]
        finalizers = meta.get("finalizers") or []
        dependents = [one for one in self._store.everything()
                      if any(owner["uid"] == meta["uid"] for owner in one.obj["metadata"].get("ownerReferences") or ())]
        if "orphan" in finalizers:
            for one in dependents:
                left = [owner for owner in one.obj["metadata"]["ownerReferences"] if owner["uid"] != meta["uid"]]
                self._rewrite(one, {**one.obj["metadata"], "ownerReferences": left})
            self._rewrite(stored, {**meta, "finalizers": [one for one in finalizers if one != "orphan"]})
        elif "foregroundDeletion" in finalizers:
            for one in dependents:
                resource = self._resource(one)
                if resource is not None:
                    self._delete(resource, one)
            if not [one for one in dependents if self._store.get(one.key, one.place)]:
                self._rewrite(stored, {**meta, "finalizers": [one for one in finalizers if one != "foregroundDeletion"]})
        elif stored.key == _CRD and definitions.FINALIZER in finalizers:
            self._empty_definition(stored)
        elif stored.key == _NAMESPACES:
            self._empty_namespace(stored)

    def _empty_definition(self, stored: Stored) -> None:
        spec, meta = stored.obj["spec"], stored.obj["metadata"]
        key = (spec["group"], spec["names"]["plural"])
        resource = self._registry.stored(key)
        for one in self._store.all(key):
            if resource is not None:
                self._delete(resource, one)
        if not self._store.all(key):
            self._rewrite(stored, {**meta, "finalizers": [one for one in meta["finalizers"] if one != definitions.FINALIZER]})

    def _empty_namespace(self, stored: Stored) -> None:
        """Deletes what is in it, as anybody would: finalizers and kubelets are waited for. Its status says for which."""
        name = stored.place[1]
        for one in [one for one in self._store.everything() if one.place[0] == name]:
            resource = self._resource(one)
            if resource is not None and self._store.get(one.key, one.place) is one:
                self._delete(resource, one)
        left = [one for one in self._store.everything() if one.place[0] == name]
        if not left:
            self._store.delete(stored.key, stored.place)
            return
        old = (stored.obj.get("status") or {}).get("conditions") or []
        conditions = namespaces.conditions(left, old)
        if conditions != old:
            self._store.put(stored.key, stored.place, {**stored.obj, "status": {**stored.obj["status"], "conditions": conditions}})
