"""The JSONPath of printer columns: fields, indexes, filters on equality."""

from __future__ import annotations

import re
from typing import Any

from .jsons import Json

_PART = re.compile(r"""\.(?P<field>(?:\\.|[^.\[\]])+)|\[(?P<index>-?\d+|\*)\]|\['(?P<quoted>[^']*)'\]|\[\?\(@\.(?P<path>[^=\s)]+)\s*==\s*["'](?P<value>[^"']*)["']\)\]""")


def find(value: Json, path: str) -> list[Json]:
    """What is at a path like .status.conditions[?(@.type=="Ready")].status."""
    found: list[Any] = [value]
    for part in _PART.finditer(path):
        following: list[Any] = []
        for one in found:
            following += _step(one, part)
        found = following
    return found


def _step(value: Json, part: "re.Match[str]") -> list[Json]:
    name = part["field"] if part["field"] is not None else part["quoted"]
    if name is not None:
        name = name.replace("\\.", ".")
        if name == "*":
            return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
        return [value[name]] if isinstance(value, dict) and name in value else []
    if not isinstance(value, list):
        return []
    if part["index"] == "*":
        return list(value)
    if part["index"] is not None:
        index = int(part["index"])
        return [value[index]] if -len(value) <= index < len(value) else []
    return [one for one in value if str((find(one, "." + part["path"]) or [None])[0]) == part["value"]]
