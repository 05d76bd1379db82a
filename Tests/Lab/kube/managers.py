"""managedFields: who owns which field, for updates and for server-side apply."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Iterable, Optional, Sequence

from . import fieldsets
from .decoding import now
from .errors import ApiError, FieldError, internal
from .fieldsets import NONE, Comparison, Fields, Path
from .jsons import Json, Object, clone
from .types import Type

# apimachinery's stripMeta: nobody owns these.
_STRIPPED: Fields = frozenset([("f:apiVersion",), ("f:kind",), ("f:metadata",)] + [
    ("f:metadata", "f:" + name) for name in ("name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName",
                                             "generation", "managedFields", "resourceVersion")])


@dataclass(frozen=True)
class Manager:
    name: str
    operation: str
    version: str
    subresource: str = ""

    def label(self) -> str:
        """As a conflict names it."""
        text = f'"{self.name}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return text


@dataclass(frozen=True)
class Entry:
    fields: Fields
    time: str


Owned = dict[Manager, Entry]


def read(entries: Optional[Sequence[Object]]) -> Owned:
    owned: Owned = {}
    for entry in entries or ():
        manager = Manager(entry.get("manager", ""), entry.get("operation", ""), entry.get("apiVersion", ""), entry.get("subresource", ""))
        owned[manager] = Entry(fieldsets.parse(entry.get("fieldsV1", {})), entry.get("time", ""))
    return owned


def write(owned: Owned) -> list[Object]:
    def order(item: tuple[Manager, Entry]) -> tuple[str, ...]:
        manager, entry = item
        return manager.operation, entry.time, manager.name, manager.version, manager.subresource

    entries = []
    for manager, entry in sorted(owned.items(), key=order):
        one: Object = {"manager": manager.name, "operation": manager.operation, "apiVersion": manager.version}
        if entry.time:
            one["time"] = entry.time
        one.update({"fieldsType": "FieldsV1", "fieldsV1": fieldsets.render(entry.fields)})
        if manager.subresource:
            one["subresource"] = manager.subresource
        entries.append(one)
    return entries


def stripped(obj: Object) -> Object:
    """The object without its managedFields: those of the store are shared."""
    metadata = {name: value for name, value in obj.get("metadata", {}).items() if name != "managedFields"}
    return {**obj, "metadata": metadata}


def updated(type: Type, live: Object, new: Object, owned: Owned, manager: Manager, reset: Iterable[Path]) -> Owned:
    """After an update by `manager`, who owns what it changed."""
    compared = Comparison(type, stripped(live), stripped(new)).without(reset)
    changed = compared.added | compared.modified
    owned = {who: replace(entry, fields=entry.fields - changed - compared.removed) for who, entry in owned.items()}
    mine = changed - _STRIPPED
    if mine:
        previous = owned.get(manager)
        owned[manager] = Entry(mine | (previous.fields if previous else NONE), now())
    return {who: entry for who, entry in owned.items() if entry.fields}


def applied(type: Type, live: Object, config: Object, owned: Owned, manager: Manager, force: bool,
            reset: Sequence[Path]) -> tuple[Object, Owned]:
    """Server-side apply: the merged object and who owns what. Raises the 409 of a conflict."""
    live = stripped(live)
    merged = fieldsets.merge(type, clone(live), clone(config))
    last = owned.get(manager)
    fields = fieldsets.below(fieldsets.of(type, config), reset) - _STRIPPED
    owned = {**owned, manager: Entry(fields, last.time if last and last.fields == fields else now())}
    if last is not None and last.fields:
        merged = _pruned(type, merged, owned, last.fields)
    compared = Comparison(type, live, merged).without(reset)
    changed = (compared.added | compared.modified) - _STRIPPED
    others = {who: entry.fields & changed for who, entry in owned.items() if who != manager}
    conflicts = {who: shared for who, shared in others.items() if shared}
    if conflicts and not force:
        raise _conflict(conflicts)
    result: Owned = {}
    for who, entry in owned.items():
        left = entry.fields if who == manager else entry.fields - changed - compared.removed
        if left:
            result[who] = replace(entry, fields=left)
    return merged, result


def _pruned(type: Type, merged: Object, owned: Owned, last: Fields) -> Object:
    """What the manager applied before and gave up now goes, unless another owns it."""
    everyones: set[Path] = set()
    for entry in owned.values():
        everyones |= entry.fields
    gone = fieldsets.with_named_parents(last, type) - fieldsets.with_named_parents(frozenset(everyones), type)
    return fieldsets.remove(type, merged, frozenset(gone))


def _conflict(conflicts: dict[Manager, Fields]) -> ApiError:
    causes = []
    for manager, fields in sorted(conflicts.items(), key=lambda item: item[0].name):
        for path in sorted(fields):
            causes.append((manager, dotted(path)))
    said = {}
    for manager, field in causes:
        said.setdefault(_using(manager), []).append(field)
    count = len(causes)
    if count == 1:
        text = f"conflict with {_using(causes[0][0])}: {causes[0][1]}"
    else:
        text = "\n".join(f"conflicts with {who}:\n" + "\n".join(f"- {field}" for field in fields) for who, fields in said.items())
    noun = "conflict" if count == 1 else "conflicts"
    return ApiError(409, "Conflict", f"Apply failed with {count} {noun}: {text}",
                    causes=[FieldError("FieldManagerConflict", field, f"conflict with {_using(manager)}") for manager, field in causes])


def _using(manager: Manager) -> str:
    text = manager.label()
    if manager.operation == "Update":
        text += f" using {manager.version}"
    return text


def dotted(path: Path) -> str:
    """A path as SMD prints it: .spec.ports[port=80,protocol="TCP"].name"""
    import json

    text = ""
    for part in path:
        if part[0] == "f":
            text += "." + part[2:]
        elif part[0] == "k":
            key = json.loads(part[2:])
            text += "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in key.items()) + "]"
        else:
            text += f"[={part[2:]}]"
    return text


def check(type: Type, value: Json, what: str) -> None:
    """Refuses fields that the type does not have, as the typed parser of an apply does."""
    def walk(type: Type, value: Json, path: str) -> None:
        if type.kind == "struct" and isinstance(value, dict):
            for name, item in value.items():
                known = type.child(name)
                if known is None:
                    raise internal(f"{what}: {path}.{name}: field not declared in schema")
                walk(known, item, f"{path}.{name}")
        elif type.kind == "map" and isinstance(value, dict):
            for name, item in value.items():
                walk(type.item or fieldsets.ANY, item, f"{path}.{name}")
        elif type.kind == "list" and isinstance(value, list):
            seen = set()
            for item in value:
                part = fieldsets.element(type, item) if type.relation in ("set", "map") else ""
                if part and part in seen:
                    raise internal(f"{what}: errors:\n  {path}: duplicate entries for key {dotted((part,))}")
                seen.add(part)
                walk(type.item or fieldsets.ANY, item, path + (dotted((part,)) if part else ""))

    walk(type, value, "")
