"""The definitions in crds/, on the double of the API server: what it refuses and why, what kubectl shows."""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
import unittest
from pathlib import Path
from typing import Any, ClassVar, Iterator

import yaml

from kube.double import ApiServer, ask
from lab.commands import CommandFailed

ROOT = Path(__file__).resolve().parents[3]
API = "/apis/tunnel.achetronic.com/v1alpha1"
PLURALS = {"EdgeNode": "edgenodes", "PortBinding": "portbindings", "RemoteService": "remoteservices"}
Object = dict[str, Any]


def with_value(obj: Any, path: list[str], value: Any) -> None:
    """Sets a value at a path of names and indices; what is missing on the way is made."""
    for step in path[:-1]:
        obj = obj[int(step)] if isinstance(obj, list) else obj.setdefault(step, {})
    if isinstance(obj, list):
        obj[int(path[-1])] = value
    else:
        obj[path[-1]] = value


def corpus(plural: str) -> Iterator[tuple[Object, Object]]:
    """The cases of a corpus, each with its object."""
    file = yaml.safe_load((ROOT / "Tests/CRDTests/Corpus" / f"{plural}.yaml").read_text())
    for case in file["cases"]:
        obj = copy.deepcopy(file["base"])
        for path, value in case["set"].items():
            with_value(obj, path.split("."), copy.deepcopy(value))
        yield case, obj


def objects(path: Path) -> Iterator[Object]:
    """The EdgeNodes and PortBindings of a file, those in lists too."""
    for document in yaml.safe_load_all(path.read_text()):
        for one in (document or {}).get("items", [document]) if isinstance(document, dict) else []:
            if isinstance(one, dict) and one.get("kind") in PLURALS:
                yield one


