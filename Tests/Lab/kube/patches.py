"""JSON merge patch (RFC 7396), JSON patch (RFC 6902) and Kubernetes' strategic merge patch."""

from __future__ import annotations

from typing import Any

from .errors import ApiError, bad_request
from .fieldsets import ANY
from .jsons import Json, Object, clone
from .types import Type


def merge(target: Json, patch: Json) -> Json:
    if not isinstance(patch, dict):
        return patch
    out = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            out.pop(name, None)
        else:
            out[name] = merge(out.get(name), value)
    return out


def _rejected(why: str) -> ApiError:
    return ApiError(422, "Invalid", f"the server rejected our request due to an error in our request: {why}")


def json_patch(target: Object, operations: Json) -> Json:
    if not isinstance(operations, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    document = clone(target)
    for operation in operations:
        path = operation.get("path")
        if not isinstance(path, str):
            raise bad_request("missing path of a JSON patch operation")
        kind = operation.get("op")
        if kind in ("add", "replace", "test") and "value" not in operation:
            raise bad_request(f"JSON patch {kind} without a value")
        if kind in ("move", "copy"):
            value = clone(_find(document, operation.get("from", "")))
            if kind == "move":
                document = _change(document, operation["from"], "remove", None)
            document = _change(document, path, "add", value)
        elif kind == "test":
            if _find(document, path, missing=None) != operation["value"]:
                raise _rejected(f"testing value {path} failed: test failed")
        elif kind in ("add", "replace", "remove"):
            document = _change(document, path, kind, operation.get("value"))
        else:
            raise bad_request(f"Unexpected kind: {kind}")
    return document


_RAISE = object()


def _parts(path: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def _find(document: Json, path: str, *, missing: Any = _RAISE) -> Json:
    for part in _parts(path):
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list) and part.isdigit() and int(part) < len(document):
            document = document[int(part)]
        elif missing is _RAISE:
            raise _rejected(f"jsonpatch operation does not apply: path {path}: missing")
        else:
            return missing
    return document


def _change(document: Json, path: str, kind: str, value: Json) -> Json:
    if path == "":
        return value
    *parents, last = _parts(path)
    holder = _find(document, "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parents))
    if isinstance(holder, list):
        index = len(holder) if last == "-" and kind == "add" else int(last) if last.isdigit() else -1
        if not 0 <= index < len(holder) + (kind == "add"):
            raise _rejected(f"jsonpatch {kind} operation does not apply: doc is missing path: {path}: missing value")
        if kind == "add":
            holder.insert(index, value)
        elif kind == "replace":
            holder[index] = value
        else:
            del holder[index]
    elif isinstance(holder, dict):
        if kind != "add" and last not in holder:
            raise _rejected(f"jsonpatch {kind} operation does not apply: doc is missing path: {path}: missing value")
        if kind == "remove":
            del holder[last]
        else:
            holder[last] = value
    else:
        raise _rejected(f"jsonpatch {kind} operation does not apply: doc is missing path: {path}: missing value")
    return document


# Of lists that are maps for server-side apply by several keys, the one key that strategic merge knows.
_MERGE_KEYS = {("containerPort", "protocol"): "containerPort", ("port", "protocol"): "port",
               ("topologyKey", "whenUnsatisfiable"): "topologyKey"}


def strategic(type: Type, target: Json, patch: Json) -> Json:
    """What kubectl sends for built-in kinds: lists by their merge key, with $patch, $retainKeys, $deleteFromPrimitiveList and $setElementOrder."""
    if patch is None or not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    out = dict(target) if isinstance(target, dict) else {}
    if patch.get("$patch") == "delete":
        return {}
    retain = patch.get("$retainKeys")
    if isinstance(retain, list):
        out = {name: value for name, value in out.items() if name in retain}
    for name, value in patch.items():
        if name.startswith("$deleteFromPrimitiveList/"):
            field = name.partition("/")[2]
            out[field] = [one for one in out.get(field) or () if one not in value]
        if name.startswith("$"):
            continue
        below = type.child(name) or ANY
        if value is None:
            out.pop(name, None)
        elif isinstance(value, list):
            out[name] = _strategic_list(below, out.get(name) or [], value, patch.get(f"$setElementOrder/{name}"))
        elif isinstance(value, dict):
            out[name] = strategic(below, out.get(name) or {}, value)
        else:
            out[name] = value
    for name, order in patch.items():
        field = name.partition("/")[2]
        if name.startswith("$setElementOrder/") and field not in patch and isinstance(out.get(field), list):
            out[field] = _ordered(type.child(field) or ANY, out[field], order)
    return out


def _key(type: Type) -> str:
    return _MERGE_KEYS.get(type.keys, type.keys[0] if type.keys else "")


def _strategic_list(type: Type, target: list[Json], patch: list[Json], order: Any) -> list[Json]:
    if type.relation == "set":
        out = target + [one for one in patch if one not in target]
        return _ordered(type, out, order) if order else out
    key = _key(type)
    if type.relation != "map" or not key:
        return [one for one in patch if not (isinstance(one, dict) and "$patch" in one)]
    if any(isinstance(one, dict) and one.get("$patch") == "replace" for one in patch):
        return [one for one in patch if one.get("$patch") != "replace"]
    out = list(target)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        index = next((at for at, one in enumerate(out) if one.get(key) == item[key]), -1)
        if item.get("$patch") == "delete":
            if index >= 0:
                del out[index]
        elif index >= 0:
            out[index] = strategic(type.item or ANY, out[index], item)
        else:
            out.append(strategic(type.item or ANY, {}, item))
    return _ordered(type, out, order) if order else out


def _ordered(type: Type, items: list[Json], order: list[Json]) -> list[Json]:
    key = _key(type)
    names = [one.get(key) if isinstance(one, dict) else one for one in order]

    def rank(entry: tuple[int, Json]) -> tuple[int, int]:
        index, item = entry
        name = item.get(key) if isinstance(item, dict) else item
        return (names.index(name) if name in names else len(names), index)

    return [item for _, item in sorted(enumerate(items), key=rank)]
