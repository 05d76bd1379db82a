"""The chart's ValidatingAdmissionPolicy for gateways: they pass, and what would make the controller root does not."""

from __future__ import annotations

import copy
import unittest
from typing import Any

import yaml

from kube import helm

from kube_tests.test_uplink_policy import CHART, ROOT, refusal

_GOLDENS = ROOT / "Tests/RemoteWorkloadTests/Goldens"


class GatewayPolicy(unittest.TestCase):
    golden = "deployment.json"
    values: dict[str, Any] = {}

    def setUp(self) -> None:
        values = {"crds": {"install": False}, "remoteServices": {"namespaces": ["batch"], **self.values}}
        documents = list(yaml.safe_load_all(helm.render(CHART, values)["templates/remote-services/policy.yaml"]))
        self.spec = next(one for one in documents if one["kind"] == "ValidatingAdmissionPolicy")["spec"]
        self.binding = next(one for one in documents if one["kind"].endswith("Binding"))["spec"]
        self.deployment = yaml.safe_load((_GOLDENS / self.golden).read_text())

    def changed(self, place: str, value: Any) -> dict[str, Any]:
        new = copy.deepcopy(self.deployment)
        below: Any = new["spec"]["template"]["spec"]
        *path, last = place.split(".")
        for step in path:
            below = below[int(step)] if step.isdigit() else below.setdefault(step, {})
        below[last] = value
        return new

    def test_gateways_pass(self) -> None:
        self.assertEqual(refusal(self.spec, self.deployment), "")
        self.assertEqual(self.binding["matchResources"]["namespaceSelector"]["matchExpressions"][0]["values"], ["batch"])

    def test_nothing_else_does(self) -> None:
        container = self.deployment["spec"]["template"]["spec"]["containers"][0]
        for place, value in (
            ("containers.0.image", "evil"), ("containers.0.args", ["run"]), ("containers.0.command", ["sh"]), ("containers.0.name", "x"),
            ("containers.0.securityContext.privileged", True), ("containers.0.securityContext.runAsUser", 0),
            ("containers.0.securityContext.capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
            ("containers.0.securityContext.allowPrivilegeEscalation", True), ("containers.0.securityContext.readOnlyRootFilesystem", False),
            ("containers.0.env", [{"name": "x", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]),
            ("containers.0.envFrom", [{"secretRef": {"name": "a"}}]), ("containers", [container, {**container, "name": "y"}]),
            ("initContainers", [container]), ("hostNetwork", True), ("hostPID", True), ("nodeName", "n"), ("serviceAccountName", "admin"),
            ("automountServiceAccountToken", True), ("volumes", [{"name": "h", "hostPath": {"path": "/"}}]),
            ("volumes", [{"name": "gateway", "secret": {"secretName": "other"}}]), ("volumes", [{"name": "other", "emptyDir": {}}]),
            ("securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}]), ("securityContext.seccompProfile", {"type": "Unconfined"}),
        ):
            with self.subTest(place=place, value=value):
                self.assertNotEqual(refusal(self.spec, self.changed(place, value)), "")

    def test_a_mesh_is_allowed_where_the_chart_says_so(self) -> None:
        mesh = yaml.safe_load((_GOLDENS / "deployment-mesh.json").read_text())
        refused = refusal(self.spec, mesh)
        self.assertEqual(refused == "", bool(self.values))
        if not self.values:
            self.assertIn("remoteServices.mesh", refused)
            for place, value in (("containers.0.securityContext.capabilities", {"drop": ["ALL"], "add": ["NET_ADMIN"]}),
                                 ("securityContext.runAsNonRoot", False)):
                self.assertNotEqual(refusal(self.spec, self.changed(place, value)), "")

    def test_of_pods_the_metadata_alone(self) -> None:
        pod = {"kind": "Pod", "metadata": {"name": "job-gateway-x"}, "spec": {"containers": []}}
        self.assertEqual(refusal(self.spec, {**pod, "metadata": {"name": "job-gateway-x", "annotations": {"a": "b"}}}, pod), "")
        self.assertNotEqual(refusal(self.spec, {**pod, "spec": {"containers": [{"image": "evil"}]}}, pod), "")
        self.assertNotEqual(refusal(self.spec, pod), "")


class MeshPolicy(GatewayPolicy):
    """The same rules where a mesh is allowed."""

    golden = "deployment-mesh.json"
    values = {"mesh": True}


if __name__ == "__main__":
    unittest.main()
