"""What a kube-apiserver answers when it refuses: Status objects, with its words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

from .jsons import Object


@dataclass(frozen=True)
class FieldError:
    """One cause of a refusal; `kind` is a reason of metav1.CauseType."""

    kind: str
    field: str
    message: str


class ApiError(Exception):
    """An answer other than success. The order of the Status' fields is Go's."""

    def __init__(self, code: int, reason: str, message: str, *, name: str = "", group: str = "", kind: str = "",
                 uid: str = "", causes: Sequence[FieldError] = (), retry_after: int = 0, nosniff: bool = False):
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.retry_after, self.nosniff = retry_after, nosniff
        details: Object = {}
        for key, value in (("name", name), ("group", group), ("kind", kind), ("uid", uid)):
            if value:
                details[key] = value
        if causes:
            details["causes"] = [{key: value for key, value in
                                  (("reason", cause.kind), ("message", cause.message), ("field", cause.field)) if value}
                                 for cause in causes]
        if retry_after:
            details["retryAfterSeconds"] = retry_after
        self.details = details

    def status(self) -> Object:
        answer: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message}
        if self.reason:
            answer["reason"] = self.reason
        if self.details:
            answer["details"] = self.details
        answer["code"] = self.code
        return answer


def qualified(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def not_found(plural: str, group: str, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{qualified(plural, group)} "{name}" not found', name=name, group=group, kind=plural)


def already_exists(plural: str, group: str, name: str) -> ApiError:
    return ApiError(409, "AlreadyExists", f'{qualified(plural, group)} "{name}" already exists', name=name, group=group, kind=plural)


def conflict(plural: str, group: str, name: str, why: str) -> ApiError:
    return ApiError(409, "Conflict", f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}',
                    name=name, group=group, kind=plural)


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def internal(message: str) -> ApiError:
    """A plain Go error: code 500 and no reason."""
    return ApiError(500, "", message)


def invalid(kind: str, group: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    said = [f"{error.field or '<nil>'}: {error.message}" for error in errors]
    text = said[0] if len(said) == 1 else "[" + ", ".join(said) + "]"
    causes = [FieldError(error.kind, error.field or "<nil>", error.message) for error in errors]
    return ApiError(422, "Invalid", f'{qualified(kind, group)} "{name}" is invalid: {text}', name=name, group=group, kind=kind, causes=causes)


def expired(message: str) -> ApiError:
    return ApiError(410, "Expired", message)


def forbidden(plural: str, group: str, name: str, why: str, *, separator: str = " ") -> ApiError:
    subject = f'{qualified(plural, group)} "{name}"' if name else qualified(plural, group)
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", name=name, group=group, kind=plural, nosniff=True)


def terminating(plural: str, group: str, name: str, namespace: str) -> ApiError:
    subject = f'{qualified(plural, group)} "{name}"' if name else qualified(plural, group)
    message = f"{subject} is forbidden: unable to create new content in namespace {namespace} because it is being terminated"
    cause = FieldError("NamespaceTerminating", "metadata.namespace", f"namespace {namespace} is being terminated")
    return ApiError(403, "Forbidden", message, name=name, group=group, kind=plural, causes=[cause])


def required(field: str, detail: str = "") -> FieldError:
    return FieldError("FieldValueRequired", field, "Required value" + (f": {detail}" if detail else ""))


def invalid_value(field: str, value: Any, detail: str) -> FieldError:
    from .jsons import quoted
    return FieldError("FieldValueInvalid", field, f"Invalid value: {quoted(value)}: {detail}")


def unsupported(field: str, value: Any, supported: Sequence[Any]) -> FieldError:
    from .jsons import quoted
    return FieldError("FieldValueNotSupported", field,
                      f"Unsupported value: {quoted(value)}: supported values: " + ", ".join(quoted(one) for one in supported))


def forbidden_field(field: str, detail: str) -> FieldError:
    return FieldError("FieldValueForbidden", field, f"Forbidden: {detail}")
