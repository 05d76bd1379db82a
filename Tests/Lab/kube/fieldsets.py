"""Sets of fields as managedFields has them: f:name, k:{"key":"value"}, v:"value".

A path is a tuple of such elements, a set of fields a frozenset of paths.
"""

from __future__ import annotations

import json
from typing import Any, Iterable, Iterator

from .jsons import Json, Object
from .types import ANY, SCALARS, Type

Path = tuple[str, ...]
Fields = frozenset[Path]
NONE: Fields = frozenset()
_ORDER = {"f": 0, "k": 1, "v": 2, "i": 3}
MISSING = object()

_DEDUCED_MAP = Type("map", item=ANY)
_DEDUCED_LIST = Type("list", item=ANY, relation="atomic")


def shaped(type: Type, value: Any) -> Type:
    """The type, or what the value says it is when it may be anything."""
    if type.kind != "any":
        return type
    if type.relation == "atomic":
        return SCALARS["s"]
    if isinstance(value, dict):
        return _DEDUCED_MAP
    return _DEDUCED_LIST if isinstance(value, list) else SCALARS["s"]


def element(type: Type, item: Json) -> str:
    """How an item of a set or of a map list is named."""
    if type.relation == "set":
        return "v:" + _json(item)
    defaults = dict(type.key_defaults)
    key = {name: item.get(name, defaults.get(name)) if isinstance(item, dict) else None for name in sorted(type.keys)}
    return "k:" + _json({name: value for name, value in key.items() if value is not None})


def _json(value: Json) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def parse(tree: Object) -> Fields:
    found: set[Path] = set()

    def walk(node: Object, path: Path) -> None:
        if not node and path:
            found.add(path)
        for name, below in node.items():
            if name == ".":
                found.add(path)
            else:
                walk(below, (*path, name))

    walk(tree, ())
    return frozenset(found)


def render(fields: Iterable[Path]) -> Object:
    root: dict[str, Any] = {}
    for path in fields:
        node = root
        for part in path:
            node = node.setdefault(part, {})
        node["."] = None
    return _ordered(root)


def _ordered(node: Object) -> Object:
    names = sorted((name for name in node if name != "."), key=lambda name: (_ORDER[name[0]], name))
    if not names:
        return {}
    out: Object = {".": {}} if "." in node else {}
    for name in names:
        out[name] = _ordered(node[name])
    return out


def below(fields: Fields, prefixes: Iterable[Path]) -> Fields:
    """The set without everything at or under the prefixes."""
    cut = tuple(prefixes)
    return frozenset(path for path in fields if not any(path[: len(prefix)] == prefix for prefix in cut))


def with_named_parents(fields: Fields, type: Type) -> Fields:
    """SMD's EnsureNamedFieldsAreMembers: a struct's field on the way to a member is a member as well."""
    out = set(fields)
    for path in fields:
        at: Type = type
        for length, part in enumerate(path):
            if part[0] == "f" and at.kind == "struct" and part[2:] in at.fields:
                out.add(path[: length + 1])
            at = step(at, part)
    return frozenset(out)


def step(type: Type, part: str) -> Type:
    if type.kind == "list":
        return type.item or ANY
    return type.child(part[2:]) or ANY


def of(type: Type, value: Json) -> Fields:
    """The fields that a configuration says something about: SMD's ToFieldSet."""
    found: set[Path] = set()

    def walk(type: Type, value: Json, path: Path) -> None:
        type = shaped(type, value)
        if type.kind == "scalar" or type.relation == "atomic" or value is None:
            if path:
                found.add(path)
        elif type.kind == "list":
            for item in value if isinstance(value, list) else ():
                here = (*path, element(type, item))
                walk(type.item or ANY, item, here)
                found.add(here)
        elif isinstance(value, dict):
            for name, item in value.items():
                here = (*path, "f:" + name)
                if item is None or item == {} or name not in type.fields:
                    found.add(here)
                walk(type.child(name) or ANY, item, here)

    walk(type, value, ())
    return frozenset(found)


