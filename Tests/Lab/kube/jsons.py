"""JSON as Go's encoder writes it, and copies of it."""

from __future__ import annotations

import json
from typing import Any

Json = Any
Object = dict[str, Any]


def clone(value: Json) -> Json:
    """A deep copy. Several times faster than copy.deepcopy, and enough for JSON."""
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clone(item) for item in value]
    return value


def encode(value: Json, *, sort: bool = False) -> bytes:
    """Compact, with <, > and & escaped: inside of strings is the only place where they can be."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=sort)
    if "<" in text or ">" in text or "&" in text:
        text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    if "\u2028" in text or "\u2029" in text:
        text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return text.encode("utf-8", "replace")


def quoted(value: Json) -> str:
    """A value within a message, as field errors show it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def at(value: Json, *path: str) -> Json:
    """What is at a path of field names; None when anything on the way is missing."""
    for part in path:
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value
