"""The small EdgeNode definition behind the recorded exchanges, and a double to use it on."""

from __future__ import annotations

import shutil
import tempfile
import unittest
from pathlib import Path
from typing import Any, ClassVar, Optional

from kube.double import ApiServer, ask

GROUP = "tunnel.achetronic.com"
NODES = f"/apis/{GROUP}/v1alpha1/namespaces/rec/edgenodes"
_CONDITION = {"type": "object", "required": ["type", "status"], "properties": {
    name: {"type": "string"} for name in ("type", "status", "reason", "message", "lastTransitionTime")}}

DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"edgenodes.{GROUP}"},
    "spec": {"group": GROUP, "scope": "Namespaced", "names": {"plural": "edgenodes", "singular": "edgenode", "kind": "EdgeNode", "listKind": "EdgeNodeList"},
             "versions": [{"name": "v1alpha1", "served": True, "storage": True, "subresources": {"status": {}},
                           "additionalPrinterColumns": [{"name": "Address", "type": "string", "jsonPath": ".spec.address"}],
                           "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                               "spec": {"type": "object", "required": ["address"],
                                        "x-kubernetes-validations": [{"rule": "self.address != 'bad'", "message": "address must not be bad"}],
                                        "properties": {
                                            "address": {"type": "string", "minLength": 1, "maxLength": 64},
                                            "port": {"type": "integer", "minimum": 1, "maximum": 65535, "default": 22},
                                            "mode": {"type": "string", "enum": ["a", "b"]},
                                            "fixed": {"type": "string", "x-kubernetes-validations": [
                                                {"rule": "self == oldSelf", "message": "fixed is immutable"}]},
                                            "items": {"type": "array", "maxItems": 3, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                                                      "items": {"type": "object", "required": ["name"], "properties": {
                                                          "name": {"type": "string"}, "value": {"type": "string"}}}}}},
                               "status": {"type": "object", "properties": {
                                   "observedGeneration": {"type": "integer", "format": "int64"},
                                   "conditions": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"], "items": _CONDITION},
                               }}}}}}]}}


class WithServer(unittest.TestCase):
    """One double for all tests of a class, with namespace `rec` and, unless `definition` is None, the stand-in."""

    definition: ClassVar[Optional[dict[str, Any]]] = DEFINITION
    server: ClassVar[ApiServer]
    folder: ClassVar[Path]

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(tempfile.mkdtemp(prefix="kube-double-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.server = ApiServer(cls.folder)
        cls.addClassCleanup(cls.server.stop)
        cls.server.start()
        cls.made("/api/v1/namespaces", {"metadata": {"name": "rec"}})
        if cls.definition:
            cls.made("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", cls.definition)

    @classmethod
    def made(cls, path: str, obj: dict[str, Any]) -> dict[str, Any]:
        code, answer = ask(cls.server, "POST", path, obj)
        if code != 201:
            raise AssertionError(f"POST {path}: {code} {answer}")
        return answer

    def asked(self, method: str, path: str, body: Any = None, *, code: int = 200, **rest: Any) -> Any:
        """The decoded answer, which must come with the code."""
        got, answer = ask(self.server, method, path, body, **rest)
        self.assertEqual(got, code, answer)
        return answer

    def applied(self, path: str, obj: dict[str, Any], *, manager: str = "tidegate", force: bool = False, code: int = 200) -> Any:
        query = f"?fieldManager={manager}" + ("&force=true" if force else "")
        return self.asked("PATCH", path + query, obj, type="application/apply-patch+yaml", code=code)

    def node(self, name: str, **spec: Any) -> dict[str, Any]:
        """A new EdgeNode, made."""
        return self.made(NODES, edge_node(name, **spec))


def edge_node(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1alpha1", "kind": "EdgeNode", "metadata": {"name": name}, "spec": {"address": "203.0.113.10", **spec}}