class Definitions(unittest.TestCase):
    server: ClassVar[ApiServer]

    @classmethod
    def setUpClass(cls) -> None:
        folder = Path(tempfile.mkdtemp(prefix="kube-crds-"))
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        cls.server = ApiServer(folder)
        cls.addClassCleanup(cls.server.stop)
        cls.server.start()
        cls.server.kubectl("apply", "-f", str(ROOT / "crds"))

    def judged(self, obj: Object) -> tuple[int, Any]:
        """What the server says of an object as kubectl sends it, without keeping it."""
        namespace = obj["metadata"].get("namespace", "default")
        path = f"{API}/namespaces/{namespace}/{PLURALS[obj['kind']]}?dryRun=All&fieldValidation=Strict&fieldManager=test"
        return ask(self.server, "POST", path, obj)

    def test_corpus(self) -> None:
        for plural in PLURALS.values():
            for case, obj in corpus(plural):
                with self.subTest(plural, case=case["case"]):
                    code, answer = self.judged(obj)
                    if "refused" not in case:
                        self.assertEqual(code, 201, answer)
                        continue
                    self.assertIn(code, (400, 422), answer)
                    if code == 400:
                        self.assertIn(f'"{case["refused"]}"', answer["message"])
                        self.assertIn(case["says"], answer["message"])
                        continue
                    causes = [(one["field"], one["message"]) for one in answer["details"]["causes"]]
                    field = case["refused"] or "<nil>"
                    self.assertTrue(any(said == field and case["says"] in message for said, message in causes), causes)

    def test_what_swift_reads_elsewhere(self) -> None:
        count = 0
        places = ("deploy/samples/*.yaml", "Tests/EdgeAPITests/Corpus/*.json", "Tests/ManifestStoreTests/Corpus/*.yaml")
        for path in sorted(one for place in places for one in ROOT.glob(place)):
            if path.name == "syntax.yaml":
                continue  # YAML's corners, no manifests
            for obj in objects(path):
                with self.subTest(path.name, kind=obj["kind"]):
                    obj["metadata"].pop("creationTimestamp", None)
                    code, answer = self.judged(obj)
                    self.assertEqual(code, 201, answer)
                    count += 1
        self.assertGreaterEqual(count, 8)

    def test_examples_with_kubectl(self) -> None:
        for name in ("1-one-port", "2-tcp-and-udp", "3-tls", "4-high-availability"):
            self.server.kubectl("apply", "-f", str(ROOT / "deploy/samples" / f"{name}.yaml"))
        nodes = self.server.kubectl("get", "en,pb", "-A").splitlines()
        self.assertEqual(nodes[0].split(), ["NAMESPACE", "NAME", "READY", "REASON", "ADDRESS", "UPLINKS", "BINDINGS", "AGE"])
        self.assertEqual(nodes[1].split()[:3], ["default", "edgenode.tunnel.achetronic.com/edge-node", "203.0.113.10"])
        self.assertIn("EDGENODE", self.server.kubectl("get", "tidegate", "-A"))
        self.assertIn("WIREGUARD", self.server.kubectl("get", "en", "-A", "-o", "wide").splitlines()[0])
        self.server.kubectl("delete", "en,pb", "--all", "-n", "default", "--wait=false")

    def test_status_as_the_controller_writes_it(self) -> None:
        node = {"apiVersion": "tunnel.achetronic.com/v1alpha1", "kind": "EdgeNode", "metadata": {"name": "told"},
                "spec": {"address": "203.0.113.10", "ssh": {"secretRef": {"name": "vps"}}}}
        path = f"{API}/namespaces/default/edgenodes"
        code, made = ask(self.server, "POST", path, node)
        self.assertEqual(code, 201, made)
        condition = {"type": "Ready", "status": "True", "reason": "Ready", "message": "3 bindings through 1 uplink", "observedGeneration": 1,
                     "lastTransitionTime": "2026-01-02T03:04:05Z"}
        status = {"apiVersion": node["apiVersion"], "kind": "EdgeNode", "metadata": {"name": "told"}, "status": {
            "conditions": [condition], "observedGeneration": 1, "wireGuardKind": "kernel", "envoyVersion": "1.40.0", "appliedBindings": 3, "readyUplinks": "1/1",
            "uplinks": [{"name": "told-uplink-0", "tunnelIP": "10.200.0.2", "publicKey": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
                         "ready": True, "lastHandshake": "2026-01-02T03:04:05Z"}]}}
        code, answer = ask(self.server, "PATCH", f"{path}/told/status?fieldManager=tidegate&force=true", status, type="application/apply-patch+yaml")
        self.assertEqual(code, 200, answer)
        self.assertEqual(answer["status"], status["status"])
        self.assertEqual(answer["metadata"]["generation"], 1)
        row = self.server.kubectl("get", "en", "told", "-o", "wide").splitlines()[1].split()
        self.assertEqual([row[1], row[2], row[3], row[4], row[5]], ["True", "Ready", "203.0.113.10", "1/1", "3"])
        ask(self.server, "DELETE", f"{path}/told")

    def test_defaults_reach_every_level(self) -> None:
        file = next(objects(ROOT / "deploy/samples/4-high-availability.yaml"))
        least = next(objects(ROOT / "deploy/samples/1-one-port.yaml"))
        code, filled = self.judged(least)
        self.assertEqual(code, 201, filled)
        spec = filled["spec"]
        for part in ("edge", "tunnel"):
            for name, value in file["spec"][part].items():
                self.assertEqual(spec[part][name], value, f"{part}.{name}")
        self.assertEqual(spec["uplink"], {"namespace": "tunnel", "replicas": 1})
        self.assertEqual(spec["host"], {"kernelMaxSocketBufferBytes": 26214400, "disableNicOffloads": False})

    def test_uplink_namespace_is_immutable(self) -> None:
        path = f"{API}/namespaces/default/edgenodes"
        node = {"apiVersion": "tunnel.achetronic.com/v1alpha1", "kind": "EdgeNode", "metadata": {"name": "fixed"},
                "spec": {"address": "203.0.113.10", "ssh": {"secretRef": {"name": "vps"}}, "uplink": {"namespace": "elsewhere"}}}
        code, answer = ask(self.server, "POST", path, node)
        self.assertEqual(code, 201, answer)
        for value in ("tunnel", None):  # None takes it away, and the default would move it
            with self.subTest(value=value):
                code, answer = ask(self.server, "PATCH", f"{path}/fixed", {"spec": {"uplink": {"namespace": value}}}, type="application/merge-patch+json")
                self.assertEqual(code, 422, answer)
                self.assertEqual(answer["details"]["causes"][0]["field"], "spec.uplink.namespace")
                self.assertIn("is immutable", answer["message"])
        code, answer = ask(self.server, "PATCH", f"{path}/fixed", {"spec": {"uplink": {"replicas": 3}}}, type="application/merge-patch+json")
        self.assertEqual(code, 200, answer)
        ask(self.server, "DELETE", f"{path}/fixed")

    def test_kubectl_names_field_and_rule(self) -> None:
        bad = next(objects(ROOT / "deploy/samples/3-tls.yaml"))
        del bad["spec"]["bindings"][1]["tls"]["secretRef"]
        bad["spec"]["bindings"][2]["protocol"] = "UDP"
        with self.assertRaises(CommandFailed) as refused:
            self.server.kubectl("apply", "-f", "-", input=json.dumps(bad))
        said = refused.exception.output
        self.assertIn("spec.bindings[1].tls.secretRef: Required value: is required for the modes offload and mutual", said)
        self.assertIn("spec.bindings[2].tls: Forbidden: is for TCP only", said)

    def test_explain_reads_well(self) -> None:
        said = " ".join(self.server.kubectl("explain", "edgenode.spec.tunnel").split())
        self.assertIn("What is between the VPS and the uplinks: a network of WireGuard, links, or both.", said)
        for name in ("listenPort <integer>", "mtu <integer>", "network <string>", "persistentKeepalive <integer>"):
            self.assertIn(name, said)
        self.assertIn("enum: passthrough, offload, mutual", " ".join(self.server.kubectl("explain", "pb.spec.bindings.tls").split()))
        self.assertIn("podAntiAffinity", self.server.kubectl("explain", "en.spec.uplink.affinity"))
