"""Objects on their way in and out: decoding by the resource's type, defaults, checks, and the two doors of events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from . import cel, checks, decoding, defaults, definitions, structural
from .errors import ApiError, FieldError, bad_request, invalid
from .fieldsets import MISSING
from .jsons import Json, Object, clone, encode
from .resources import Resource
from .store import Stored


@dataclass
class Options:
    """What a request says beside its object."""

    manager: str = "unknown"
    dry_run: bool = False
    validation: str = "Warn"
    force: bool = False
    warnings: list[str] = field(default_factory=list)


def decode(resource: Resource, given: Json, options: Options) -> Object:
    """The client's object with the fields that the resource has, defaults filled in."""
    if not isinstance(given, dict):
        raise bad_request(f"couldn't get version/kind; json parse error: json: cannot unmarshal {type(given).__name__} into Go value of type struct")
    given = {**given}
    for name, wanted in (("kind", resource.kind), ("apiVersion", resource.group_version)):
        if not given.get(name):
            if resource.custom and name == "kind":
                raise bad_request(f"Object 'Kind' is missing in '{encode(given).decode()}'")
            given[name] = wanted
        if given[name] != wanted:
            if name == "apiVersion":
                raise bad_request(f"the API version in the data ({given[name]}) does not match the expected API version ({wanted})")
            raise bad_request(f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
                              f"no kind \"{given[name]}\" is registered for version \"{resource.group_version}\"")
    unknown: list[str] = []
    obj = _custom(resource, given, unknown) if resource.custom else _builtin(resource, given, unknown)
    if unknown and options.validation == "Strict":
        raise decoding.cannot_handle(resource.kind, resource.version, "strict decoding error: " + ", ".join(unknown))
    if options.validation == "Warn":
        options.warnings += [one for one in unknown if one not in options.warnings]
    return obj


def _builtin(resource: Resource, given: Object, unknown: list[str]) -> Object:
    obj = decoding.decode(resource.type, given, resource.kind, resource.version, unknown)
    defaults.fill(resource.kind, obj) if resource.type.name != "EventsEvent" else None
    return decoding.decode(resource.type, obj, resource.kind, resource.version, [])


def _custom(resource: Resource, given: Object, unknown: list[str]) -> Object:
    assert resource.custom is not None
    obj = clone(given)
    metadata = obj.get("metadata") or {}
    strict: list[str] = []
    obj["metadata"] = decoding.decode(resource.type.fields["metadata"].type, metadata, resource.kind, resource.version, strict)
    unknown += [one.replace('field "', 'field "metadata.', 1) for one in strict]
    structural.prune(resource.custom.schema, obj, "", unknown, root=True)
    structural.drop_nulls(resource.custom.schema, obj)
    structural.fill(resource.custom.schema, obj)
    return obj


def check(resource: Resource, obj: Object, old: Optional[Object]) -> None:
    """Raises the 422 of what is wrong with an object."""
    group = resource.group
    if resource.custom is None:
        errors = checks.check(resource.kind, group if resource.kind == "Event" else "", obj, old)
        if resource.kind == "CustomResourceDefinition":
            errors += definitions.refusals(obj)
        # Go's name for the internal type of events has no group.
        group = "" if resource.kind == "Event" else group
    else:
        errors = list(checks.metadata(obj, "")) + _check_custom(resource.custom.schema, obj, old)
    if errors:
        raise invalid(resource.kind, group, obj["metadata"].get("name", ""), errors)


_BLOCKING = {"FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"}
_NOT_CHECKED = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"


