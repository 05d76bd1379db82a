"""/openapi/v3: enough for kubectl's apply, explain and validation."""

from __future__ import annotations

import hashlib
from typing import Any, Optional

from .http import Response
from .jsons import Json, Object, encode
from .resources import Registry, Resource
from .types import Type, builtin


def answer(registry: Registry, parts: list[str]) -> Response:
    if not parts:
        paths = {}
        for group, versions in registry.groups().items():
            for version in versions:
                path = f"apis/{group}/{version}" if group else f"api/{version}"
                digest = hashlib.sha256(encode(_document(registry, group, version))).hexdigest().upper()
                paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
        return Response(200, encode({"paths": paths}))
    group, version = ("", parts[1]) if parts[0] == "api" and len(parts) == 2 else (parts[1], parts[2]) if len(parts) == 3 else ("", "")
    if version not in registry.groups().get(group, ()):
        return Response(404, b"404 page not found\n", "text/plain; charset=utf-8", {"X-Content-Type-Options": "nosniff"})
    return Response(200, encode(_document(registry, group, version)))


def _document(registry: Registry, group: str, version: str) -> Object:
    found = [one for one in registry.resources.values() if (one.group, one.version) == (group, version)]
    paths: Object = {}
    schemas: Object = {}
    for one in found:
        paths.update(_paths(one))
        schemas[_name(one)] = _schema(one, schemas)
    _builtin_schema("ObjectMeta", schemas)
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "unversioned"}, "paths": paths, "components": {"schemas": schemas}}


def _name(one: Resource) -> str:
    group = ".".join(reversed(one.group.split("."))) if one.custom else "io.k8s.api." + (one.group.partition(".")[0] or "core")
    return f"{group}.{one.version}.{one.kind}"


def _paths(one: Resource) -> Object:
    root = f"/apis/{one.group}/{one.version}" if one.group else f"/api/{one.version}"
    root += "/namespaces/{namespace}" if one.namespaced else ""
    gvk = {"group": one.group, "version": one.version, "kind": one.kind}
    reference = {"$ref": f"#/components/schemas/{_name(one)}"}
    fine = {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}}
    names = ["dryRun", "fieldManager", "fieldValidation"]

    def operation(action: str, extra: list[str]) -> Object:
        parameters = [{"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for name in extra]
        return {"operationId": f"{action}{one.kind}", "parameters": parameters, "responses": fine,
                "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk}

    item = {"get": operation("get", []), "put": operation("put", names), "patch": operation("patch", [*names, "force"]), "delete": operation("delete", ["dryRun"])}
    return {f"{root}/{one.plural}": {"get": operation("list", ["labelSelector", "fieldSelector", "limit", "continue"]), "post": operation("post", names)},
            f"{root}/{one.plural}/{{name}}": item}


def _schema(one: Resource, schemas: Object) -> Object:
    gvk = [{"group": one.group, "version": one.version, "kind": one.kind}]
    if one.custom is None:
        return {**_of(one.type, schemas), "x-kubernetes-group-version-kind": gvk}
    schema = _plain(one.custom.schema)
    common = {"apiVersion": {"type": "string", "description": "APIVersion defines the versioned schema of this representation of an object. "
                             "Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: "
                             "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"},
              "kind": {"type": "string", "description": "Kind is a string value representing the REST resource this object represents. Servers may "
                       "infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: "
                       "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"},
              "metadata": {"allOf": [{"$ref": _reference("ObjectMeta")}], "description": "Standard object's metadata. More info: "
                           "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"}}
    return {**schema, "properties": {**schema.get("properties", {}), **common}, "x-kubernetes-group-version-kind": gvk}


def _plain(schema: Json) -> Any:
    """What the published document does not carry is left out."""
    if isinstance(schema, dict):
        return {name: _plain(value) for name, value in schema.items() if name != "x-kubernetes-validations" or not isinstance(value, list)}
    return [_plain(one) for one in schema] if isinstance(schema, list) else schema


def _reference(name: str) -> str:
    return f"#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.{name}"


def _builtin_schema(name: str, schemas: Object) -> None:
    key = _reference(name).rpartition("/")[2]
    if key not in schemas:
        schemas[key] = {}
        schemas[key] = _of(builtin(name), schemas)


def _of(type: Type, schemas: Object) -> Object:
    if type.kind == "struct":
        properties = {}
        for name, known in type.fields.items():
            below: Optional[Type] = known.type
            assert below is not None
            if below.kind == "struct" and below.name:
                _builtin_schema(below.name, schemas)
                properties[name] = {"allOf": [{"$ref": _reference(below.name)}]}
            else:
                properties[name] = _of(below, schemas)
        return {"type": "object", "properties": properties}
    if type.kind == "map":
        return {"type": "object", "additionalProperties": _of(type.item, schemas) if type.item else {}}
    if type.kind == "list":
        assert type.item is not None
        out: Object = {"type": "array", "items": {"allOf": [{"$ref": _reference(type.item.name)}]} if type.item.kind == "struct" else _of(type.item, schemas)}
        if type.item.kind == "struct":
            _builtin_schema(type.item.name, schemas)
        out["x-kubernetes-list-type"] = type.relation
        if type.relation == "map":
            out.update({"x-kubernetes-list-map-keys": list(type.keys), "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": type.keys[0]})
        return out
    return {"s": {"type": "string"}, "i": {"type": "integer", "format": "int32"}, "b": {"type": "boolean"}, "t": {"type": "string", "format": "date-time"},
            "u": {"type": "string", "format": "date-time"}, "y": {"type": "string", "format": "byte"},
            "o": {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"},
            "q": {"oneOf": [{"type": "string"}, {"type": "number"}]}}.get(type.name, {"type": "object"})
