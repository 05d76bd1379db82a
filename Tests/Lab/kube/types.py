"""What a value may be: one tree of types for built-in kinds and for custom resources."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional

from .jsons import Object


@dataclass(frozen=True)
class Field:
    type: "Type"
    pointer: bool = False  # kept when it holds its zero value
    always: bool = False  # written when it is absent


@dataclass(frozen=True)
class Type:
    """kind: struct, map, list, scalar or any (deduced from the value)."""

    kind: str
    name: str = ""  # of a struct, or the letter of a scalar
    fields: dict[str, Field] = field(default_factory=dict)
    item: Optional["Type"] = None  # of a map or a list; of a struct, what its unknown fields are
    relation: str = ""  # "atomic"; of a list also "set", "map"; "" is granular
    keys: tuple[str, ...] = ()
    key_defaults: tuple[tuple[str, Any], ...] = ()

    def child(self, name: str) -> Optional["Type"]:
        known = self.fields.get(name)
        return known.type if known is not None else self.item


ANY = Type("any")
SCALARS = {letter: Type("scalar", letter) for letter in "sibtuyoq"}


@lru_cache(maxsize=None)
def builtin(name: str) -> Type:
    """A type of builtin.types."""
    fields = {}
    for part in _lines()[name]:
        key, _, notation = part.partition(":")
        fields[key] = _field(notation)
    return Type("struct", name, fields)


@lru_cache(maxsize=None)
def document(name: str) -> Type:
    """A built-in kind as it is on the wire: with kind and apiVersion."""
    known = builtin(name)
    return replace(known, fields={**builtin("TypeMeta").fields, **known.fields})


@lru_cache(maxsize=1)
def _lines() -> dict[str, list[str]]:
    table = {}
    for line in Path(__file__).with_name("builtin.types").read_text().splitlines():
        if line and not line.startswith("#"):
            name, *parts = line.split()
            table[name] = parts
    return table


_LIST = re.compile(r"\[(.+)\](%|@[A-Za-z,]+)?$")


def _field(notation: str) -> Field:
    pointer = notation.startswith("*")
    always = notation.endswith("!")
    return Field(_type(notation.lstrip("*").rstrip("!")), pointer, always)


def _type(notation: str) -> Type:
    atomic = "atomic" if notation.endswith("~") else ""
    notation = notation.rstrip("~")
    if found := _LIST.match(notation):
        how = found[2] or ""
        if how == "%":
            return Type("list", item=_type(found[1]), relation="set")
        keys = tuple(how[1:].split(",")) if how else ()
        defaults = (("protocol", "TCP"),) if "protocol" in keys else ()
        return Type("list", item=_type(found[1]), relation="map" if keys else "atomic", keys=keys, key_defaults=defaults)
    if notation == "m":
        return Type("map", item=SCALARS["s"], relation=atomic)
    if notation.startswith("m("):
        return Type("map", item=_type(notation[2:-1]), relation=atomic)
    if notation == "any":
        return ANY
    if notation in SCALARS:
        return SCALARS[notation]
    return replace(builtin(notation), relation=atomic)


def custom(schema: Object) -> Type:
    """The type of a custom resource, from its structural schema."""
    root = _custom(schema)
    if root.kind != "struct":
        root = Type("struct", fields=dict(root.fields), item=ANY)
    fields = {**root.fields, "apiVersion": Field(SCALARS["s"]), "kind": Field(SCALARS["s"]), "metadata": Field(builtin("ObjectMeta"))}
    return replace(root, fields=fields)


def _custom(schema: Object) -> Type:
    if schema.get("x-kubernetes-int-or-string"):
        return SCALARS["o"]
    kind = schema.get("type")
    opened = ANY if schema.get("x-kubernetes-preserve-unknown-fields") else None
    if kind == "object" or "properties" in schema:
        relation = "atomic" if schema.get("x-kubernetes-map-type") == "atomic" else ""
        extra = schema.get("additionalProperties")
        if extra and "properties" not in schema:
            return Type("map", item=ANY if extra is True else _custom(extra), relation=relation)
        if "properties" not in schema:
            return replace(ANY, relation=relation) if opened else Type("struct", relation=relation)
        fields = {name: Field(_custom(one)) for name, one in schema["properties"].items()}
        return Type("struct", fields=fields, item=opened, relation=relation)
    if kind == "array":
        how = schema.get("x-kubernetes-list-type", "atomic")
        keys = tuple(schema.get("x-kubernetes-list-map-keys", ()))
        items = schema.get("items", {})
        defaults = tuple((key, items["properties"][key]["default"]) for key in keys
                         if "default" in items.get("properties", {}).get(key, {}))
        return Type("list", item=_custom(items), relation=how, keys=keys, key_defaults=defaults)
    letter = {"string": "s", "integer": "i", "boolean": "b", "number": "i"}.get(kind or "")
    return SCALARS[letter] if letter else ANY
