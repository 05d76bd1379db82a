"""TokenReview, SubjectAccessReview and tokens of service accounts: asked, answered, never stored."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from . import decoding, managers, objects
from .errors import not_found
from .jsons import Json, Object
from .managers import Manager
from .objects import Options
from .resources import Resource
from .store import Store
from .types import document
from .users import Attributes, Authorizer, Tokens, User, service_account


def review(resource: Resource, given: Json, options: Options, tokens: Tokens, authorizer: Authorizer, asker: User) -> Object:
    obj = objects.decode(resource, given, options)
    owned = managers.updated(resource.type, decoding.zero(resource.type), obj, {},
                             Manager(options.manager, "Update", resource.group_version), (("f:status",),))
    obj["metadata"]["managedFields"] = managers.write(owned)
    spec = obj["spec"]
    if resource.kind == "TokenReview":
        user = tokens.user(spec.get("token", ""))
        if user is None:
            obj["status"] = {"user": {}, "error": "invalid bearer token"}
        else:
            shown: Object = {"username": user.name}
            shown.update({"uid": user.uid} if user.uid else {})
            obj["status"] = {"authenticated": True, "user": {**shown, "groups": list(user.groups)}}
    else:
        asked = spec.get("resourceAttributes") or {}
        path = spec.get("nonResourceAttributes") or {}
        attributes = Attributes(path.get("verb", ""), path=path.get("path", "")) if path else Attributes(
            asked.get("verb", ""), asked.get("group", ""), asked.get("resource", ""), asked.get("subresource", ""), asked.get("namespace", ""),
            asked.get("name", ""))
        about = asker if resource.kind.startswith("Self") else User(spec.get("user", ""), tuple(spec.get("groups") or ()))
        reason = authorizer.allows(about, attributes)
        obj["status"] = {"allowed": bool(reason)} | ({"reason": reason} if reason.startswith("RBAC") else {})
    return obj


def token_request(store: Store, namespace: str, name: str, given: Json, tokens: Tokens) -> Object:
    account = store.get(("", "serviceaccounts"), (namespace, name))
    if account is None:
        raise not_found("serviceaccounts", "", name)
    obj = decoding.decode(document("TokenRequest"), given or {}, "TokenRequest", "v1", [])
    seconds = obj["spec"].get("expirationSeconds") or 3600
    until = datetime.now(timezone.utc) + timedelta(seconds=seconds)
    token = tokens.add(service_account(namespace, name, account.obj["metadata"]["uid"]), seconds=seconds)
    return {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": {"name": name, "namespace": namespace},
            "spec": obj["spec"], "status": {"token": token, "expirationTimestamp": until.strftime("%Y-%m-%dT%H:%M:%SZ")}}
