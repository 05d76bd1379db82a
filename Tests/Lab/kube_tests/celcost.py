"""What a rule may cost at most, as a kube-apiserver reckons before it takes a definition.

The double evaluates rules, but does not reckon. This follows cel-go's checker/cost.go and the API server's library/cost.go for the
part of CEL that crds/ uses, and refuses the rest. Sizes are those of schemas: four bytes a character, items and entries by their
bounds, and the whole request (3 MiB) where there is none. A map's keys count as empty, as they do there.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, Iterator, Optional

REQUEST = 3 * 1024 * 1024 - 2  # DefaultMaxRequestSizeBytes, less the quotes
RULE_LIMIT = 10_000_000  # StaticEstimatedCostLimit: one rule, times how often it can apply
DEFINITION_LIMIT = 100_000_000  # StaticEstimatedCRDCostLimit
Schema = dict[str, Any]

_TOKEN = re.compile(r"""\s*(?:(?P<number>\d+)|(?P<text>'[^'\\]*'|"[^"\\]*")|(?P<name>[A-Za-z_]\w*)|(?P<sign>&&|\|\||[=!<>]=|[-+*/%<>!?:.,()\[\]]))""")
_BINARY = [("||",), ("&&",), ("==", "!=", "<", "<=", ">", ">=", "in"), ("+", "-"), ("*", "/", "%")]


@dataclass
class Node:
    kind: str  # number, text, name, select, list, call
    value: Any
    parts: list["Node"] = field(default_factory=list)
    target: Optional["Node"] = None


class Parser:
    def __init__(self, source: str):
        self.tokens: list[tuple[str, str]] = []
        at, source = 0, source.rstrip()
        while at < len(source):
            found = _TOKEN.match(source, at)
            if not found:
                raise ValueError(f"cannot read the rule at {source[at:at + 30]!r}")
            self.tokens.append((str(found.lastgroup), found[str(found.lastgroup)]))
            at = found.end()
        self.at = 0

    def parse(self) -> Node:
        node = self._conditional()
        if self.at != len(self.tokens):
            raise ValueError(f"left over: {self.tokens[self.at:]}")
        return node

    def _peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def _take(self, *wanted: str) -> bool:
        if self._peek() in wanted and self.tokens[self.at][0] != "text":
            self.at += 1
            return True
        return False

    def _expect(self, wanted: str) -> None:
        if not self._take(wanted):
            raise ValueError(f"wanted {wanted}, not {self._peek()}")

    def _conditional(self) -> Node:
        condition = self._binary(0)
        if not self._take("?"):
            return condition
        yes = self._binary(0)
        self._expect(":")
        return Node("call", "?:", [condition, yes, self._conditional()])

    def _binary(self, level: int) -> Node:
        if level == len(_BINARY):
            return self._unary()
        left = self._binary(level + 1)
        while self._peek() in _BINARY[level]:
            sign = self._peek()
            self.at += 1
            left = Node("call", sign, [left, self._binary(level + 1)])
        return left

    def _unary(self) -> Node:
        if self._take("!"):
            return Node("call", "!", [self._unary()])
        node = self._primary()
        while True:
            if self._take("."):
                name = self.tokens[self.at][1]
                self.at += 1
                node = Node("call", name, self._list(")"), node) if self._take("(") else Node("select", name, [node])
            elif self._take("["):
                node = Node("call", "[]", [node, self._conditional()])
                self._expect("]")
            else:
                return node

    def _primary(self) -> Node:
        kind, text = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            return Node("number", int(text))
        if kind == "text":
            return Node("text", text[1:-1])
        if kind == "name":
            return Node("call", text, self._list(")")) if self._take("(") else Node("name", text)
        if text == "(":
            node = self._conditional()
            self._expect(")")
            return node
        if text == "[":
            return Node("list", None, self._list("]"))
        raise ValueError(f"unexpected {text}")

    def _list(self, end: str) -> list[Node]:
        parts: list[Node] = []
        while not self._take(end):
            parts.append(self._conditional())
            if self._peek() != end:
                self._expect(",")
        return parts


@dataclass
class Cost:
    cost: float
    size: float = math.inf  # of what it yields: characters, items, entries; 1 for numbers and the like
    schema: Optional[Schema] = None


def scaled(size: float, factor: float) -> float:
    return size if size == math.inf else math.ceil(round(size * factor, 9))


def size_of(schema: Schema) -> float:
    kind = schema.get("type")
    if kind == "string":
        if "maxLength" in schema:
            return float(schema["maxLength"] * 4)
        return float(max((len(one) for one in schema.get("enum", ())), default=REQUEST))
    if kind == "array":
        return float(schema.get("maxItems", REQUEST // 3))
    if "additionalProperties" in schema:
        return float(schema.get("maxProperties", REQUEST // 8))
    return 1.0


def _reckon(node: Node, known: dict[str, Cost]) -> Cost:
    if node.kind == "number":
        return Cost(0, 1)
    if node.kind == "text":
        return Cost(0, len(node.value))
    if node.kind == "name":
        return Cost(1, known[node.value].size, known[node.value].schema)
    if node.kind == "list":
        return Cost(10 + sum(_reckon(part, known).cost for part in node.parts), len(node.parts))
    if node.kind == "select":
        below = _reckon(node.parts[0], known)
        schema = (below.schema or {})["properties"][node.value]
        return Cost(below.cost + 1, size_of(schema), schema)
    if node.value in ("all", "exists", "map") and node.target:
        return _loop(node, known)
    return _call(node, known)


def _loop(node: Node, known: dict[str, Cost]) -> Cost:
    assert node.target is not None
    over = _reckon(node.target, known)
    variable = Cost(0)
    if over.schema is not None:
        items = over.schema.get("items")
        variable = Cost(0, size_of(items), items) if items else Cost(0, 0)  # a map's keys
    step = _reckon(node.parts[1], {**known, node.parts[0].value: variable}).cost
    if node.value == "map":
        return Cost(over.cost + 10 + over.size * (0 + 12 + step) + 1, over.size)
    return Cost(over.cost + over.size * (2 + 1 + step) + 1, 1)


def _call(node: Node, known: dict[str, Cost]) -> Cost:
    name = node.value
    if name == "has":
        return Cost(_reckon(node.parts[0], known).cost, 1)
    target = _reckon(node.target, known) if node.target else None
    args = [_reckon(part, known) for part in node.parts]
    spent = sum(arg.cost for arg in args) + (target.cost if target else 0)
    if name in ("||", "&&"):
        return Cost(spent, 1)
    if name == "?:":
        return Cost(args[0].cost + max(args[1].cost, args[2].cost), max(args[1].size, args[2].size))
    if name in ("==", "!=", "<", "<=", ">", ">="):
        return Cost(spent + scaled(min(args[0].size, args[1].size), 0.1), 1)
    if name == "in":
        is_map = args[1].schema is not None and "additionalProperties" in args[1].schema
        return Cost(spent + (1 if is_map else args[1].size), 1)
    if name in ("+", "-", "*", "/", "%", "!", "int", "size", "duration"):
        return Cost(spent + 1, 1)
    if name == "[]":
        return Cost(spent + 1)
    if target is not None:
        if name == "matches":
            return Cost(spent + scaled(target.size + 1, 0.1) * scaled(args[0].size, 0.25), 1)
        if name == "contains":
            return Cost(spent + scaled(target.size, 0.1) * scaled(args[0].size, 0.1), 1)
        if name == "endsWith":
            return Cost(spent + scaled(args[0].size, 0.1), 1)
        if name == "split":
            return Cost(spent + scaled(target.size, 0.2), target.size)
        if name == "replace" and args[0].size == args[1].size == 1:
            return Cost(spent + scaled(target.size, 0.2), target.size)
    raise ValueError(f"no cost is known for {name}")


def cost(rule: str, schema: Schema) -> float:
    """At most, of one application."""
    whole = Cost(0, size_of(schema), schema)
    return _reckon(Parser(rule).parse(), {"self": whole, "oldSelf": whole}).cost


def rules(schema: Schema, path: str = "", times: float = 1) -> Iterator[tuple[str, str, float]]:
    """Each rule with its place and what it may cost in one object."""
    seen = schema
    if not path:  # the root, where rules see the name
        name = {"type": "object", "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}}}
        seen = {**schema, "properties": {**schema["properties"], "metadata": name}}
    for rule in schema.get("x-kubernetes-validations", ()):
        yield path, rule["rule"], times * cost(rule["rule"], seen)
    for name, below in schema.get("properties", {}).items():
        yield from rules(below, f"{path}.{name}", times)
    if "items" in schema:
        yield from rules(schema["items"], f"{path}[]", times * size_of(schema))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from rules(schema["additionalProperties"], f"{path}{{}}", times * size_of(schema))
