"""A structural schema at work: pruning, defaulting, validation, with the words of a kube-apiserver."""

from __future__ import annotations

import base64
import ipaddress
import re
from datetime import date, datetime
from typing import Any, Callable

from .errors import FieldError, invalid_value, required, unsupported
from .fieldsets import MISSING
from .jsons import Json, Object, clone, quoted

_GO_DURATION = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*$|0$")


def prune(schema: Object, value: Json, path: str, unknown: list[str], *, root: bool = False) -> None:
    """Drops in place what the schema does not name."""
    if isinstance(value, list):
        items = schema.get("items")
        for index, item in enumerate(value):
            if items is not None:
                prune(items, item, f"{path}[{index}]", unknown)
        return
    if not isinstance(value, dict):
        return
    properties = schema.get("properties", {})
    extra = schema.get("additionalProperties")
    keep = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    own = ("apiVersion", "kind", "metadata") if root or schema.get("x-kubernetes-embedded-resource") else ()
    for name in list(value):
        below = f"{path}.{name}" if path else name
        if name in own:
            continue
        if name in properties:
            prune(properties[name], value[name], below, unknown)
        elif isinstance(extra, dict):
            prune(extra, value[name], below, unknown)
        elif not extra and not keep:
            unknown.append(f'unknown field "{below}"')
            del value[name]


def drop_nulls(schema: Object, value: Json) -> None:
    """Takes away, in place, what is null, cannot be and has no default: PruneNonNullableNullsWithoutDefaults."""
    if isinstance(value, list):
        for item in value:
            drop_nulls(schema.get("items") or {}, item)
    elif isinstance(value, dict):
        extra = schema.get("additionalProperties")
        for name in list(value):
            below = schema.get("properties", {}).get(name, extra if isinstance(extra, dict) else None)
            if below is None:
                continue
            if value[name] is None and not below.get("nullable") and "default" not in below:
                del value[name]
            else:
                drop_nulls(below, value[name])


def fill(schema: Object, value: Json) -> None:
    """Defaults, in place."""
    if isinstance(value, list):
        items = schema.get("items")
        for item in value:
            if items:
                fill(items, item)
        return
    if not isinstance(value, dict):
        return
    for name, below in schema.get("properties", {}).items():
        if "default" in below and (name not in value or value[name] is None and not below.get("nullable")):
            value[name] = clone(below["default"])
        if name in value:
            fill(below, value[name])
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        for name, item in value.items():
            if name not in schema.get("properties", {}):
                if item is None and "default" in extra and not extra.get("nullable"):
                    value[name] = clone(extra["default"])
                fill(extra, value[name])


def correlated(schema: Object, old: Any, item: Json, index: int) -> Any:
    """The old item of a list that an item corresponds to."""
    if not isinstance(old, list):
        return MISSING
    if schema.get("x-kubernetes-list-type") == "map" and isinstance(item, dict):
        keys = schema.get("x-kubernetes-list-map-keys", [])
        for one in old:
            if isinstance(one, dict) and all(one.get(key) == item.get(key) for key in keys):
                return one
    return MISSING


