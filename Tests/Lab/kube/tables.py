"""Tables, as kubectl get asks for them."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, Callable

from .http import Request
from .jsonpath import find
from .jsons import Json, Object, encode
from .objects import Encoder, wire_form
from .resources import Resource
from .store import Stored

_NAME = ("Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request "
         "the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. "
         "Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names")
_AGE = ("CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in "
        "happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\n"
        "Populated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata")
# The order of the fields of ObjectMeta as a built-in type has it, for the metadata of custom resources too.
_META = ("name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
         "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers", "managedFields")
_ENTRY = ("manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1", "subresource")

Column = tuple[str, str, int, Callable[[Object], Any]]


def wanted(request: Request) -> bool:
    return "as=Table" in request.headers.get("accept", "")


def age(stamp: Any) -> str:
    """duration.HumanDuration, since a time."""
    if not isinstance(stamp, str) or not stamp:
        return "<unknown>"
    try:
        then = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    except ValueError:
        return "<unknown>"
    return human(int((datetime.now(timezone.utc) - then).total_seconds()))


def human(seconds: int) -> str:
    if seconds < -1:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 365 * 2:
        return f"{days}d"
    return f"{days // 365}y{days % 365}d" if days < 365 * 8 and days % 365 else f"{days // 365}y"


def _definitions(resource: Resource) -> list[Object]:
    out: list[Object] = [{"name": "Name", "type": "string", "format": "name", "description": _NAME, "priority": 0}]
    if resource.custom:
        columns = resource.custom.columns or ({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},)
        for one in columns:
            says = one.get("description") or f"Custom resource definition column (in JSONPath format): {one['jsonPath']}"
            if not resource.custom.columns:
                says = _AGE
            out.append({"name": one["name"], "type": one["type"], "format": one.get("format", ""), "description": says, "priority": one.get("priority", 0)})
        return out
    if resource.kind == "Event":
        out = []
    for name, kind, priority, _ in _columns(resource):
        out.append({"name": name, "type": kind, "format": "", "description": "", "priority": priority})
    return out


def _cells(resource: Resource, obj: Object) -> list[Any]:
    name = obj["metadata"]["name"]
    if resource.custom:
        if not resource.custom.columns:
            return [name, obj["metadata"].get("creationTimestamp")]
        return [name, *(_custom_cell(one, obj) for one in resource.custom.columns)]
    cells = [cell(obj) for _, _, _, cell in _columns(resource)]
    return cells if resource.kind == "Event" else [name, *cells]


def _custom_cell(column: Object, obj: Object) -> Any:
    found = find(obj, column["jsonPath"])
    if not found:
        return None
    value, kind = found[0], column["type"]
    if kind == "date":
        return age(value) if value else "<unknown>"
    if kind == "integer":
        return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    if kind == "number":
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if len(found) > 1:
        return " ".join(_text(one) for one in found)
    return _text(value) if value is not None else None


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _columns(resource: Resource) -> list[Column]:
    from .columns import COLUMNS, EVENT

    if resource.kind == "Event":
        return EVENT
    return COLUMNS.get(resource.kind, []) + [("Age", "string", 0, lambda obj: age(obj["metadata"].get("creationTimestamp")))]


def table(resource: Resource, items: list[Stored], encoder: Encoder, head: Object, query: dict[str, str], *, columns: bool = True) -> Object:
    head = head or {"resourceVersion": items[0].obj["metadata"]["resourceVersion"] if items else ""}
    rows = []
    for stored in items:
        obj = wire_form(resource, stored)
        row: Object = {"cells": _cells(resource, obj)}
        include = query.get("includeObject", "Metadata")
        if include == "Metadata":
            row["object"] = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": _metadata(obj["metadata"])}
        elif include == "Object":
            row["object"] = json.loads(encoder.body(resource, stored))
        else:
            row["object"] = None
        rows.append(row)
    return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": head, "columnDefinitions": _definitions(resource) if columns else None, "rows": rows}


def _metadata(meta: Object) -> Object:
    out = {name: meta[name] for name in _META if name in meta}
    if "managedFields" in out:
        out["managedFields"] = [{name: entry[name] for name in _ENTRY if name in entry} for entry in out["managedFields"]]
    return out


def line(resource: Resource, encoder: Encoder, query: dict[str, str]) -> Callable[[str, Stored], bytes]:
    """How a watch writes an object as a table of one row; the columns go with the first."""
    first = [True]

    def write(kind: str, stored: Stored) -> bytes:
        shown = table(resource, [stored], encoder, {}, query, columns=first[0])
        first[0] = False
        return encode({"type": kind, "object": shown}) + b"\n"

    return write
