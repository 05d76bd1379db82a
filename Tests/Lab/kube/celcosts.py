"""What a rule may cost at most and which fields it may name: what a kube-apiserver estimates when a definition is made.

The figures are those of cel-go's checker/cost.go and of apiserver's cel/library/cost.go; sizes come from maxLength, maxItems
and maxProperties, and from the largest request where a schema says none. An estimate of that estimate, not measured
against the real one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Iterator, Optional

from .cel import escaped, tree
from .celtree import Node
from .errors import FieldError, forbidden_field
from .jsons import Object, quoted

_RULE_LIMIT = 10_000_000  # apiextensions validation.StaticEstimatedCostLimit
_TOTAL_LIMIT = 100_000_000  # StaticEstimatedCRDCostLimit
_LARGEST_REQUEST = 3 << 20
_TRAVERSAL, _REGEX = 0.1, 0.25
_SCALARS = ("string", "integer", "number", "boolean")
_READS_ALL = {"lowerAscii", "upperAscii", "replace", "split", "substring", "trim", "join", "isIP", "ip", "isCIDR", "cidr", "isURL", "url",
              "isQuantity", "quantity", "containsIP", "containsCIDR", "validate", "quote", "isSorted", "sum", "min", "max", "reverse"}
_TYPES = {"_+_": None, "size": "integer", "int": "integer", "duration": "duration", "timestamp": "timestamp", "string": "string", "double": "number"}


class Undefined(Exception):
    pass


@dataclass
class _Value:
    """What is known of a part of a rule: its cost so far, its schema, the bytes or items that it has at most."""

    cost: float
    schema: Object = field(default_factory=dict)
    size: float = 1.0


def refusals(schema: Object, path: str) -> list[FieldError]:
    """Rules of a definition that are too dear, or name a field that is not there."""
    total = [0.0]
    found = list(_walk(schema, path, 1.0, total))
    if total[0] > _TOTAL_LIMIT:
        found.append(forbidden_field(path, "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by "
                                     f"factor of {_factor(total[0], _TOTAL_LIMIT)} (try simplifying the rule, or adding maxItems, maxProperties, and "
                                     "maxLength where arrays, maps, and strings are declared)"))
    return found


def costs(schema: Object) -> dict[str, float]:
    """The estimate of every rule with how often it runs, by its place."""
    found: dict[str, float] = {}
    list(_walk(schema, "", 1.0, [0.0], found))
    return found


def _factor(cost: float, limit: float) -> str:
    return "more than 100x" if cost / limit > 100 else f"{cost / limit:.1f}x"


def _walk(schema: Object, path: str, times: float, total: list[float], seen: Optional[dict[str, float]] = None) -> Iterator[FieldError]:
    for index, rule in enumerate(schema.get("x-kubernetes-validations", ())):
        here = f"{path}.x-kubernetes-validations[{index}].rule"
        try:
            cost = estimate(rule["rule"], schema) * times
        except Undefined as error:
            yield FieldError("FieldValueInvalid", here, f"Invalid value: {quoted(rule['rule'])}: compilation failed: ERROR: <input>: {error}")
            continue
        except (RuntimeError, KeyError):
            continue  # it does not compile, and cel.compile_errors says so
        total[0] += cost
        if seen is not None:
            seen[here] = cost
        if cost > _RULE_LIMIT:
            yield forbidden_field(here, f"estimated rule cost exceeds budget by factor of {_factor(cost, _RULE_LIMIT)} (try simplifying the rule, "
                                  "or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)")
    for name, below in schema.get("properties", {}).items():
        yield from _walk(below, f"{path}.properties[{name}]", times, total, seen)
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield from _walk(schema[word], f"{path}.{word}", times * size(schema), total, seen)


def size(schema: Object) -> float:
    """Bytes of a string, items of a list or a map, at most."""
    kind = schema.get("type")
    if kind == "string":
        if schema.get("format") == "byte" and "maxLength" in schema:
            return schema["maxLength"]
        if "maxLength" in schema:
            return schema["maxLength"] * 4  # characters are up to four bytes
        if schema.get("enum"):
            return max(len(str(one)) for one in schema["enum"])
        return _LARGEST_REQUEST - 2
    if kind == "array":
        return schema["maxItems"] if "maxItems" in schema else (_LARGEST_REQUEST - 2) / (_least(schema.get("items", {})) + 1)
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return schema["maxProperties"] if "maxProperties" in schema else (_LARGEST_REQUEST - 2) / (_least(schema["additionalProperties"]) + 6)
    return 1


def _least(schema: Object) -> int:
    """The bytes of the shortest value."""
    kind = schema.get("type")
    if kind == "object":
        wanted = [name for name in schema.get("required", ()) if "default" not in schema.get("properties", {}).get(name, {})]
        return 2 + sum(len(name) + 4 + _least(schema.get("properties", {}).get(name, {})) for name in wanted)
    return {"string": 2, "array": 2, "boolean": 4}.get(kind or "", 1)


def estimate(rule: str, schema: Object) -> float:
    if "metadata" in schema.get("properties", {}) or "apiVersion" in schema.get("properties", {}):
        meta = {"type": "object", "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}}}
        head = {name: {"type": "string"} for name in ("apiVersion", "kind")}
        schema = {**schema, "properties": {**schema["properties"], **head, "metadata": meta}}
    itself = _Value(1, schema, size(schema))
    return _cost(tree(rule), {"self": itself, "oldSelf": itself}).cost


def _cost(node: Node, known: dict[str, _Value]) -> _Value:
    if node.kind == "const":
        text = isinstance(node.value, str)
        kind = {str: "string", bool: "boolean", int: "integer", float: "number"}.get(type(node.value), "")
        return _Value(0, {"type": kind} if kind else {}, max(len(node.value), 1) if text else 1)
    if node.kind == "ident":
        value = known.get(node.name, _Value(1))
        return _Value(1, value.schema, value.size)
    if node.kind in ("select", "test"):
        return _select(node, _cost(node.parts[0], known))
    if node.kind == "loop":
        return _loop(node, known)
    parts = [_cost(part, known) for part in node.parts]
    together = sum(part.cost for part in parts)
    if node.kind == "list":
        item = parts[0] if parts else _Value(0)
        widest = max((part.size for part in parts), default=1)
        return _Value(together + 10, {"type": "array", "items": item.schema, "size": widest}, max(len(parts), 1))
    if node.kind == "map":
        return _Value(together + 30, {}, max(len(parts) / 2, 1))
    return _call(node.name, parts, together)


def _select(node: Node, operand: _Value) -> _Value:
    properties = operand.schema.get("properties")
    if properties is not None and operand.schema.get("type", "object") == "object":
        below = next((one for name, one in properties.items() if escaped(name) == node.name), None)
        if below is None and not operand.schema.get("x-kubernetes-preserve-unknown-fields"):
            raise Undefined(f"undefined field '{node.name}'")
    else:
        extra = operand.schema.get("additionalProperties")
        below = extra if isinstance(extra, dict) else {}
    below = below or {}
    return _Value(operand.cost + 1, {"type": "boolean"} if node.kind == "test" else below, 1 if node.kind == "test" else size(below))


def _item(value: _Value, key: bool) -> _Value:
    """What a list or a map holds; of a map that a macro goes over, its keys."""
    extra = value.schema.get("additionalProperties")
    if isinstance(extra, dict):
        # apiserver's StringType has no MaxElements: it takes keys for empty.
        return _Value(1, {"type": "string"}, 0) if key else _Value(1, extra, size(extra))
    items = value.schema.get("items", {})
    return _Value(1, items, value.schema.get("size") or size(items))


def _loop(node: Node, known: dict[str, _Value]) -> _Value:
    over, start, condition, step, result = node.parts
    item, second, gathered = node.variables
    range_ = _cost(over, known)
    inner = {**known, item: _item(range_, True), gathered: _Value(1)}
    if second:
        inner[second] = _item(range_, False)
    stepped = _cost(step, inner)
    each = _cost(condition, inner).cost + stepped.cost
    cost = range_.cost + _cost(start, inner).cost + range_.size * each + _cost(result, inner).cost
    if start.kind == "list":
        # map and filter: the step adds a list of one.
        added = stepped.schema.get("items", {})
        return _Value(cost, {"type": "array", "items": added, "size": stepped.schema.get("size", 1)}, range_.size)
    return _Value(cost, {"type": "boolean"})


def _call(name: str, parts: list[_Value], together: float) -> _Value:
    sizes = [part.size for part in parts]
    first = parts[0] if parts else _Value(0)
    if name in ("_&&_", "_||_", "@not_strictly_false", "!_"):
        return _Value(together + (1 if name == "!_" else 0), {"type": "boolean"})
    if name == "_?_:_":
        branch = max(parts[1:], key=lambda part: part.size)
        return _Value(first.cost + max(part.cost for part in parts[1:]), branch.schema, branch.size)
    if name in ("_==_", "_!=_"):
        _comparable(name, parts)
        sized = first.schema.get("type") not in ("integer", "number", "boolean")
        return _Value(together + (max(min(sizes) * _TRAVERSAL, 1) if sized else 1), {"type": "boolean"})
    if name in ("_<_", "_<=_", "_>_", "_>=_"):
        _comparable(name, parts)
        text = first.schema.get("type") == "string"
        return _Value(together + (max(min(sizes) * _TRAVERSAL, 1) if text else 1), {"type": "boolean"})
    if name in ("matches", "find", "findAll"):
        regex = max(sizes[1] * _REGEX, 1)
        kind = {"matches": {"type": "boolean"}, "find": {"type": "string"}}.get(name, {"type": "array", "items": {"type": "string"}, "size": first.size})
        return _Value(together + (1 + first.size) * _TRAVERSAL * regex, kind, 1 if name == "matches" else first.size)
    if name in ("startsWith", "endsWith"):
        return _Value(together + max(sizes[1] * _TRAVERSAL, 1), {"type": "boolean"})
    if name in ("contains", "indexOf", "lastIndexOf"):
        return _Value(together + max(first.size * _TRAVERSAL, 1) * max(sizes[1] * _TRAVERSAL, 1), {"type": "boolean" if name == "contains" else "integer"})
    if name == "@in":
        return _Value(together + (sizes[1] if parts[1].schema.get("type") == "array" else 1), {"type": "boolean"})
    if name == "_[_]":
        item = _item(first, False)
        return _Value(together + 1, item.schema, item.size)
    if name == "_+_":
        if first.schema.get("type") in ("string", "array"):
            return _Value(together + max(sum(sizes) * _TRAVERSAL, 1), first.schema if first.schema.get("items") else parts[-1].schema or first.schema, sum(sizes))
        return _Value(together + 1, {"type": first.schema.get("type", "integer")})
    if name in _READS_ALL:
        cost = together + max(first.size * _TRAVERSAL, 1)
        if name == "split":
            return _Value(cost, {"type": "array", "items": {"type": "string"}, "size": first.size}, first.size)
        return _Value(cost, {"type": "string"} if name in ("replace", "lowerAscii", "upperAscii", "substring", "trim", "join") else {}, first.size)
    kind = _TYPES.get(name)
    return _Value(together + 1, {"type": kind} if kind else {})


def _comparable(name: str, parts: list[_Value]) -> None:
    """Types that Kubernetes knows from the schema must fit."""
    kinds = [part.schema.get("type") for part in parts]
    if all(kind in _SCALARS for kind in kinds) and kinds[0] != kinds[1] and set(kinds) != {"integer", "number"}:
        words = {"integer": "int", "boolean": "bool", "number": "double"}
        raise Undefined(f"found no matching overload for '{name}' applied to '({', '.join(words.get(str(kind), str(kind)) for kind in kinds)})'")
