"""CustomResourceDefinitions: what is refused about them, and the resources that they make."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Iterator

from . import cel, celcosts, decoding
from .errors import FieldError, forbidden_field, invalid_value, required
from .jsons import Object, at, clone
from .resources import Custom, Resource
from .types import custom

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?$")
_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED = ("$ref", "definitions", "dependencies", "deprecated", "discriminator", "id", "patternProperties", "readOnly", "writeOnly", "xml")


def refusals(obj: Object) -> list[FieldError]:
    """What is wrong with a definition."""
    return list(_refusals(obj))


def _refusals(obj: Object) -> Iterator[FieldError]:
    spec = obj["spec"]
    names = spec["names"]
    wanted = f"{names.get('plural', '')}.{spec.get('group', '')}"
    if obj["metadata"].get("name") != wanted:
        yield invalid_value("metadata.name", obj["metadata"].get("name", ""), f'must be spec.names.plural+"."+spec.group')
    for field in ("plural", "kind"):
        if not names.get(field):
            yield required(f"spec.names.{field}")
    for field in ("plural", "singular"):
        if names.get(field) and not _LABEL.match(names[field]):
            yield invalid_value(f"spec.names.{field}", names[field], "a DNS-1035 label must consist of lower case alphanumeric characters or '-'")
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        yield FieldError("FieldValueNotSupported", "spec.scope", f'Unsupported value: "{spec.get("scope", "")}": supported values: "Cluster", "Namespaced"')
    if spec.get("preserveUnknownFields"):
        yield invalid_value("spec.preserveUnknownFields", True, "must be set to false in order to use defaults in the schema")
    if sum(bool(one.get("storage")) for one in spec["versions"] or ()) != 1:
        yield invalid_value("spec.versions", "", "must have exactly one version marked as storage version")
    for index, version in enumerate(spec["versions"] or ()):
        path = f"spec.versions[{index}]"
        schema = at(version, "schema", "openAPIV3Schema")
        if not schema:
            yield required(f"{path}.schema.openAPIV3Schema", "schemas are required")
            continue
        below = f"{path}.schema.openAPIV3Schema"
        if schema.get("type") != "object":
            yield invalid_value(f"{below}.type", schema.get("type", ""), "must be object at the root") if schema.get("type") else required(
                f"{below}.type", "must not be empty at the root")
        yield from _structural(schema, below, root=True)
        yield from cel.compile_errors(schema, below)
        yield from celcosts.refusals(schema, below)
        for position, column in enumerate(version.get("additionalPrinterColumns") or ()):
            if not column.get("jsonPath", "").startswith("."):
                yield invalid_value(f"{path}.additionalPrinterColumns[{position}].jsonPath", column.get("jsonPath", ""), "must be a simple json path starting with .")
            if column.get("type") not in ("boolean", "date", "integer", "number", "string"):
                yield FieldError("FieldValueNotSupported", f"{path}.additionalPrinterColumns[{position}].type",
                                 f'Unsupported value: "{column.get("type")}": supported values: "boolean", "date", "integer", "number", "string"')


def _structural(schema: Object, path: str, *, root: bool = False, nested: bool = False) -> Iterator[FieldError]:
    for word in _UNSUPPORTED:
        if word in schema:
            yield forbidden_field(f"{path}.{word}", f"{word} is not supported")
    if schema.get("uniqueItems"):
        yield forbidden_field(f"{path}.uniqueItems", "uniqueItems cannot be set to true since the runtime complexity becomes quadratic")
    if isinstance(schema.get("additionalProperties"), dict) and schema.get("properties"):
        yield forbidden_field(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    if schema.get("additionalProperties") is False:
        yield forbidden_field(f"{path}.additionalProperties", "additionalProperties cannot be set to false")
    kind = schema.get("type")
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if nested:
        for word in ("type", "description", "default", "nullable", "additionalProperties"):
            if word in schema:
                yield forbidden_field(f"{path}.{word}", "must be undefined to be structural" if word != "type" else "must be empty to be structural")
    elif isinstance(kind, list) or kind and kind not in _TYPES:
        yield FieldError("FieldValueNotSupported", f"{path}.type", f"Unsupported value: {kind!r}: supported values: " + ", ".join(f'"{one}"' for one in _TYPES))
    elif not kind and not free:
        yield required(f"{path}.type", "must not be empty for specified object fields")
    if kind == "array" and not schema.get("items"):
        yield required(f"{path}.items", "must be specified")
    if schema.get("x-kubernetes-list-type") == "map":
        keys = schema.get("x-kubernetes-list-map-keys") or []
        if not keys:
            yield required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")
        items = schema.get("items") or {}
        for index, key in enumerate(keys):
            if key not in items.get("properties", {}):
                yield invalid_value(f"{path}.x-kubernetes-list-map-keys[{index}]", key, "entries must all be names of item properties")
            elif key not in items.get("required", ()) and "default" not in items["properties"][key]:
                yield required(f"{path}.items.properties[{key}].default", "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property")
    if schema.get("x-kubernetes-list-type") and kind != "array":
        yield invalid_value(f"{path}.type", kind or "", "must be array if x-kubernetes-list-type is specified")
    if root and any(name not in ("name", "generateName") for name in at(schema, "properties", "metadata", "properties") or ()):
        yield forbidden_field(f"{path}.properties[metadata]", "must not specify anything other than name and generateName, but metadata is implicitly specified")
    if "pattern" in schema:
        try:
            re.compile(schema["pattern"])
        except re.error as error:
            yield invalid_value(f"{path}.pattern", schema["pattern"], f"must be a valid regular expression, but isn't: {error}")
    yield from _default(schema, path)
    for name, below in (schema.get("properties") or {}).items():
        yield from _structural(below, f"{path}.properties[{name}]", nested=nested)
    for word in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(word), dict):
            yield from _structural(schema[word], f"{path}.{word}", nested=nested or word == "not")
    for word in ("allOf", "anyOf", "oneOf"):
        for index, below in enumerate(schema.get(word) or ()):
            yield from _structural(below, f"{path}.{word}[{index}]", nested=True)


def _default(schema: Object, path: str) -> Iterator[FieldError]:
    """A default must be valid for its own schema, after pruning and defaulting."""
    if "default" not in schema:
        return
    from . import structural
    value, unknown = clone(schema["default"]), []
    structural.prune(schema, value, "", unknown)
    if unknown:
        yield invalid_value(f"{path}.default", schema["default"], "must not have unknown fields")
    structural.fill(schema, value)
    for error in structural.validate(schema, value, f"{path}.default"):
        yield error
    for error in cel.check(schema, value, f"{path}.default"):
        yield error


def status(obj: Object) -> Object:
    """A definition that is accepted, as its controllers leave it."""
    now = decoding.now()
    conditions = [
        {"type": "NamesAccepted", "status": "True", "lastTransitionTime": now, "reason": "NoConflicts", "message": "no conflicts found"},
        {"type": "Established", "status": "True", "lastTransitionTime": now, "reason": "InitialNamesAccepted",
         "message": "the initial names have been accepted"}]
    before = {one["type"]: one for one in at(obj, "status", "conditions") or ()}
    kept = [before.get(one["type"], one) for one in conditions]
    stored = list(at(obj, "status", "storedVersions") or ())
    for version in obj["spec"]["versions"]:
        if version["storage"] and version["name"] not in stored:
            stored.append(version["name"])
    return {"conditions": kept + [one for kind, one in before.items() if kind not in ("NamesAccepted", "Established")],
            "acceptedNames": obj["spec"]["names"], "storedVersions": stored}


def resources(obj: Object) -> list[Resource]:
    """One resource for each served version."""
    spec = obj["spec"]
    names = spec["names"]
    storage = next(one["name"] for one in spec["versions"] if one["storage"])
    made = []
    for version in spec["versions"]:
        if not version["served"]:
            continue
        schema = at(version, "schema", "openAPIV3Schema") or {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        sub = version.get("subresources") or {}
        digest = hashlib.sha256(f"{spec['group']}/{storage}/{names['kind']}".encode()).digest()[:8]
        made.append(Resource(
            spec["group"], version["name"], names["plural"], names["kind"], custom(schema), namespaced=spec["scope"] == "Namespaced",
            singular=names.get("singular", ""), short=tuple(names.get("shortNames") or ()), categories=tuple(names.get("categories") or ()),
            verbs=("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"), status="status" in sub,
            scale="scale" in sub, generation=True, unconditional=False, list_kind=names.get("listKind", ""),
            hash=base64.b64encode(digest).decode(),
            custom=Custom(schema, tuple(version.get("additionalPrinterColumns") or ()), "status" in sub, sub.get("scale"),
                          tuple(one["jsonPath"] for one in version.get("selectableFields") or ()),
                          tuple(one["name"] for one in spec["versions"] if one["served"]), storage)))
    return made
