"""The objects that kubectl's own commands send in protobuf: `create secret`, `scale`, `auth can-i` and the like.

Answers are always JSON: every client that sends protobuf takes it as well.
"""

from __future__ import annotations

import base64
from datetime import datetime, timezone
from typing import Any, Iterator

from .errors import ApiError
from .jsons import Object

TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"

# Field numbers of generated.proto: NAME:TYPE with s (string) i (integer) b (boolean) y (bytes) t (time), [T] lists, {s} and {y} maps.
_MESSAGES = {
    "ObjectMeta": {1: "name:s", 2: "generateName:s", 3: "namespace:s", 5: "uid:s", 6: "resourceVersion:s", 7: "generation:i", 8: "creationTimestamp:t",
                   11: "labels:{s}", 12: "annotations:{s}", 13: "ownerReferences:[Owner]", 14: "finalizers:[s]"},
    "Owner": {1: "kind:s", 3: "name:s", 4: "uid:s", 5: "apiVersion:s", 6: "controller:b", 7: "blockOwnerDeletion:b"},
    "ConfigMap": {1: "metadata:ObjectMeta", 2: "data:{s}", 3: "binaryData:{y}", 4: "immutable:b"},
    "Secret": {1: "metadata:ObjectMeta", 2: "data:{y}", 3: "type:s", 4: "stringData:{s}", 5: "immutable:b"},
    "Namespace": {1: "metadata:ObjectMeta"},
    "ServiceAccount": {1: "metadata:ObjectMeta", 4: "automountServiceAccountToken:b"},
    "Scale": {1: "metadata:ObjectMeta", 2: "spec:ScaleSpec"},
    "ScaleSpec": {1: "replicas:i"},
    "TokenRequest": {1: "metadata:ObjectMeta", 2: "spec:TokenRequestSpec"},
    "TokenRequestSpec": {1: "audiences:[s]", 4: "expirationSeconds:i"},
    "SelfSubjectAccessReview": {1: "metadata:ObjectMeta", 2: "spec:SelfSpec"},
    "SelfSpec": {1: "resourceAttributes:Attributes", 2: "nonResourceAttributes:Path"},
    "SubjectAccessReview": {1: "metadata:ObjectMeta", 2: "spec:SubjectSpec"},
    "SubjectSpec": {1: "resourceAttributes:Attributes", 2: "nonResourceAttributes:Path", 3: "user:s", 4: "groups:[s]", 6: "uid:s"},
    "Attributes": {1: "namespace:s", 2: "verb:s", 3: "group:s", 4: "version:s", 5: "resource:s", 6: "subresource:s", 7: "name:s"},
    "Path": {1: "path:s", 2: "verb:s"},
    "Role": {1: "metadata:ObjectMeta", 2: "rules:[Rule]"},
    "ClusterRole": {1: "metadata:ObjectMeta", 2: "rules:[Rule]"},
    "Rule": {1: "verbs:[s]", 2: "apiGroups:[s]", 3: "resources:[s]", 4: "resourceNames:[s]", 5: "nonResourceURLs:[s]"},
    "RoleBinding": {1: "metadata:ObjectMeta", 2: "subjects:[Subject]", 3: "roleRef:Reference"},
    "ClusterRoleBinding": {1: "metadata:ObjectMeta", 2: "subjects:[Subject]", 3: "roleRef:Reference"},
    "Subject": {1: "kind:s", 2: "apiGroup:s", 3: "name:s", 4: "namespace:s"},
    "Reference": {1: "apiGroup:s", 2: "kind:s", 3: "name:s"},
    "DeleteOptions": {1: "gracePeriodSeconds:i", 2: "preconditions:Preconditions", 4: "propagationPolicy:s", 5: "dryRun:[s]"},
    "Preconditions": {1: "uid:s", 2: "resourceVersion:s"},
    "Unknown": {1: "typeMeta:TypeMeta", 2: "raw:y"},
    "TypeMeta": {1: "apiVersion:s", 2: "kind:s"},
    "Time": {1: "seconds:i"},
}


def decode(data: bytes) -> Object:
    """The object as JSON has it. Raises the 415 of a kind that nobody sends here."""
    if not data.startswith(_MAGIC):
        raise _unsupported("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    envelope = _message("Unknown", data[4:])
    meta = envelope.get("typeMeta", {})
    kind = meta.get("kind", "")
    if kind not in _MESSAGES:
        raise _unsupported(f"this double of a server reads no {kind} in protobuf")
    return {"kind": kind, "apiVersion": meta.get("apiVersion", ""), **_message(kind, base64.b64decode(envelope.get("raw", "")))}


def _unsupported(why: str) -> ApiError:
    return ApiError(415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {why}")


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    try:
        while at < len(data):
            tag = number()
            if tag & 7 == 0:
                yield tag >> 3, number()
            elif tag & 7 == 2:
                length = number()
                yield tag >> 3, data[at : at + length]
                at += length
            elif tag & 7 in (1, 5):
                length = 8 if tag & 7 == 1 else 4
                yield tag >> 3, data[at : at + length]
                at += length
            else:
                raise _unsupported(f"wire type {tag & 7}")
    except IndexError:
        raise _unsupported("unexpected EOF") from None


def _message(name: str, data: bytes) -> Object:
    out: Object = {}
    for number, value in fields(data):
        known = _MESSAGES[name].get(number)
        if known is None:
            continue
        field, _, kind = known.partition(":")
        if kind[0] == "[":
            out.setdefault(field, []).append(_value(kind[1:-1], value))
        elif kind[0] == "{":
            pair = dict(fields(value))
            out.setdefault(field, {})[pair.get(1, b"").decode()] = _value(kind[1:-1], pair.get(2, b""))
        else:
            got = _value(kind, value)
            # Go writes empty strings, and times that nobody set.
            if got not in ("", None):
                out[field] = got
    return out


def _value(kind: str, value: Any) -> Any:
    if kind == "s":
        return value.decode()
    if kind == "i":
        return value - (1 << 64) if value >= 1 << 63 else value
    if kind == "b":
        return bool(value)
    if kind == "y":
        return base64.b64encode(value).decode()
    if kind == "t":
        seconds = dict(fields(value)).get(1)
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds and seconds < 1 << 40 else None
    return _message(kind, value)