def _check_custom(schema: Object, obj: Object, old: Optional[Object]) -> list[FieldError]:
    body = {name: value for name, value in obj.items() if name not in ("apiVersion", "kind", "metadata")}
    before = MISSING if old is None else {name: value for name, value in old.items() if name not in ("apiVersion", "kind", "metadata")}
    known = {**schema, "required": [name for name in schema.get("required", ()) if name not in ("apiVersion", "kind", "metadata")],
             "properties": {name: one for name, one in schema.get("properties", {}).items() if name not in ("apiVersion", "kind", "metadata")}}
    errors = structural.validate(known, body, "", before)
    if any(error.kind in _BLOCKING for error in errors):
        return [*errors, FieldError("FieldValueInvalid", "", f"Invalid value: null: {_NOT_CHECKED}")]
    whole = {**obj, "metadata": {name: obj["metadata"].get(name) for name in ("name", "generateName") if name in obj["metadata"]}}
    rules = {**schema, "properties": {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, **schema.get("properties", {}),
                                      "metadata": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
    return errors + cel.check(rules, whole, "", MISSING if old is None else {**old, "metadata": whole["metadata"]})


_EVENT_NAMES = {"regarding": "involvedObject", "note": "message", "reportingController": "reportingComponent", "deprecatedSource": "source",
                "deprecatedFirstTimestamp": "firstTimestamp", "deprecatedLastTimestamp": "lastTimestamp", "deprecatedCount": "count"}
_CORE_NAMES = {core: name for name, core in _EVENT_NAMES.items()}


def stored_form(resource: Resource, obj: Object) -> Object:
    """As the store keeps it: events as events.k8s.io/v1 wrote them become core events."""
    if resource.type.name == "EventsEvent":
        return {_EVENT_NAMES.get(name, name): value for name, value in obj.items()} | {"apiVersion": "v1"}
    if resource.custom and obj["apiVersion"] != f"{resource.group}/{resource.custom.storage_version}":
        return {**obj, "apiVersion": f"{resource.group}/{resource.custom.storage_version}"}
    return obj


def wire_form(resource: Resource, stored: Stored) -> Object:
    """As a version of the API shows it."""
    obj = stored.obj
    if resource.type.name == "EventsEvent":
        shown = {_CORE_NAMES.get(name, name): value for name, value in obj.items()}
        return decoding.decode(resource.type, {**shown, "apiVersion": resource.group_version}, resource.kind, resource.version, [])
    if resource.type.name == "Event":
        return decoding.decode(resource.type, obj, resource.kind, resource.version, [])
    if resource.custom and obj["apiVersion"] != resource.group_version:
        return {**obj, "apiVersion": resource.group_version}
    return obj


class Encoder:
    """Bytes of stored objects, each made once for each version of the API."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], tuple[Stored, bytes]] = {}

    def body(self, resource: Resource, stored: Stored) -> bytes:
        """The object with its kind."""
        inner = self._inner(resource, stored)
        if resource.custom:
            return inner
        return encode({"kind": resource.kind, "apiVersion": resource.group_version})[:-1] + b"," + inner[1:]

    def item(self, resource: Resource, stored: Stored) -> bytes:
        """As an item of a list: built-in kinds go without their kind."""
        return self._inner(resource, stored)

    def _inner(self, resource: Resource, stored: Stored) -> bytes:
        key = (resource.group_version, id(stored))
        kept = self._kept.get(key)
        if kept is not None and kept[0] is stored:
            return kept[1]
        made = plain(resource, wire_form(resource, stored))
        if len(self._kept) > 20_000:
            self._kept.clear()
        self._kept[key] = (stored, made)
        return made


def plain(resource: Resource, obj: Object) -> bytes:
    """The bytes of an object; of a built-in one without kind and apiVersion."""
    if resource.custom:
        return encode(obj, sort=True)
    return encode({name: value for name, value in obj.items() if name not in ("kind", "apiVersion")})


def whole(resource: Resource, obj: Object) -> bytes:
    """The bytes of an object with its kind."""
    if resource.custom:
        return encode(obj, sort=True)
    rest = {name: value for name, value in obj.items() if name not in ("kind", "apiVersion")}
    return encode({"kind": obj.get("kind", resource.kind), "apiVersion": obj.get("apiVersion", resource.group_version), **rest})


def refused(error: ApiError) -> bytes:
    return encode(error.status()) + b"\n"
