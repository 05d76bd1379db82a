"""Who asks, and whether RBAC lets them."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import Iterator, Optional

from .errors import ApiError
from .jsons import Object
from .store import Store

_RBAC = "rbac.authorization.k8s.io"
_OPEN_PATHS = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY_PATHS = ("/api", "/apis", "/openapi", "/healthz", "/livez", "/readyz", "/version")


@dataclass(frozen=True)
class User:
    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""

    @property
    def almighty(self) -> bool:
        return "system:masters" in self.groups


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
ADMIN = User("kubernetes-admin", ("system:masters", "system:authenticated"))


def service_account(namespace: str, name: str, uid: str = "") -> User:
    return User(f"system:serviceaccount:{namespace}:{name}",
                ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"), uid)


class Tokens:
    """Bearer tokens and when they end."""

    def __init__(self) -> None:
        self._users: dict[str, tuple[User, float]] = {}

    def add(self, user: User, token: str = "", seconds: float = 0) -> str:
        """A new token for a user; 0 seconds is for ever."""
        token = token or secrets.token_urlsafe(32)
        self._users[token] = (user, time.time() + seconds if seconds else float("inf"))
        return token

    def user(self, token: str) -> Optional[User]:
        user, until = self._users.get(token, (None, 0.0))
        return user if time.time() < until else None

    def expire(self, token: str = "", name: str = "") -> int:
        """Ends a token, or all of a user. Answers how many."""
        ended = [one for one, (user, _) in self._users.items() if one == token or name and user.name == name]
        for one in ended:
            del self._users[one]
        return len(ended)

    def saved(self) -> str:
        return json.dumps([[token, user.name, list(user.groups), user.uid, until if until != float("inf") else 0]
                           for token, (user, until) in self._users.items()])

    def load(self, text: str) -> None:
        for token, name, groups, uid, until in json.loads(text):
            self._users[token] = (User(name, tuple(groups), uid), until or float("inf"))


def from_certificate(peer: Optional[dict[str, object]]) -> Optional[User]:
    """CN is the name, each O a group."""
    if not peer:
        return None
    name, groups = "", []
    for part in peer.get("subject", ()):  # type: ignore[attr-defined]
        for key, value in part:
            if key == "commonName":
                name = value
            elif key == "organizationName":
                groups.append(value)
    return User(name, (*groups, "system:authenticated")) if name else None


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


@dataclass(frozen=True)
class Attributes:
    """What is asked for. Of a resource, or of a path that is none."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Authorizer:
    def __init__(self, store: Store):
        self._store = store

    def allows(self, user: User, asked: Attributes) -> str:
        """The reason why it is allowed; empty when it is not."""
        if user.almighty:
            return "system:masters"
        if asked.path:
            if asked.path in _OPEN_PATHS or asked.verb == "get" and "system:authenticated" in user.groups and (
                    asked.path in _DISCOVERY_PATHS or asked.path.startswith(("/api/", "/apis/", "/openapi/", "/healthz/", "/livez/", "/readyz/"))):
                return "system:discovery"
        if asked.resource.startswith("selfsubject") and asked.verb == "create" and "system:authenticated" in user.groups:
            return "system:basic-user"
        for binding, rules in self._rules(user, asked.namespace):
            if any(_covers(rule, asked) for rule in rules):
                return f"RBAC: allowed by {binding}"
        return ""

    def _rules(self, user: User, namespace: str) -> Iterator[tuple[str, list[Object]]]:
        places = [("clusterrolebindings", "")] + ([("rolebindings", namespace)] if namespace else [])
        for plural, where in places:
            for stored in self._store.all((_RBAC, plural), where):
                if any(_is(subject, user, where) for subject in stored.obj.get("subjects") or ()):
                    reference = stored.obj["roleRef"]
                    kind = "roles" if reference["kind"] == "Role" else "clusterroles"
                    role = self._store.get((_RBAC, kind), (where if kind == "roles" else "", reference["name"]))
                    if role is not None:
                        yield f'{stored.obj["kind"]} "{stored.obj["metadata"]["name"]}"', role.obj.get("rules") or []


def _is(subject: Object, user: User, namespace: str) -> bool:
    kind, name = subject["kind"], subject["name"]
    if kind == "ServiceAccount":
        return user.name == f"system:serviceaccount:{subject.get('namespace') or namespace}:{name}"
    return name in user.groups if kind == "Group" else name == user.name


def _covers(rule: Object, asked: Attributes) -> bool:
    def has(field: str, *values: str) -> bool:
        given = rule.get(field) or ()
        return "*" in given or any(value in given for value in values)

    if not has("verbs", asked.verb):
        return False
    if asked.path:
        return any(asked.path == one or one.endswith("*") and asked.path.startswith(one[:-1]) for one in rule.get("nonResourceURLs") or ())
    wanted = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    if not has("apiGroups", asked.group) or not has("resources", wanted, *([f"*/{asked.subresource}"] if asked.subresource else [])):
        return False
    return not rule.get("resourceNames") or asked.name in rule["resourceNames"]


def refusal(user: User, asked: Attributes) -> ApiError:
    """The 403, worded as RBAC words it."""
    from .errors import qualified

    if asked.path:
        return ApiError(403, "Forbidden", f'forbidden: User "{user.name}" cannot {asked.verb} path "{asked.path}"', nosniff=True)
    what = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    where = f' in the namespace "{asked.namespace}"' if asked.namespace else " at the cluster scope"
    subject = qualified(asked.resource, asked.group)
    subject += f' "{asked.name}"' if asked.name else ""
    message = f'{subject} is forbidden: User "{user.name}" cannot {asked.verb} resource "{what}" in API group "{asked.group}"{where}'
    return ApiError(403, "Forbidden", message, name=asked.name, group=asked.group, kind=asked.resource, nosniff=True)
