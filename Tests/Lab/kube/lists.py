"""Lists: selectors, pages that stay as they were when the first was read."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Callable, Optional

from .errors import ApiError, FieldError, bad_request, expired, forbidden_field, invalid
from .jsons import Object, at
from .resources import Resource
from .store import Store, Stored

Match = Callable[[Object], bool]

# Beside metadata.name and metadata.namespace.
_FIELDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "status.phase", "status.podIP"),
    ("", "secrets"): ("type",),
    ("", "namespaces"): ("status.phase",),
    ("", "services"): ("spec.clusterIP", "spec.type"),
    ("", "events"): tuple(f"involvedObject.{name}" for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"))
    + ("reason", "reportingComponent", "source", "type"),
}
_EVENT_DOORS = {"regarding.": "involvedObject.", "reportingController": "reportingComponent"}


@dataclass(frozen=True)
class Selection:
    """What a list or a watch is about. `name` is set when it is one object at most."""

    namespace: str
    labels: Optional[Match]
    fields: Optional[Match]
    name: str = ""

    def matches(self, obj: Object) -> bool:
        return (self.labels is None or self.labels(obj)) and (self.fields is None or self.fields(obj))


def selection(resource: Resource, namespace: str, query: dict[str, str]) -> Selection:
    text = query.get("fieldSelector", "")
    named = re.search(r"(?:^|,)metadata\.name==?([^,]+)", text)
    return Selection(namespace, _labels(query.get("labelSelector", "")), _fields(resource, text), named[1] if named else "")


def _labels(text: str) -> Optional[Match]:
    if not text.strip():
        return None
    tests: list[Callable[[dict[str, str]], bool]] = []
    for part in re.split(r",(?![^()]*\))", text):
        part = part.strip()
        if found := re.match(r"(\S+)\s+(in|notin)\s*\(([^)]*)\)$", part):
            key, wanted, inside = found[1], {one.strip() for one in found[3].split(",")}, found[2] == "in"
            tests.append(lambda given, key=key, wanted=wanted, inside=inside: (given.get(key) in wanted if inside else given.get(key) not in wanted))
        elif found := re.match(r"([^=!\s]+)\s*(==?|!=)\s*([^=!\s]*)$", part):
            key, same, value = found[1], found[2] != "!=", found[3]
            tests.append(lambda given, key=key, same=same, value=value: (key in given and given[key] == value) if same else given.get(key) != value)
        elif found := re.match(r"(!?)\s*([^=!\s,()]+)$", part):
            key, absent = found[2], bool(found[1])
            tests.append(lambda given, key=key, absent=absent: (key in given) != absent)
        else:
            raise bad_request(f"unable to parse requirement: found '{part}', expected: identifier")
    return lambda obj: all(test(obj["metadata"].get("labels") or {}) for test in tests)


def _fields(resource: Resource, text: str) -> Optional[Match]:
    if not text.strip():
        return None
    allowed = ("metadata.name", "metadata.namespace") if resource.namespaced else ("metadata.name",)
    allowed += _FIELDS.get(resource.key, ()) if not resource.custom else tuple(path.lstrip(".") for path in resource.custom.selectable)
    tests: list[Match] = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        found = re.match(r"([^=!]+?)(==?|!=)(.*)$", part)
        if not found:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        path, same, value = found[1], found[2] != "!=", found[3]
        for new, old in _EVENT_DOORS.items() if resource.group == "events.k8s.io" else ():
            path = path.replace(new, old)
        if path not in allowed:
            raise bad_request(f"field label not supported: {path}" if not resource.custom else f"field label not supported: {path}")
        tests.append(lambda obj, path=path, same=same, value=value: (_field(obj, path) == value) == same)
    return lambda obj: all(test(obj) for test in tests)


def _field(obj: Object, path: str) -> str:
    if path == "source":
        return at(obj, "source", "component") or obj.get("reportingComponent", "")
    value = at(obj, *path.split("."))
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def check(query: dict[str, str], watch: bool) -> None:
    """Raises the 422 of options that do not go together."""
    match, initial = query.get("resourceVersionMatch", ""), query.get("sendInitialEvents") in ("true", "1")
    wrong = []
    if watch and initial and match != "NotOlderThan":
        wrong.append(forbidden_field("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
    elif watch and match and not initial:
        wrong.append(forbidden_field("resourceVersionMatch", "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"))
    elif not watch and "sendInitialEvents" in query:
        wrong.append(forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    elif not watch and match and not query.get("resourceVersion"):
        wrong.append(forbidden_field("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"))
    elif not watch and match and query.get("continue"):
        wrong.append(forbidden_field("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"))
    if wrong:
        raise invalid("ListOptions", "meta.k8s.io", "", wrong)


@dataclass
class Page:
    items: list[Stored]
    version: int
    next: str
    remaining: Optional[int]


def page(store: Store, resource: Resource, chosen: Selection, query: dict[str, str]) -> Page:
    limit = int(query["limit"]) if query.get("limit", "").isdigit() else 0
    token, exact = query.get("continue", ""), query.get("resourceVersionMatch") == "Exact"
    wanted = query.get("resourceVersion", "")
    start = ""
    if token:
        if wanted not in ("", "0"):
            raise bad_request("specifying resource version is not allowed when using continue")
        version, start = _continued(token)
        if version < store.compacted:
            raise expired("The provided continue parameter is too old to display a consistent list result. You can start a new list without "
                          "the continue parameter, or use the continue token in this response to retrieve the remainder of the results.")
        found = store.at(resource.key, chosen.namespace, version)
    elif exact and wanted not in ("", "0"):
        version = _number(wanted)
        if version < store.compacted:
            raise expired("The resourceVersion for the provided list is too old.")
        _not_from_the_future(store, version)
        found = store.at(resource.key, chosen.namespace, version)
    else:
        if wanted:
            _not_from_the_future(store, _number(wanted))
        version = store.version
        found = store.all(resource.key, chosen.namespace)
    if start:
        found = [one for one in found if _key(chosen, one) >= start]
    every = chosen.labels is None and chosen.fields is None
    found = found if every else [one for one in found if chosen.matches(one.obj)]
    if not limit or len(found) <= limit:
        return Page(found, version, "", None)
    kept = found[:limit]
    follow = {"v": "meta.k8s.io/v1", "rv": version, "start": "/" + _key(chosen, kept[-1]) + "\0"}
    text = base64.urlsafe_b64encode(json.dumps(follow, separators=(",", ":")).encode()).decode().rstrip("=")
    return Page(kept, version, text, len(found) - limit if every else None)


def _key(chosen: Selection, stored: Stored) -> str:
    return stored.place[1] if chosen.namespace or not stored.place[0] else "/".join(stored.place)


def _continued(token: str) -> tuple[int, str]:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError as error:
        raise bad_request(f"invalid continue token: continue key is not valid: {error}") from None
    try:
        said = json.loads(raw)
        return int(said["rv"]), said["start"].removeprefix("/")
    except (ValueError, KeyError, TypeError, AttributeError):
        first = raw.decode("latin-1")[:1] or " "
        raise bad_request(f"invalid continue token: continue key is not valid: invalid character '{first}' looking for beginning of value") from None


def _number(text: str) -> int:
    if not text.isdigit():
        raise ApiError(500, "", f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text)


def _not_from_the_future(store: Store, version: int) -> None:
    if version > store.version:
        raise ApiError(504, "Timeout", f"Timeout: Too large resource version: {version}, current: {store.version}", retry_after=1,
                       causes=[FieldError("ResourceVersionTooLarge", "", "Too large resource version")])
