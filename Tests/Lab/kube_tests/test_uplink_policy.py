"""The chart's ValidatingAdmissionPolicy, its rules evaluated by the double's CEL: uplinks pass, and what would make the controller root does not."""

from __future__ import annotations

import copy
import re
import unittest
from pathlib import Path
from typing import Any, Optional

import yaml

from kube import cel, helm

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy/helm/tunnel"
GOLDEN = ROOT / "Tests/UplinkWorkloadTests/Goldens/1-one-port.yaml"
LINKS = ROOT / "Tests/UplinkWorkloadTests/Goldens/links.yaml"


def policy(values: Optional[dict[str, Any]] = None) -> dict[str, Any]:
    text = helm.render(CHART, {"crds": {"install": False}, **(values or {})})["templates/base/uplink-policy.yaml"]
    return {one["kind"]: one for one in yaml.safe_load_all(text)}


def inlined(expression: str, variables: dict[str, str]) -> str:
    for name, text in variables.items():
        expression = re.sub(rf"\bvariables\.{name}\b", f"({text})", expression)
    return re.sub(r"\bobject\b", "self", re.sub(r"\boldObject\b", "oldSelf", expression))


def refusal(spec: dict[str, Any], new: dict[str, Any], old: Optional[dict[str, Any]] = None) -> str:
    """The message of the first rule that an object breaks; empty when it breaks none."""
    variables = {one["name"]: one["expression"] for one in spec["variables"]}
    for rule in spec["validations"]:
        answer = cel._compiled(inlined(rule["expression"], variables)).eval(data={"self": new, "oldSelf": old})
        if not (answer.type().name() == "BOOL" and answer.value() is True):
            return f"{rule['message']} ({answer.value()})"
    return ""


