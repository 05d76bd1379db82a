"""Create, get, update, patch and apply: one object at a time."""

from __future__ import annotations

import random
import uuid
from typing import Callable, Optional, Union

from . import addresses, decoding, defaults, errors, managers, objects, patches
from .errors import bad_request, conflict, invalid, invalid_value, not_found
from .jsons import Json, Object, clone
from .managers import Manager
from .objects import Options
from .resources import Registry, Resource
from .store import Store, Stored

# What a write leaves: a stored version, or an object that was not stored (dry run, or gone with its last finalizer).
Written = Union[Stored, Object]
_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink")
_NO_GENERATION = ("metadata", "status", "kind", "apiVersion")


class Verbs:
    def __init__(self, store: Store, registry: Registry):
        self.store = store
        self.registry = registry
        self.addresses = addresses.Pool(store)
        self.on_write: Callable[[Resource, Written], None] = lambda resource, written: None

    # Reading

    def stored(self, resource: Resource, namespace: str, name: str) -> Stored:
        found = self.store.get(resource.key, (namespace, name))
        if found is None:
            raise not_found(resource.plural, resource.group, name)
        return found

    # Writing

    def create(self, resource: Resource, namespace: str, given: Json, options: Options, *, name: str = "") -> Written:
        obj = objects.decode(resource, given, options)
        return self._create(resource, namespace, obj, options, name=name, owned=None)

    def _create(self, resource: Resource, namespace: str, obj: Object, options: Options, *, name: str,
                owned: Optional[managers.Owned]) -> Written:
        meta = obj["metadata"]
        if resource.namespaced:
            if meta.get("namespace", namespace) != namespace:
                raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
            meta["namespace"] = namespace
            self._open(resource, namespace, name or meta.get("name", ""))
        else:
            meta.pop("namespace", None)
        if name and meta.setdefault("name", name) != name:
            raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({name})")
        if meta.get("resourceVersion"):
            raise errors.internal("resourceVersion should not be set on objects to be created")
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + "".join(random.choices("bcdfghjklmnpqrstvwxz2456789", k=5))
        if meta.get("name") and self.store.get(resource.key, (meta.get("namespace", ""), meta["name"])):
            raise errors.already_exists(resource.plural, resource.group, meta["name"])
        for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink", "managedFields"):
            meta.pop(field, None)
        meta.update(uid=str(uuid.uuid4()), creationTimestamp=decoding.now())
        if resource.generation or resource.custom:
            meta["generation"] = 1
        if owned is None:
            live = {"metadata": {}} if resource.custom else decoding.zero(resource.type)
            owned = managers.updated(resource.type, live, obj, {}, self._manager(resource, options, "Update"), resource.reset)
        meta["managedFields"] = managers.write(owned)
        if resource.custom and resource.custom.status:
            obj.pop("status", None)
        elif resource.status and not resource.custom and resource.kind != "Node":
            obj["status"] = decoding.zero(resource.type.fields["status"].type)
        if resource.custom is None and resource.type.name != "EventsEvent":
            defaults.create(resource.kind, obj)
        objects.check(resource, obj, None)
        if resource.kind == "Service" and not resource.custom:
            self.addresses.fill(obj)
        obj = self.normal(resource, obj)
        if options.dry_run:
            return obj
        obj["metadata"]["resourceVersion"] = "0"  # its place among the fields
        obj = self.normal(resource, obj)
        stored = self.store.put(resource.key, (obj["metadata"].get("namespace", ""), obj["metadata"]["name"]), objects.stored_form(resource, obj))
        self.on_write(resource, stored)
        return stored

    def _open(self, resource: Resource, namespace: str, name: str) -> None:
        """Refuses what would be new in a namespace that is not there, or ends (the admission plugin NamespaceLifecycle)."""
        found = self.store.get(("", "namespaces"), ("", namespace))
        if found is None:
            raise not_found("namespaces", "", namespace)
        if found.obj["metadata"].get("deletionTimestamp"):
            raise errors.terminating(resource.plural, resource.group, name, namespace)

    def _manager(self, resource: Resource, options: Options, operation: str, subresource: str = "") -> Manager:
        return Manager(options.manager, operation, resource.group_version, subresource)

    def normal(self, resource: Resource, obj: Object) -> Object:
        if resource.custom:
            meta = decoding.decode(resource.type.fields["metadata"].type, obj["metadata"], resource.kind, resource.version, [])
            return {**obj, "metadata": meta}
        return decoding.decode(resource.type, obj, resource.kind, resource.version, [])

    def replace(self, resource: Resource, namespace: str, name: str, given: Json, options: Options, subresource: str = "") -> tuple[Written, bool]:
        """An update (PUT); true when it made the object."""
        obj = objects.decode(resource, given, options)
        if not obj["metadata"].get("name"):
            raise bad_request(f"the name of the object ({''}) does not match the name on the URL ({name})")
        if obj["metadata"]["name"] != name:
            raise bad_request(f"the name of the object ({obj['metadata']['name']}) does not match the name on the URL ({name})")
        if self.store.get(resource.key, (namespace, name)) is None and resource.create_on_update and not subresource:
            return self._create(resource, namespace, obj, options, name=name, owned=None), True
        return self._update(resource, self.stored(resource, namespace, name), obj, options, subresource), False

    def patch(self, resource: Resource, namespace: str, name: str, kind: str, patch: Json, options: Options, subresource: str = "") -> Written:
        old = self.stored(resource, namespace, name)
        live = objects.wire_form(resource, old)
        if kind == "json":
            changed = patches.json_patch(live, patch)
        elif kind == "strategic":
            changed = patches.strategic(resource.type, live, patch)
        else:
            if not isinstance(patch, dict):
                raise bad_request("json: cannot unmarshal array into Go value of type map[string]interface {}")
            changed = patches.merge(live, patch)
        obj = objects.decode(resource, changed, options)
        if obj["metadata"].get("name") != name:
            raise invalid(resource.kind, resource.group, name, [invalid_value("metadata.name", obj["metadata"].get("name", ""), "field is immutable")])
        return self._update(resource, old, obj, options, subresource)

    def _update(self, resource: Resource, stored: Stored, obj: Object, options: Options, subresource: str,
                owned: Optional[managers.Owned] = None) -> Written:
        old = objects.wire_form(resource, stored)
        meta, before = obj["metadata"], old["metadata"]
        self._same(resource, meta, before)
        for field in _KEPT:
            meta.pop(field, None)
            if field in before:
                meta[field] = before[field]
        meta["resourceVersion"] = before["resourceVersion"]
        if resource.namespaced:
            if meta.get("namespace", before["namespace"]) != before["namespace"]:
                raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
            meta["namespace"] = before["namespace"]
        if before.get("deletionTimestamp"):
            added = [one for one in meta.get("finalizers") or () if one not in (before.get("finalizers") or ())]
            if added:
                raise invalid(resource.kind, resource.group, meta["name"], [errors.forbidden_field(
                    "metadata.finalizers", "no new finalizers can be added if the object is being deleted, found new finalizers " + "[]string{"
                    + ", ".join(f'"{one}"' for one in added) + "}")])
        reset = resource.status_reset if subresource == "status" else resource.reset
        if owned is None:
            owned = managers.updated(resource.type, old, obj, managers.read(before.get("managedFields")),
                                     self._manager(resource, options, "Update", subresource), reset)
        obj = self._carried(resource, old, obj, subresource)
        meta = obj["metadata"]
        meta["managedFields"] = managers.write(owned)
        if (resource.generation or resource.custom) and self._changed(resource, old, obj):
            meta["generation"] = before.get("generation", 0) + 1
        if resource.kind == "Service" and not resource.custom:
            self.addresses.keep(obj, old)
        obj = self.normal(resource, obj)
        objects.check(resource, obj, old)
        if _same_but_times(obj, old):
            return stored
        if options.dry_run:
            return obj
        if meta.get("deletionTimestamp") and not meta.get("finalizers") and not meta.get("deletionGracePeriodSeconds"):
            self.finalized(resource, stored)
            return obj
        written = self.store.put(resource.key, stored.place, objects.stored_form(resource, obj))
        self.on_write(resource, written)
        return written

    def _same(self, resource: Resource, meta: Object, before: Object) -> None:
        name = before["name"]
        if meta.get("uid") and meta["uid"] != before["uid"]:
            raise conflict(resource.plural, resource.group, name,
                           f"StorageError: invalid object, Code: 4, Key: , ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: "
                           f"UID in precondition: {meta['uid']}, UID in object meta: {before['uid']}")
        version = meta.get("resourceVersion")
        if version in (None, "", "0"):
            if not (resource.unconditional and not resource.custom):
                raise invalid(resource.kind, resource.group, name, [errors.FieldError(
                    "FieldValueInvalid", "metadata.resourceVersion", "Invalid value: 0: must be specified for an update")])
        elif not version.isdigit():
            raise bad_request(f'resourceVersion: Invalid value: "{version}": strconv.ParseUint: parsing "{version}": invalid syntax')
        elif version != before["resourceVersion"]:
            raise conflict(resource.plural, resource.group, name, errors.MODIFIED)

    def _carried(self, resource: Resource, old: Object, obj: Object, subresource: str) -> Object:
        """What the door that an update came through does not let through stays as it was."""
        if subresource == "status":
            if resource.custom:
                out = {**old, "metadata": clone(old["metadata"])}
                out.pop("status", None)
                return {**out, "status": obj["status"]} if "status" in obj else out
            keep = {name: value for name, value in old.items() if name not in ("metadata", "status")}
            meta = {**obj["metadata"], "ownerReferences": old["metadata"].get("ownerReferences")}
            return {**keep, "metadata": meta, "status": obj["status"]}
        if resource.status:
            obj = {name: value for name, value in obj.items() if name != "status"}
            if "status" in old:
                obj["status"] = old["status"]
        return obj

    def _changed(self, resource: Resource, old: Object, obj: Object) -> bool:
        if resource.custom and not resource.custom.status:
            names = {*old, *obj} - {"metadata", "kind", "apiVersion"}
        else:
            names = {*old, *obj} - set(_NO_GENERATION)
        return any(old.get(name) != obj.get(name) for name in names)

    def apply(self, resource: Resource, namespace: str, name: str, config: Json, options: Options, subresource: str = "") -> tuple[Written, bool]:
        """Server-side apply; true when it made the object."""
        if not isinstance(config, dict) or config.get("apiVersion") != resource.group_version or config.get("kind") != resource.kind:
            raise bad_request(f"invalid object type: apply configuration must be of {resource.group_version}, Kind={resource.kind}")
        if "managedFields" in (config.get("metadata") or {}):
            raise bad_request("metadata.managedFields must be nil")
        place = f"({namespace}/{name}; {resource.group_version}, Kind={resource.kind})" if namespace else f"(/{name}; {resource.group_version}, Kind={resource.kind})"
        if options.validation == "Strict":
            objects.decode(resource, config, options)
        managers.check(resource.type, config, f"failed to create typed patch object {place}")
        config = _without_nulls(config)
        manager = self._manager(resource, options, "Apply", subresource)
        reset = resource.status_reset if subresource == "status" else resource.reset
        stored = self.store.get(resource.key, (namespace, name))
        version = (config.get("metadata") or {}).get("resourceVersion")
        config = {**config, "metadata": {key: value for key, value in (config.get("metadata") or {}).items() if key != "uid" or stored}}
        if stored is None:
            if subresource:
                raise not_found(resource.plural, resource.group, name)
            if version not in (None, "", "0"):
                raise conflict(resource.plural, resource.group, name, errors.MODIFIED)
            base = {"apiVersion": resource.group_version, "kind": resource.kind, "metadata": {}}
            merged, owned = managers.applied(resource.type, base, config, {}, manager, options.force, reset)
            obj = objects.decode(resource, merged, Options(validation="Ignore"))
            return self._create(resource, namespace, obj, options, name=name, owned=owned), True
        old = objects.wire_form(resource, stored)
        if version and version != old["metadata"]["resourceVersion"]:
            raise conflict(resource.plural, resource.group, name, errors.MODIFIED)
        merged, owned = managers.applied(resource.type, old, config, managers.read(old["metadata"].get("managedFields")), manager,
                                         options.force, reset)
        merged["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        obj = objects.decode(resource, merged, Options(validation="Ignore"))
        return self._update(resource, stored, obj, options, subresource, owned), False

    def finalized(self, resource: Resource, stored: Stored) -> None:
        self.store.delete(resource.key, stored.place)
        self.addresses.free(stored.obj)


def _without_nulls(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _same_but_times(new: Object, old: Object) -> bool:
    """Whether nothing differs but the times of managedFields: then nothing is written."""
    if any(new.get(name) != old.get(name) for name in {*new, *old} - {"metadata"}):
        return False
    mine, theirs = dict(new["metadata"]), dict(old["metadata"])
    entries = [[{key: value for key, value in one.items() if key != "time"} for one in meta.pop("managedFields", ()) or ()] for meta in (mine, theirs)]
    return mine == theirs and sorted(map(str, entries[0])) == sorted(map(str, entries[1]))
