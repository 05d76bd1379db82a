"""What a request is about: its place, its verb, its options."""

from __future__ import annotations

import re
from typing import Optional

from . import errors
from .http import Request
from .objects import Options

_PATCHES = {"application/json-patch+json": "json", "application/merge-patch+json": "merge",
            "application/strategic-merge-patch+json": "strategic", "application/apply-patch+yaml": "apply",
            "application/apply-patch+cbor": "apply"}


class Place:
    """What a path names."""

    def __init__(self, group: str, version: str, namespace: str, plural: str, name: str, sub: str):
        self.group, self.version, self.namespace, self.plural, self.name, self.sub = group, version, namespace, plural, name, sub

    @property
    def full(self) -> str:
        return f"{self.plural}/{self.sub}" if self.sub else self.plural

    @classmethod
    def of(cls, parts: list[str]) -> Optional["Place"]:
        if parts[:1] == ["api"] and len(parts) > 2:
            group, version, rest = "", parts[1], parts[2:]
        elif parts[:1] == ["apis"] and len(parts) > 3:
            group, version, rest = parts[1], parts[2], parts[3:]
        else:
            return None
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        rest += ["", "", ""]
        return cls(group, version, namespace, rest[0], rest[1], "/".join(part for part in rest[2:] if part))


def verb_of(request: Request, place: Place) -> str:
    if request.method in ("GET", "HEAD"):
        if request.query.get("watch") in ("true", "1"):
            return "watch"
        return "get" if place.name else "list"
    if request.method == "DELETE":
        return "delete" if place.name else "deletecollection"
    return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(request.method, request.method.lower())


def named(request: Request) -> str:
    """The one object that a list or a watch by field selector is about: RBAC's resourceNames count for it."""
    found = re.fullmatch(r"metadata\.name==?([^,]+)", request.query.get("fieldSelector", ""))
    return found[1] if found else ""


def patch_kind(request: Request) -> str:
    return _PATCHES.get(request.headers.get("content-type", "").partition(";")[0].strip(), "")


def options_of(request: Request) -> Options:
    query = request.query
    agent = "".join(letter for letter in request.headers.get("user-agent", "").partition("/")[0] if letter.isprintable())[:128]
    validation = query.get("fieldValidation") or "Warn"
    if validation not in ("Ignore", "Warn", "Strict"):
        raise errors.invalid("CreateOptions", "meta.k8s.io", "", [errors.unsupported("fieldValidation", validation, ["", "Ignore", "Strict", "Warn"])])
    if query.get("dryRun") not in (None, "", "All"):
        raise errors.invalid("CreateOptions", "meta.k8s.io", "", [errors.unsupported("dryRun", [query["dryRun"]], ["All"])])
    return Options(query.get("fieldManager") or agent or "unknown", query.get("dryRun") == "All", validation, query.get("force") in ("true", "1"))
