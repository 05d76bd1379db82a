"""The syntax tree of a compiled rule, read from the CheckedExpr that the CEL package serializes (cel/expr/checked.proto)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Optional

from .protobuf import fields


@dataclass(frozen=True)
class Node:
    """kind: const, ident, select, test (has), call, list, map, loop.

    name: of an identifier, a field or a function. parts: operands, in order of evaluation; of a call the target first.
    """

    kind: str
    name: str = ""
    parts: tuple["Node", ...] = ()
    value: Any = None
    variables: tuple[str, ...] = ()  # of a loop: item, second item, accumulator


def read(serialized: bytes) -> Node:
    """From a google.protobuf.Any that holds the CheckedExpr."""
    checked = _all(_all(serialized)[2][0])
    return _node(checked[4][0])


def _all(data: bytes) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for number, value in fields(data):
        found.setdefault(number, []).append(value)
    return found


def _text(found: dict[int, list[Any]], number: int) -> str:
    return found.get(number, [b""])[0].decode()


def _node(data: bytes) -> Node:
    said = _all(data)
    if 4 in said:
        return Node("ident", _text(_all(said[4][0]), 1))
    if 5 in said:
        select = _all(said[5][0])
        return Node("test" if select.get(3) else "select", _text(select, 2), (_node(select[1][0]),))
    if 6 in said:
        call = _all(said[6][0])
        return Node("call", _text(call, 2), tuple(_node(part) for part in [*call.get(1, []), *call.get(3, [])]))
    if 7 in said:
        return Node("list", parts=tuple(_node(part) for part in _all(said[7][0]).get(1, [])))
    if 8 in said:
        entries = [_all(entry) for entry in _all(said[8][0]).get(2, [])]
        return Node("map", parts=tuple(_node(entry[number][0]) for entry in entries for number in (3, 4) if number in entry))
    if 9 in said:
        loop = _all(said[9][0])
        return Node("loop", parts=tuple(_node(loop[number][0]) for number in (2, 4, 5, 6, 7)),
                    variables=(_text(loop, 1), _text(loop, 8), _text(loop, 3)))
    return Node("const", value=_constant(said.get(3, [b""])[0]))


def _constant(data: bytes) -> Optional[Any]:
    for number, value in fields(data):
        if number == 6:
            return value.decode()
        if number == 2:
            return bool(value)
        if number == 3:
            return value - (1 << 64) if value >= 1 << 63 else value
        if number == 5:
            return struct.unpack("<d", value)[0] if isinstance(value, bytes) else 0.0
        if number in (4, 7):
            return value
    return None
