"""From a request to an answer: routing, authentication, authorization, faults, verbs."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any, Optional

import yaml

from . import discovery, errors, faults, lists, objects, openapi, protobuf, reviews, tables
from .errors import ApiError, bad_request
from .http import Request, Response
from .deletion import DeleteOptions, delete
from .jsons import Json, Object, encode
from .lifecycle import Lifecycle
from .lists import Selection
from .objects import Encoder, Options
from .resources import Registry, Resource
from .routes import Place, named, options_of, patch_kind, verb_of
from .scales import Scales
from .store import Store, Stored
from .users import ADMIN, ANONYMOUS, Attributes, Authorizer, Tokens, User, from_certificate, refusal, service_account, unauthorized
from .verbs import Verbs, Written
from .watches import Hub, Watch

_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


class App:
    """One API server. `insecure` names who a request without credentials is on a port without TLS."""

    def __init__(self, state: Optional[Path], loop: asyncio.AbstractEventLoop, insecure: User = ADMIN):
        self.store = Store(state)
        self.registry = Registry()
        self.tokens = Tokens()
        self.faults = faults.Faults()
        self.encoder = Encoder()
        self.authorizer = Authorizer(self.store)
        self.hub = Hub(self.store, self.encoder, self.faults)
        self.verbs = Verbs(self.store, self.registry)
        self.lifecycle = Lifecycle(self.store, self.registry, self.verbs, loop)
        self.verbs.on_write = self._wrote
        self.scales = Scales(self.verbs)
        self.version = discovery.VERSION
        self._insecure = insecure
        self._tokens_file = state.with_suffix(".tokens") if state else None
        if self._tokens_file and self._tokens_file.exists():
            self.tokens.load(self._tokens_file.read_text())
        self._begin()

    def _begin(self) -> None:
        for name in _NAMESPACES:
            if self.store.get(("", "namespaces"), ("", name)) is None:
                self.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def make(self, obj: Object) -> Written:
        """Creates an object as if the server had done it by itself."""
        resource = self.registry.of_kind(obj["apiVersion"], obj["kind"])
        if resource is None:
            raise bad_request(f"no kind {obj['kind']} in {obj['apiVersion']}")
        return self.verbs.create(resource, obj["metadata"].get("namespace", ""), obj, Options(manager="kube-apiserver"))

    def save(self) -> None:
        self.store.save()
        if self._tokens_file:
            self._tokens_file.touch(mode=0o600)
            self._tokens_file.write_text(self.tokens.saved())

    def _wrote(self, resource: Resource, written: Written) -> None:
        if resource.kind == "CustomResourceDefinition" and isinstance(written, Stored):
            self.lifecycle.established(written)
        if resource.kind == "Namespace" and isinstance(written, Stored):
            name = written.place[1]
            if not written.obj["metadata"].get("deletionTimestamp") and self.store.get(("", "serviceaccounts"), (name, "default")) is None:
                self.make({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}})

    async def handle(self, request: Request) -> Response:
        seen = faults.Seen("", "", "", "", "", request.method, request.target, time=time.time(), agent=request.headers.get("user-agent", ""))
        try:
            response = await self._handle(request, seen)
        except ApiError as error:
            response = Response(error.code, objects.refused(error))
            if error.nosniff:
                response.headers["X-Content-Type-Options"] = "nosniff"
            if error.retry_after:
                response.headers["Retry-After"] = str(error.retry_after)
        seen.code = response.code
        self.faults.saw(seen)
        return response

    def _user(self, request: Request) -> User:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            user = self.tokens.user(token.strip())
            if user is None:
                raise unauthorized()
        else:
            user = from_certificate(request.certificate) or (ANONYMOUS if request.secure else self._insecure)
        wanted = request.headers.get("impersonate-user")
        if wanted and user.almighty:
            user = User(wanted, ("system:authenticated",))
            if wanted.startswith("system:serviceaccount:"):
                user = service_account(*wanted.split(":")[2:4])
        return user

    async def _handle(self, request: Request, seen: faults.Seen) -> Response:
        user = self._user(request)
        seen.user = user.name
        parts = [part for part in request.path.split("/") if part]
        place = Place.of(parts)
        if place is None:
            seen.verb, seen.resource = request.method.lower(), request.path
            await self._fault(request, seen, "", "")
            asked = Attributes(request.method.lower(), path=request.path)
            if not self.authorizer.allows(user, asked):
                raise refusal(user, asked)
            return self._other(request, parts)
        resource = self.registry.find(place.group, place.version, place.plural)
        verb = verb_of(request, place)
        seen.verb, seen.resource, seen.namespace, seen.name = verb, place.full, place.namespace, place.name
        asked = Attributes(verb, place.group, place.plural, place.sub, place.namespace, place.name or named(request))
        fault = await self._fault(request, seen, place.plural, place.group)
        if not self.authorizer.allows(user, asked):
            raise refusal(user, asked)
        if resource is None or place.namespace and not resource.namespaced and place.plural != "namespaces":
            return _no_page()
        response = await self._resource(request, resource, place, verb, user)
        if fault is not None and fault.after:
            return Response(500, hang_up=True)
        return response

    async def _fault(self, request: Request, seen: faults.Seen, plural: str, group: str) -> Optional[faults.Answer]:
        answer = self.faults.answer_for(seen.verb, seen.resource, seen.name, seen.user)
        if answer is None:
            return None
        if answer.seconds:
            await asyncio.sleep(answer.seconds)
        if answer.code and not answer.after:
            raise faults.error(answer, plural, group, seen.name)
        return answer

    # What is no resource

    def _other(self, request: Request, parts: list[str]) -> Response:
        accept = request.headers.get("accept", "")
        if parts[:1] in (["healthz"], ["livez"], ["readyz"]):
            return Response(200, b"ok", "text/plain; charset=utf-8", {"X-Content-Type-Options": "nosniff"})
        if parts == ["version"]:
            return Response(200, json.dumps(self.version, indent=2).encode())
        if parts[:2] == ["openapi", "v3"]:
            return openapi.answer(self.registry, parts[2:])
        wide = "as=APIGroupDiscoveryList" in accept
        answer: Optional[Object] = None
        if parts == ["api"] or parts == ["apis"]:
            if wide:
                return Response(200, encode(discovery.aggregated(self.registry, parts == ["api"])) + b"\n", discovery.AGGREGATED)
            answer = discovery.core_versions(request.headers.get("host", "")) if parts == ["api"] else discovery.groups(self.registry)
        elif parts[:1] == ["api"] and len(parts) == 2:
            answer = discovery.resource_list(self.registry, "", parts[1])
        elif parts[:1] == ["apis"] and len(parts) == 2:
            answer = discovery.group(self.registry, parts[1])
        elif parts[:1] == ["apis"] and len(parts) == 3:
            answer = discovery.resource_list(self.registry, parts[1], parts[2])
        return _no_page() if answer is None else Response(200, encode(answer) + b"\n")

    # Resources

    async def _resource(self, request: Request, resource: Resource, place: Place, verb: str, user: User) -> Response:
        query = request.query
        if verb in ("watch", "list"):
            lists.check(query, verb == "watch")
        if verb == "watch":
            return self._watch(request, resource, place)
        if verb == "list":
            return self._list(request, resource, place)
        options = options_of(request)
        if place.sub == "scale" and resource.scale:
            answer = self.scales.answer(resource, place.namespace, place.name, request.method, self._body(request), patch_kind(request), options)
            return Response(200, encode(answer) + b"\n", warnings=options.warnings)
        if place.sub == "token" and resource.key == ("", "serviceaccounts") and verb == "create":
            answer = reviews.token_request(self.store, place.namespace, place.name, self._body(request), self.tokens)
            return Response(201, encode(answer) + b"\n")
        if place.sub and not (place.sub == "status" and resource.status):
            return _no_page()
        if verb == "get":
            stored = self.verbs.stored(resource, place.namespace, place.name)
            if tables.wanted(request):
                return Response(200, encode(tables.table(resource, [stored], self.encoder, {}, query)) + b"\n")
            return Response(200, self.encoder.body(resource, stored) + b"\n")
        if verb == "create":
            return self._create(request, resource, place, options, user)
        if verb == "update":
            written, made = self.verbs.replace(resource, place.namespace, place.name, self._checked(resource, request), options, place.sub)
            return self._wrote_answer(resource, written, made, options)
        if verb == "patch":
            return self._patch(request, resource, place, options)
        if verb == "delete":
            return self._delete(request, resource, place)
        if verb == "deletecollection":
            chosen = lists.selection(resource, place.namespace, query)
            found = [one for one in self.store.all(resource.key, place.namespace) if chosen.matches(one.obj)]
            for stored in found:
                delete(self.verbs, resource, *stored.place, DeleteOptions())
            head = {"resourceVersion": str(self.store.version)}
            return Response(200, self._list_body(resource, found, head))
        return _no_page()

    def _create(self, request: Request, resource: Resource, place: Place, options: Options, user: User) -> Response:
        given = self._checked(resource, request)
        if resource.verbs == ("create",):
            answer = reviews.review(resource, given, options, self.tokens, self.authorizer, user)
            return Response(201, objects.whole(resource, answer) + b"\n", warnings=options.warnings)
        written = self.verbs.create(resource, place.namespace, given, options)
        return self._wrote_answer(resource, written, True, options)

    def _patch(self, request: Request, resource: Resource, place: Place, options: Options) -> Response:
        kind = patch_kind(request)
        if not kind or kind == "strategic" and resource.custom:
            accepted = ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"]
            if not resource.custom:
                accepted.insert(2, "application/strategic-merge-patch+json")
            raise ApiError(415, "UnsupportedMediaType", "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted))
        if kind == "apply":
            if not request.query.get("fieldManager"):
                raise errors.invalid("PatchOptions", "meta.k8s.io", "", [errors.required("fieldManager", "is required for apply patch")])
            config = self._yaml(request)
            written, made = self.verbs.apply(resource, place.namespace, place.name, config, options, place.sub)
            return self._wrote_answer(resource, written, made, options)
        patch = self._body(request)
        written = self.verbs.patch(resource, place.namespace, place.name, kind, patch, options, place.sub)
        return self._wrote_answer(resource, written, False, options)

    def _delete(self, request: Request, resource: Resource, place: Place) -> Response:
        body = self._body(request) if request.body else {}
        conditions = body.get("preconditions") or {}
        grace = body.get("gracePeriodSeconds", request.query.get("gracePeriodSeconds"))
        options = DeleteOptions(conditions.get("uid", ""), conditions.get("resourceVersion", ""), None if grace is None else int(grace),
                                body.get("propagationPolicy") or request.query.get("propagationPolicy", ""),
                                "All" in (body.get("dryRun") or []) or request.query.get("dryRun") == "All")
        written, gone = delete(self.verbs, resource, place.namespace, place.name, options)
        if not gone or resource.key == ("", "pods"):
            return self._wrote_answer(resource, written, False, Options())
        assert isinstance(written, Stored)
        details: Object = {"name": place.name, "kind": resource.plural, "uid": written.obj["metadata"]["uid"]}
        if resource.group:
            details = {"name": place.name, "group": resource.group, "kind": resource.plural, "uid": written.obj["metadata"]["uid"]}
        return Response(200, encode({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}) + b"\n")

    def _wrote_answer(self, resource: Resource, written: Written, made: bool, options: Options) -> Response:
        body = self.encoder.body(resource, written) if isinstance(written, Stored) else objects.whole(resource, written)
        return Response(201 if made else 200, body + b"\n", warnings=options.warnings)

    def _body(self, request: Request) -> Any:
        if request.headers.get("content-type", "").startswith(protobuf.TYPE) and request.body:
            return protobuf.decode(request.body)
        try:
            return json.loads(request.body or b"{}")
        except ValueError as error:
            raise bad_request(f"couldn't get version/kind; json parse error: {error}") from None

    def _checked(self, resource: Resource, request: Request) -> Json:
        kind = request.headers.get("content-type", "application/json").partition(";")[0].strip()
        if kind in ("application/yaml", "application/x-yaml"):
            return self._yaml(request)
        if kind not in ("application/json", "", protobuf.TYPE):
            raise ApiError(415, "UnsupportedMediaType", "the body of the request was in an unknown format - accepted media types include: "
                           "application/json, application/yaml")
        return self._body(request)

    def _yaml(self, request: Request) -> Json:
        try:
            return json.loads(request.body)
        except ValueError:
            pass
        try:
            return yaml.safe_load(request.body)
        except yaml.YAMLError as error:
            raise bad_request(f"error decoding YAML: {error}") from None

    def _list(self, request: Request, resource: Resource, place: Place) -> Response:
        chosen = self._chosen(request, resource, place)
        page = lists.page(self.store, resource, chosen, request.query)
        head: Object = {"resourceVersion": str(page.version)}
        if page.next:
            head["continue"] = page.next
        if page.remaining is not None:
            head["remainingItemCount"] = page.remaining
        if tables.wanted(request):
            return Response(200, encode(tables.table(resource, page.items, self.encoder, head, request.query)) + b"\n")
        return Response(200, self._list_body(resource, page.items, head))

    def _list_body(self, resource: Resource, items: list[Stored], head: Object) -> bytes:
        body = b",".join([self.encoder.item(resource, one) for one in items])
        if resource.custom:
            head = {"continue": "", **head}
            return b'{"apiVersion":' + encode(resource.group_version) + b',"items":[' + body + b'],"kind":' + encode(resource.list) + \
                b',"metadata":' + encode(head, sort=True) + b"}\n"
        return b'{"kind":' + encode(resource.list) + b',"apiVersion":' + encode(resource.group_version) + b',"metadata":' + encode(head) + \
            b',"items":[' + body + b"]}\n"

    def _chosen(self, request: Request, resource: Resource, place: Place) -> Selection:
        query = dict(request.query)
        if place.name:
            query["fieldSelector"] = f"metadata.name={place.name}"
        return lists.selection(resource, place.namespace, query)

    def _watch(self, request: Request, resource: Resource, place: Place) -> Response:
        chosen = self._chosen(request, resource, place)
        line = tables.line(resource, self.encoder, request.query) if tables.wanted(request) else self.hub.line(resource)
        watch = Watch(self.hub, resource, chosen, request.query, line)
        watch.start()
        return Response(200, stream=watch.lines(), done=lambda: self.hub.remove(watch))


def _no_page() -> Response:
    return Response(404, b"404 page not found\n", "text/plain; charset=utf-8", {"X-Content-Type-Options": "nosniff"})