class Comparison:
    """What differs between two values: SMD's Compare."""

    def __init__(self, type: Type, old: Json, new: Json):
        self._added: set[Path] = set()
        self._modified: set[Path] = set()
        self._removed: set[Path] = set()
        self._walk(type, old, new, ())
        self.added, self.modified, self.removed = map(frozenset, (self._added, self._modified, self._removed))

    def without(self, prefixes: Iterable[Path]) -> "Comparison":
        cut = tuple(prefixes)
        self.added, self.modified, self.removed = (below(fields, cut) for fields in (self.added, self.modified, self.removed))
        return self

    def _walk(self, type: Type, old: Any, new: Any, path: Path) -> None:
        if old is new:
            return
        old_type = shaped(type, old) if old is not MISSING else shaped(type, new)
        new_type = shaped(type, new) if new is not MISSING else old_type
        if old_type.kind != new_type.kind:
            self._inside(old_type, old, MISSING, path)
            self._inside(new_type, MISSING, new, path)
            if path:
                self._modified.add(path)
            return
        leaf = self._inside(new_type, old, new, path)
        if not leaf and path:
            if old is MISSING:
                self._added.add(path)
            elif new is MISSING:
                self._removed.add(path)

    def _inside(self, type: Type, old: Any, new: Any, path: Path) -> bool:
        """True when the value was compared as a whole."""
        # Go's nil for a list or a map: there, and empty.
        both = [value for value in (old, new) if value is not MISSING and value is not None]
        if both and type.kind != "scalar" and type.relation != "atomic":
            old, new = ([] if type.kind == "list" else {}) if old is None else old, ([] if type.kind == "list" else {}) if new is None else new
        if type.kind == "scalar" or type.relation == "atomic" or not all(isinstance(value, (dict, list)) for value in both):
            if path:
                self._leaf(old, new, path)
            return True
        if type.kind == "list":
            before, after = (dict(_keyed(type, value)) for value in (old, new))
            for part in {**before, **after}:
                self._walk(type.item or ANY, before.get(part, MISSING), after.get(part, MISSING), (*path, part))
            return False
        before, after = (value if isinstance(value, dict) else {} for value in (old, new))
        for name in {**before, **after}:
            self._walk(type.child(name) or ANY, before.get(name, MISSING), after.get(name, MISSING), (*path, "f:" + name))
        return False

    def _leaf(self, old: Any, new: Any, path: Path) -> None:
        if old is MISSING:
            self._added.add(path)
        elif new is MISSING:
            self._removed.add(path)
        elif old != new or isinstance(old, bool) != isinstance(new, bool):
            self._modified.add(path)


def _keyed(type: Type, value: Any) -> Iterator[tuple[str, Json]]:
    for item in value if isinstance(value, list) else ():
        yield element(type, item), item


def merge(type: Type, live: Any, applied: Any) -> Any:
    """The live value with the applied one over it: SMD's Merge."""
    if applied is MISSING:
        return live
    if live is MISSING or live is None or applied is None:
        return applied
    shape = shaped(type, applied)
    if shape.kind == "scalar" or shape.relation == "atomic" or type_of(live) != type_of(applied):
        return applied
    if shape.kind == "list":
        return _merge_list(shape, live, applied)
    out = {}
    for name in {**live, **applied}:
        out[name] = merge(shape.child(name) or ANY, live.get(name, MISSING), applied.get(name, MISSING))
    return out


def type_of(value: Any) -> str:
    return "map" if isinstance(value, dict) else "list" if isinstance(value, list) else "scalar"


def _merge_list(type: Type, live: list[Json], applied: list[Json]) -> list[Json]:
    """Items of both sides in the applied order; items of the live side only stay where they were."""
    before, after = list(_keyed(type, live)), list(_keyed(type, applied))
    old, new = dict(before), dict(after)
    out: list[Json] = []
    done: set[str] = set()
    left = right = 0
    item = type.item or ANY
    while left < len(before) or right < len(after):
        if left < len(before) and (before[left][0] in done or before[left][0] not in new):
            name, value = before[left]
            left += 1
            if name not in done:
                out.append(value)
            continue
        if right >= len(after):
            left += 1
            continue
        name, value = after[right]
        right += 1
        if name not in done:
            done.add(name)
            out.append(merge(item, old.get(name, MISSING), value))
    return out


def remove(type: Type, value: Json, gone: Fields) -> Json:
    """The value without the items that the set names: SMD's RemoveItems."""
    if not gone:
        return value
    shape = shaped(type, value)
    heads: dict[str, set[Path]] = {}
    whole = set()
    for path in gone:
        if len(path) == 1:
            whole.add(path[0])
        else:
            heads.setdefault(path[0], set()).add(path[1:])
    if isinstance(value, list) and shape.kind == "list" and shape.relation != "atomic":
        kept = []
        for part, item in _keyed(shape, value):
            if part not in whole:
                kept.append(remove(shape.item or ANY, item, frozenset(heads.get(part, ()))))
        return kept
    if not isinstance(value, dict):
        return value
    out = {}
    for name, item in value.items():
        part = "f:" + name
        if part not in whole:
            out[name] = remove(shape.child(name) or ANY, item, frozenset(heads.get(part, ())))
    return out
