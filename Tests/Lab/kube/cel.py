"""x-kubernetes-validations, by the CEL that Google publishes (PyPI's cel-expr-python) and the functions that Kubernetes adds."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Iterator, Optional

from . import celfunctions, celtree
from .celfunctions import CelUnavailable, environment
from .errors import FieldError
from .fieldsets import MISSING
from .jsons import Json, Object, quoted
from .structural import correlated

__all__ = ["CelUnavailable", "compile_errors", "check"]

# CEL's reserved words: as names of fields they are written __word__ in a rule.
_RESERVED = frozenset("true false null in as break const continue else for function if import let loop package namespace return var "
                      "void while".split())
_OLD = re.compile(r"\boldSelf\b")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*$")


def escaped(name: str) -> str:
    if name in _RESERVED:
        return f"__{name}__"
    for plain, code in (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")):
        name = name.replace(plain, code)
    return name


_VALIDATE = re.compile(r"format\.\w+\(\)\.validate\(")


@lru_cache(maxsize=None)
def _compiled(source: str) -> Any:
    return environment().compile(_with_optional(source))


@lru_cache(maxsize=None)
def tree(source: str) -> celtree.Node:
    """The syntax tree of a rule. Raises RuntimeError when it does not compile."""
    return celtree.read(_compiled(source).serialize())


def _with_optional(source: str) -> str:
    """`format.X().validate(v)` answers an optional in Kubernetes; a function in Python can only answer the list in it."""
    done = 0
    while found := _VALIDATE.search(source, done):
        depth, end = 1, found.end()
        while depth and end < len(source):
            depth += {"(": 1, ")": -1}.get(source[end], 0)
            end += 1
        before = source[: found.start()] + "optional.ofNonZeroValue("
        done = len(before) + len(found[0])
        source = before + source[found.start() : end] + ")" + source[end:]
    return source


def compile_errors(schema: Object, path: str) -> Iterator[FieldError]:
    """Rules of a schema that do not compile, with their place in the definition."""
    for index, rule in enumerate(schema.get("x-kubernetes-validations", ())):
        here = f"{path}.x-kubernetes-validations[{index}]"
        for field in ("rule", "messageExpression"):
            if rule.get(field):
                try:
                    _compiled(rule[field])
                except RuntimeError as error:
                    text = str(error).removeprefix("INVALID_ARGUMENT: ")
                    yield FieldError("FieldValueInvalid", f"{here}.{field}", f"Invalid value: {quoted(rule[field])}: compilation failed: {text}")
        if not rule.get("rule"):
            yield FieldError("FieldValueRequired", f"{here}.rule", "Required value: rule is not specified")
    for name, below in schema.get("properties", {}).items():
        yield from compile_errors(below, f"{path}.properties[{name}]")
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield from compile_errors(schema[word], f"{path}.{word}")


def check(schema: Object, value: Json, path: str, old: Any = MISSING) -> list[FieldError]:
    """The rules that a value breaks. An unchanged value is only held against rules that say something about changes."""
    errors: list[FieldError] = []
    if value is None:
        return errors
    same = old is not MISSING and old == value
    for rule in schema.get("x-kubernetes-validations", ()):
        about_change = bool(_OLD.search(rule["rule"]))
        if same and not about_change or about_change and old is MISSING and not rule.get("optionalOldSelf"):
            continue
        failed = _failure(rule, schema, value, path, old)
        if failed:
            errors.append(failed)
    if isinstance(value, dict):
        properties, extra = schema.get("properties", {}), schema.get("additionalProperties")
        before = old if isinstance(old, dict) else {}
        for name, item in value.items():
            below = properties.get(name, extra if isinstance(extra, dict) else None)
            if below is not None:
                there = f"{path}[{name}]" if name not in properties else f"{path}.{name}" if path else name
                errors += check(below, item, there, before.get(name, MISSING))
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            errors += check(schema["items"], item, f"{path}[{index}]", correlated(schema, old, item, index))
    return errors


def _failure(rule: Object, schema: Object, value: Json, path: str, old: Any) -> Optional[FieldError]:
    data = {"self": _shown(schema, value)}
    if old is not MISSING:
        data["oldSelf"] = _shown(schema, old)
    answer = _compiled(rule["rule"]).eval(data=data)
    said = rule.get("message") or f"failed rule: {rule['rule']}"
    place = _place(path, rule.get("fieldPath", ""))
    kind = answer.type().name()
    if kind == "BOOL" and answer.value() is True:
        return None
    if kind != "BOOL":
        return FieldError("FieldValueInvalid", path or "<nil>", "Invalid value: " + _value(value) + f"{_reason(answer)} evaluating rule: {said}")
    if rule.get("messageExpression"):
        message = _compiled(rule["messageExpression"]).eval(data=data)
        if message.type().name() == "STRING" and message.value().strip():
            said = message.value()
    return _refusal(rule.get("reason", "FieldValueInvalid"), place, value, said)


def _reason(answer: Any) -> str:
    text = str(answer.value())
    found = re.match(r'NOT_FOUND: Key not found in map : "(.*)"', text)
    return f"no such key: {found[1]}" if found else text.partition(": ")[2] or text


def _refusal(reason: str, place: str, value: Json, said: str) -> FieldError:
    if reason == "FieldValueForbidden":
        return FieldError(reason, place, f"Forbidden: {said}")
    if reason == "FieldValueRequired":
        return FieldError(reason, place, f"Required value: {said}")
    if reason == "FieldValueDuplicate":
        return FieldError(reason, place, "Duplicate value: " + _value(value).removesuffix(": "))
    return FieldError("FieldValueInvalid", place, "Invalid value: " + _value(value) + said)


def _value(value: Json) -> str:
    """Objects and lists are not repeated in the refusal."""
    return "" if isinstance(value, (dict, list)) else quoted(value) + ": "


def _place(path: str, below: str) -> str:
    if not below:
        return path
    plain = re.sub(r"\['([^']*)'\]", r".\1", below)
    return path + plain if path else plain.lstrip(".")


def _shown(schema: Object, value: Json, below: bool = False) -> Any:
    """A value as rules see it: with escaped names, only known fields, times and durations as such."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, dict):
        properties, extra = schema.get("properties", {}), schema.get("additionalProperties")
        if schema.get("x-kubernetes-preserve-unknown-fields") and not properties or not properties and not isinstance(extra, dict):
            return value
        if isinstance(extra, dict) and not properties:
            return {name: _shown(extra, item, True) for name, item in value.items()}
        return {escaped(name): _shown(properties[name], item, True) for name, item in value.items() if name in properties and item is not None}
    if isinstance(value, list):
        return [_shown(schema.get("items", {}), item, True) for item in value]
    if isinstance(value, int) and schema.get("type") == "number":
        return float(value)
    if isinstance(value, float) and schema.get("type") == "integer":
        return int(value)
    if isinstance(value, str):
        # cel-expr-python takes no datetime below a list: there a time stays a text, which no rule of ours reads.
        kept = below and schema.get("format") == "date-time"
        return value if kept else celfunctions.formatted(schema.get("format", ""), value)
    return value
