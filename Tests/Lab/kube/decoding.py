"""From what a client sent to a built-in object: known fields only, in Go's order, without what Go would leave out."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime, timedelta, timezone
from typing import Any

from .errors import ApiError, bad_request
from .jsons import Json
from .quantities import canonical
from .types import Type

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)$")
_GO = {"s": "string", "i": "int32", "b": "bool", "m": "map[string]string"}


class _Bad(Exception):
    pass


def zero(type: Type) -> Json:
    """What Go writes for a value that nobody set."""
    if type.kind == "struct":
        return {name: zero(known.type) for name, known in type.fields.items()
                if not known.pointer and (known.always or (known.type.kind == "struct"))}
    if type.kind == "scalar":
        return {"s": "", "i": 0, "b": False, "o": 0, "q": "0"}.get(type.name)
    return None


def decode(type: Type, value: Json, kind: str, version: str, strict: list[str]) -> Json:
    """The value as the type has it. What the type does not know is left out, and named in `strict`."""
    try:
        return _value(type, value, "", kind, "", strict)
    except _Bad as error:
        raise cannot_handle(kind, version, str(error)) from None


def cannot_handle(kind: str, version: str, why: str) -> ApiError:
    return bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')


def _mismatch(value: Json, owner: str, path: str, go: str) -> _Bad:
    seen = {str: "string", bool: "bool", int: "number", float: "number", dict: "object", list: "array"}.get(type(value), "null")
    place = f"{owner}.{path.lstrip('.')}" if path else owner
    return _Bad(f"json: cannot unmarshal {seen} into Go struct field {place} of type {go}")


def _value(type: Type, value: Json, path: str, owner: str, field: str, strict: list[str]) -> Json:
    if type.kind == "any":
        return value
    if type.kind == "struct":
        if not isinstance(value, dict):
            raise _mismatch(value, owner, field, f"v1.{type.name}")
        return _struct(type, value, path, owner, field, strict)
    if type.kind == "map":
        if not isinstance(value, dict):
            raise _mismatch(value, owner, field, "map[string]string")
        assert type.item is not None
        return {key: _value(type.item, value[key], f"{path}.{key}", owner, field, strict) if value[key] is not None else zero(type.item)
                for key in sorted(value)}
    if type.kind == "list":
        if not isinstance(value, list):
            raise _mismatch(value, owner, field, "[]" + (_GO.get(type.item.name, f"v1.{type.item.name}") if type.item else "string"))
        assert type.item is not None
        return [_value(type.item, one, f"{path}[{index}]", owner, field, strict) if one is not None else zero(type.item)
                for index, one in enumerate(value)]
    return _scalar(type.name, value, owner, field)


def _struct(type: Type, value: dict[str, Any], path: str, owner: str, field: str, strict: list[str]) -> Json:
    out = {}
    for name, known in type.fields.items():
        given = value.get(name)
        if given is None:
            if not known.pointer and (known.always or known.type.kind == "struct"):
                out[name] = zero(known.type)
            elif known.pointer and known.always:
                out[name] = None
            continue
        got = _value(known.type, given, f"{path}.{name}", owner, f"{field}.{name}", strict)
        if not known.pointer and not known.always and known.type.kind != "struct" and not got and known.type.kind != "any":
            continue
        if known.type.name == "o" and not known.pointer and not known.always and got == 0:
            got = 0
        out[name] = got
    for name in value:
        if name not in type.fields:
            strict.append(f'unknown field "{(path + "." + name).lstrip(".")}"')
    return out


def _scalar(letter: str, value: Json, owner: str, field: str) -> Json:
    if letter in "stuy" and not isinstance(value, str):
        raise _mismatch(value, owner, field, {"s": "string", "y": "[]uint8"}.get(letter, "string"))
    if letter == "i" and (isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value)):
        raise _mismatch(value, owner, field, "int32")
    if letter == "b" and not isinstance(value, bool):
        raise _mismatch(value, owner, field, "bool")
    if letter == "i":
        return int(value)
    if letter == "t":
        return _time(value)
    if letter == "u":
        return _micro_time(value)
    if letter == "y":
        try:
            return base64.b64encode(base64.b64decode(value, validate=True)).decode()
        except (binascii.Error, ValueError):
            raise _Bad(f"illegal base64 data at input byte {_bad_byte(value)}") from None
    if letter == "o" and (isinstance(value, bool) or not isinstance(value, (int, str))):
        raise _mismatch(value, owner, field, "intstr.IntOrString")
    if letter == "q":
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise _mismatch(value, owner, field, "resource.Quantity")
        got = canonical(str(value))
        if got is None:
            raise _Bad("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
        return got
    return value


def _bad_byte(value: str) -> int:
    """Where base64 stops being base64."""
    for index, letter in enumerate(value):
        if not (letter.isascii() and (letter.isalnum() or letter in "+/=")):
            return index
    return max(len(value) - len(value) % 4, 0)


def _time(value: str) -> str:
    found = _RFC3339.match(value)
    if not found:
        raise _Bad(f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "{value}" as "2006"')
    return _utc(found, "seconds")


def _micro_time(value: str) -> str:
    layout = "2006-01-02T15:04:05.000000Z07:00"
    found = _RFC3339.match(value)
    if not found:
        raise _Bad(f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "2006"')
    fraction = found[2] or ""
    if len(fraction) != 7:
        raise _Bad(f'parsing time "{value}" as "{layout}": cannot parse "{(fraction + found[3])}" as ".000000"')
    return _utc(found, "microseconds")


def _utc(found: re.Match[str], spec: str) -> str:
    zone = found[3]
    moment = datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S")
    if zone != "Z":
        hours, minutes = int(zone[1:3]), int(zone[4:6])
        offset = timedelta(hours=hours, minutes=minutes)
        moment = moment - offset if zone[0] == "+" else moment + offset
    fraction = (found[2] or "") if spec == "microseconds" else ""
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


def now() -> str:
    """This second, as metav1.Time has it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
