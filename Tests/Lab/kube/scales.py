"""The scale subresource of StatefulSets and Deployments."""

from __future__ import annotations

from . import decoding, objects, patches
from .errors import bad_request
from .jsons import Json, Object, at, clone
from .objects import Options
from .resources import Resource
from .store import Stored
from .types import document
from .verbs import Verbs


class Scales:
    def __init__(self, verbs: Verbs):
        self._verbs = verbs

    def answer(self, resource: Resource, namespace: str, name: str, method: str, body: Json, kind: str, options: Options) -> Object:
        stored = self._verbs.stored(resource, namespace, name)
        scale = _scale(stored)
        if method == "GET":
            return scale
        wanted = body
        if method == "PATCH":
            wanted = patches.json_patch(scale, body) if kind == "json" else patches.merge(scale, body)
        elif method != "PUT":
            raise bad_request("the scale is read, updated or patched")
        wanted = decoding.decode(document("Scale"), wanted, "Scale", "v1", [])
        obj = clone(objects.wire_form(resource, stored))
        obj["spec"]["replicas"] = wanted["spec"].get("replicas", 0)
        version = wanted["metadata"].get("resourceVersion")
        obj["metadata"]["resourceVersion"] = version or stored.obj["metadata"]["resourceVersion"]
        written = self._verbs.replace(resource, namespace, name, obj, options)[0]
        return _scale(written) if isinstance(written, Stored) else scale


def _scale(stored: Stored) -> Object:
    obj = stored.obj
    meta = {key: obj["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")}
    labels = at(obj, "spec", "selector", "matchLabels") or {}
    spec = {"replicas": obj["spec"]["replicas"]} if at(obj, "spec", "replicas") else {}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta, "spec": spec,
            "status": {"replicas": at(obj, "status", "replicas") or 0, "selector": ",".join(f"{key}={value}" for key, value in sorted(labels.items()))}}