class UplinkPolicy(unittest.TestCase):
    def setUp(self) -> None:
        self.spec = policy()["ValidatingAdmissionPolicy"]["spec"]
        objects = list(yaml.safe_load_all(GOLDEN.read_text()))
        self.set = next(one for one in objects if one and one["kind"] == "StatefulSet")

    def changed(self, place: str, value: Any) -> dict[str, Any]:
        """The StatefulSet with another value somewhere below its pods' spec."""
        new = copy.deepcopy(self.set)
        below: Any = new["spec"]["template"]["spec"]
        *path, last = place.split(".")
        for step in path:
            below = below[int(step)] if step.isdigit() else below.setdefault(step, {})
        below[last] = value
        return new

    def test_uplinks_pass(self) -> None:
        self.assertEqual(refusal(self.spec, self.set), "")
        self.assertEqual(refusal(self.spec, self.set, self.set), "")

    def test_uplinks_with_links_alone_pass(self) -> None:
        new = copy.deepcopy(self.set)
        new["spec"]["template"]["spec"] = yaml.safe_load(LINKS.read_text())
        self.assertEqual(refusal(self.spec, new), "")
        self.assertEqual(refusal(self.spec, new, self.set), "")

    def test_of_a_named_secret_a_pod_has_a_certificate_and_its_key_alone(self) -> None:
        for secret in ({"secretName": "others"}, {"secretName": "others", "items": [{"key": "token", "path": "tls.key"}]}):
            with self.subTest(secret=secret):
                new = self.changed("volumes", [{"name": "client", "secret": secret}])
                self.assertIn("a client's certificate", refusal(self.spec, new))
        new = self.changed("volumes", [{"name": "keys", "secret": {"secretName": "others", "items": [{"key": "tls.key", "path": "k"}]}}])
        self.assertIn("a client's certificate", refusal(self.spec, new))

    def test_the_environment_has_one_secret(self) -> None:
        for source, name in (
                ({"secretKeyRef": {"name": "others", "key": "token"}}, "TOKEN"), ({"secretKeyRef": {"name": "o", "key": "token"}}, "HTTPS_PROXY"),
                ({"configMapKeyRef": {"name": "o", "key": "k"}}, "HTTPS_PROXY")):
            with self.subTest(source=source, name=name):
                new = self.changed("containers.0.env", [{"name": name, "valueFrom": source}])
                self.assertIn("its proxy", refusal(self.spec, new))

    def test_what_would_reach_the_node_does_not(self) -> None:
        container = copy.deepcopy(self.set["spec"]["template"]["spec"]["containers"][0])
        for place, value in (
                ("containers.0.image", "evil.example/uplink:1"), ("containers.0.image", "ghcr.io/achetronic/tunnel/uplink-evil:1"),
                ("containers.0.command", ["sh"]), ("containers.0.lifecycle", {"postStart": {}}), ("containers.0.envFrom", []),
                ("containers", [container, container]), ("initContainers", [container]),
                ("containers.0.securityContext.privileged", True), ("containers.0.securityContext.allowPrivilegeEscalation", True),
                ("containers.0.securityContext.capabilities.add", ["SYS_ADMIN"]), ("containers.0.securityContext.capabilities.drop", []),
                ("containers.0.securityContext", {}), ("containers.0.securityContext.readOnlyRootFilesystem", False),
                ("containers.0.securityContext.procMount", "Unmasked"), ("containers.0.securityContext.seccompProfile", {"type": "Unconfined"}),
                ("securityContext", {}), ("securityContext.sysctls", [{"name": "kernel.shm_rmid_forced", "value": "1"}]),
                ("hostNetwork", True), ("hostPID", True), ("hostIPC", True), ("shareProcessNamespace", True), ("nodeName", "master"),
                ("runtimeClassName", "other"), ("priorityClassName", "system-node-critical"),
                ("automountServiceAccountToken", True), ("serviceAccountName", "admin"),
                ("volumes", [{"name": "v", "hostPath": {"path": "/"}}]), ("volumes", [{"name": "v", "secret": {"secretName": "others"}}]),
                ("volumes", [{"name": "v", "projected": {"sources": []}}])):
            with self.subTest(place=place, value=str(value)[:60]):
                self.assertNotEqual(refusal(self.spec, self.changed(place, value)), "")
        claims = copy.deepcopy(self.set)
        claims["spec"]["volumeClaimTemplates"] = [{}]
        self.assertNotEqual(refusal(self.spec, claims), "")

    def test_of_a_pod_only_the_metadata(self) -> None:
        pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": self.set["spec"]["template"]["spec"]}
        touched = copy.deepcopy(pod)
        touched["metadata"]["annotations"] = {"a": "b"}
        self.assertEqual(refusal(self.spec, touched, pod), "")
        other = copy.deepcopy(pod)
        other["spec"]["containers"][0]["image"] = "evil.example/x"
        self.assertNotEqual(refusal(self.spec, other, pod), "")
        self.assertNotEqual(refusal(self.spec, pod), "", "it makes no pods")

    def test_whom_and_where(self) -> None:
        made = policy({"uplinks": {"namespaces": ["a", "b"]}, "serviceAccount": {"name": "runner"}})
        spec, binding = made["ValidatingAdmissionPolicy"]["spec"], made["ValidatingAdmissionPolicyBinding"]["spec"]
        self.assertIn('"system:serviceaccount:tunnel:runner"', spec["matchConditions"][0]["expression"])
        self.assertEqual(binding["matchResources"]["namespaceSelector"]["matchExpressions"][0]["values"], ["a", "b"])
        self.assertEqual(binding["validationActions"], ["Deny"])
        self.assertEqual(policy({"uplinks": {"admissionPolicy": False}}), {})

    def test_no_device_where_none_is_needed(self) -> None:
        spec = policy({"flags": {"uplinkMknod": False}})["ValidatingAdmissionPolicy"]["spec"]
        self.assertNotEqual(refusal(spec, self.set), "")
        self.assertEqual(refusal(spec, self.changed("containers.0.securityContext.capabilities.add", ["NET_ADMIN"])), "")