def validate(schema: Object, value: Json, path: str, old: Any = MISSING) -> list[FieldError]:
    """What is wrong with a value. What is as it was before is not looked at again."""
    if old is not MISSING and old == value:
        return []
    if value is None:
        return [] if schema.get("nullable") or not schema.get("type") else [_type_error(path, schema.get("type", ""), "null")]
    errors = _combined(schema, value, path)
    kind = schema.get("type", "")
    if schema.get("x-kubernetes-int-or-string"):
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            return [FieldError("FieldValueTypeInvalid", path, f'Invalid value: {quoted(_kind(value))}: {path} in body must be of type integer,string: {quoted(_kind(value))}')]
    elif kind and not _is(kind, value):
        return [_type_error(path, kind, _kind(value))]
    if "enum" in schema and value not in schema["enum"]:
        errors.append(unsupported(path, value, schema["enum"]))
    if isinstance(value, str):
        errors += _string(schema, value, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        errors += _number(schema, value, path)
    elif isinstance(value, list):
        errors += _list(schema, value, path, old)
    elif isinstance(value, dict):
        errors += _object(schema, value, path, old)
    return errors


def _combined(schema: Object, value: Json, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for one in schema.get("allOf", ()):
        errors += validate(one, value, path)
    for word, wanted in (("anyOf", "at least one schema"), ("oneOf", "one and only one schema")):
        if word in schema:
            fine = sum(not validate(one, value, path) for one in schema[word])
            if fine == 0 or word == "oneOf" and fine > 1:
                found = f". Found {'none' if fine == 0 else fine} valid" if word == "oneOf" else ""
                errors.append(invalid_value(path, "", f'"{path}" must validate {wanted} ({word}){found}'))
    if "not" in schema and not validate(schema["not"], value, path):
        errors.append(invalid_value(path, "", f'"{path}" must not validate the schema (not)'))
    return errors


def _kind(value: Json) -> str:
    if value is None:
        return "null"
    for python, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array")):
        if isinstance(value, python):
            return name
    return "object"


def _is(kind: str, value: Json) -> bool:
    seen = _kind(value)
    return seen == kind or kind == "number" and seen == "integer" or kind == "integer" and isinstance(value, float) and value == int(value)


def _type_error(path: str, wanted: str, seen: str) -> FieldError:
    return FieldError("FieldValueTypeInvalid", path, f'Invalid value: {quoted(seen)}: {path} in body must be of type {wanted}: {quoted(seen)}')


def _says(path: str, value: Json, what: str) -> FieldError:
    return invalid_value(path, value, f"{path} in body {what}")


def _string(schema: Object, value: str, path: str) -> list[FieldError]:
    errors = []
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        errors.append(FieldError("FieldValueTooLong", path, f"Too long: may not be more than {schema['maxLength']} bytes"))
    if "minLength" in schema and len(value) < schema["minLength"]:
        errors.append(_says(path, value, f"should be at least {schema['minLength']} chars long"))
    # Go's regexp matches anywhere, $ only at the very end.
    if "pattern" in schema and not re.search(_go_pattern(schema["pattern"]), value):
        errors.append(_says(path, value, f"should match '{schema['pattern']}'"))
    check = _FORMATS.get(schema.get("format", ""))
    if check and not check(value):
        errors.append(_says(path, value, f"must be of type {schema['format']}: {quoted(value)}"))
    return errors


def _go_pattern(pattern: str) -> str:
    out, index = [], 0
    while index < len(pattern):
        letter = pattern[index]
        if letter == "\\" and index + 1 < len(pattern):
            out.append("\\Z" if pattern[index + 1] == "z" else pattern[index : index + 2])
            index += 2
            continue
        out.append("\\Z" if letter == "$" else letter)
        index += 1
    return "".join(out)


def _number(schema: Object, value: float, path: str) -> list[FieldError]:
    errors = []
    if "maximum" in schema:
        bound, strict = schema["maximum"], schema.get("exclusiveMaximum")
        if value > bound or strict and value == bound:
            errors.append(_says(path, value, f"should be less than {bound}" if strict else f"should be less than or equal to {bound}"))
    if "minimum" in schema:
        bound, strict = schema["minimum"], schema.get("exclusiveMinimum")
        if value < bound or strict and value == bound:
            errors.append(_says(path, value, f"should be greater than {bound}" if strict else f"should be greater than or equal to {bound}"))
    if "multipleOf" in schema and value % schema["multipleOf"]:
        errors.append(_says(path, value, f"should be a multiple of {schema['multipleOf']}"))
    bits = {"int32": 31, "int64": 63}.get(schema.get("format", ""))
    if bits and not -(2**bits) <= value < 2**bits:
        errors.append(_says(path, value, f"must be of type {schema['format']}: {quoted(value)}"))
    return errors


def _list(schema: Object, value: list[Json], path: str, old: Any) -> list[FieldError]:
    errors = []
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        errors.append(FieldError("FieldValueTooMany", path, f"Too many: {len(value)}: must have at most {schema['maxItems']} items"))
    if "minItems" in schema and len(value) < schema["minItems"]:
        errors.append(_says(path, len(value), f"should have at least {schema['minItems']} items"))
    kind = schema.get("x-kubernetes-list-type")
    seen: set[str] = set()
    for index, item in enumerate(value):
        if "items" in schema:
            errors += validate(schema["items"], item, f"{path}[{index}]", correlated(schema, old, item, index))
        if kind in ("set", "map"):
            key = item
            if kind == "map":
                names = schema.get("x-kubernetes-list-map-keys", [])
                key = {name: item[name] for name in names if isinstance(item, dict) and name in item}
            text = quoted(key)
            if text in seen:
                errors.append(FieldError("FieldValueDuplicate", f"{path}[{index}]", f"Duplicate value: {text}"))
            seen.add(text)
    return errors


def _object(schema: Object, value: Object, path: str, old: Any) -> list[FieldError]:
    errors = []
    before = old if isinstance(old, dict) else {}
    for name in schema.get("required", ()):
        if name not in value:
            errors.append(required(f"{path}.{name}" if path else name))
    if "maxProperties" in schema and len(value) > schema["maxProperties"]:
        errors.append(FieldError("FieldValueTooMany", path, f"Too many: {len(value)}: must have at most {schema['maxProperties']} items"))
    if "minProperties" in schema and len(value) < schema["minProperties"]:
        errors.append(_says(path, len(value), f"should have at least {schema['minProperties']} properties"))
    properties = schema.get("properties", {})
    extra = schema.get("additionalProperties")
    for name, item in value.items():
        below = properties.get(name, extra if isinstance(extra, dict) else None)
        if below is not None:
            errors += validate(below, item, f"{path}.{name}" if path else name, before.get(name, MISSING))
    return errors


def _parses(parse: Callable[[str], Any]) -> Callable[[str], bool]:
    def check(value: str) -> bool:
        try:
            parse(value)
            return True
        except ValueError:
            return False

    return check


def _date_time(value: str) -> Any:
    if not re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$", value):
        raise ValueError(value)
    return datetime.fromisoformat(value[:19].replace("t", "T"))


_NAME = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)*\.?$")
_FORMATS: dict[str, Callable[[str], Any]] = {
    "date-time": _parses(_date_time),
    "date": _parses(date.fromisoformat),
    "duration": lambda value: bool(_GO_DURATION.match(value)),
    "byte": _parses(lambda value: base64.b64decode(value, validate=True)),
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": _parses(lambda value: ipaddress.ip_network(value, strict=False) if "/" in value else int("x")),
    "hostname": lambda value: bool(_NAME.match(value)) and len(value) <= 255,
    "uuid": lambda value: bool(re.match(r"(?i)[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$", value)),
}
