"""The chart's releases on the double, by Helm's own engine: install, upgrade, adopt, uninstall."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import textwrap
import unittest
from pathlib import Path
from typing import Any, Optional

import yaml

from kube import helm
from kube.double import ApiServer
from kube_tests.test_deploy import MUST, MUST_NOT, WHOLE_CLUSTER, Rights

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy/helm/tunnel"
README = (CHART / "README.md").read_text()
# As deploy/kubernetes has it: the controller in a namespace of its own, the Lease where former releases had it.
SEPARATE: dict[str, Any] = {"uplinks": {"createNamespaces": True}, "flags": {"leaderElectNamespace": "tunnel"}}
EDGE_NODE = """
apiVersion: tunnel.achetronic.com/v1alpha1
kind: EdgeNode
metadata: {name: edge, namespace: default, finalizers: [tunnel.achetronic.com/finalizer]}
spec: {address: 203.0.113.10, ssh: {secretRef: {name: vps-ssh-secret}}}
"""
# What the Prometheus operator brings, as far as Helm looks.
MONITORS = "\n---\n".join(f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {kind.lower()}s.monitoring.coreos.com}}
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {{kind: {kind}, listKind: {kind}List, plural: {kind.lower()}s, singular: {kind.lower()}}}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
""" for kind in ("ServiceMonitor", "PodMonitor"))


class OnCluster(unittest.TestCase):
    """A double of its own for each test, and a namespace."""

    namespace = "tunnel"

    def setUp(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="kube-helm-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.server = ApiServer(folder, keep=False)
        self.addCleanup(self.server.stop)
        self.server.start()
        self.server.control("release", name="v1.36.2")
        self.releases = helm.Releases(self.server.kubeconfig(), namespace=self.namespace)
        self.addCleanup(self.releases.close)

    def objects(self, *arguments: str) -> Any:
        found = json.loads(self.server.kubectl("get", *arguments, "-o", "json"))
        return found.get("items", found)

    def container(self) -> dict[str, Any]:
        return dict(self.objects("deploy", "-n", self.namespace, "tidegate-controller")["spec"]["template"]["spec"]["containers"][0])

    def refused(self, *arguments: Any, **options: Any) -> str:
        with self.assertRaises(helm.HelmError) as caught:
            self.releases.install(*arguments, **options)
        return str(caught.exception)

    def chart(self, changes: dict[str, tuple[str, str]]) -> Path:
        """A copy of the chart with a text replaced in some of its files."""
        folder = Path(tempfile.mkdtemp(prefix="chart-"))
        self.addCleanup(shutil.rmtree, folder)
        shutil.copytree(CHART, folder / "tunnel")
        for name, (old, new) in changes.items():
            text = (folder / "tunnel" / name).read_text()
            self.assertIn(old, text)
            (folder / "tunnel" / name).write_text(text.replace(old, new))
        return folder / "tunnel"

    def documented(self, heading: str) -> list[str]:
        """The commands of a section of the chart's README."""
        section = README.split(f"## {heading}\n")[1].split("\n## ")[0]
        return [line.strip() for line in section.replace("\\\n", "").splitlines() if line.startswith("    ")]


class Install(OnCluster):
    def test_makes_a_release(self) -> None:
        release = self.releases.install(CHART)
        self.assertEqual((release["status"], release["revision"]), ("deployed", 1))
        self.assertIn("kubectl get en,pb -A -o wide", release["notes"])
        secret = self.objects("secret", "-n", "tunnel", "sh.helm.release.v1.tunnel.v1")
        self.assertEqual(secret["type"], "helm.sh/release.v1")
        self.assertLess(len(secret["data"]["release"]), 300_000, "a Secret holds 1 MiB, and this one the chart with the definitions")
        for one in self.objects("deploy,sa,pdb,svc,role,rolebinding,clusterrole,clusterrolebinding,crd", "-A", "-l", "app.kubernetes.io/part-of=tidegate"):
            self.assertEqual(one["metadata"]["labels"]["app.kubernetes.io/managed-by"], "Helm", one["metadata"]["name"])
            self.assertEqual(one["metadata"]["annotations"]["meta.helm.sh/release-name"], "tunnel")
        self.server.kubectl("wait", "--for=condition=established", "--timeout=5s", "crd", "--all")
        example = re.search(r"(?s) +apiVersion: .*?\n(?=\n3\.)", release["notes"])
        assert example
        self.assertEqual(self.server.kubectl("apply", "-f", "-", input=textwrap.dedent(example[0])).count("created"), 2)

    def test_makes_the_same_as_kustomize(self) -> None:
        """But for the namespace, which is made before the release."""
        releases = helm.Releases(self.server.kubeconfig(), namespace="tidegate")
        self.addCleanup(releases.close)
        made = releases.install(CHART, SEPARATE)["manifest"]
        helms = _by_name(yaml.safe_load_all(made))
        theirs = _by_name(yaml.safe_load_all(self.server.kubectl("kustomize", str(ROOT / "deploy/kubernetes"))))
        self.assertEqual(theirs.pop(("Namespace", "", "tidegate"))["metadata"]["name"], "tidegate")
        for one in helms.values():
            if one["kind"] == "CustomResourceDefinition":
                del one["metadata"]["annotations"]
        self.assertEqual(helms, theirs)

    def test_with_every_switch(self) -> None:
        self.server.kubectl("apply", "-f", "-", input=MONITORS)
        monitored = {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}, "networkPolicy": {"enabled": True}}
        self.releases.install(CHART, {"metrics": monitored, "uplinks": {"namespaces": ["tunnel", "more"], "createNamespaces": True}})
        self.assertEqual(len(self.objects("servicemonitor,podmonitor,networkpolicy", "-n", "tunnel")), 3)
        self.assertEqual(self.objects("ns", "more")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "privileged")
        self.releases.uninstall()
        self.assertEqual(self.objects("servicemonitor,podmonitor,networkpolicy,deploy", "-n", "tunnel"), [])
        self.objects("ns", "more")

    def test_from_a_package(self) -> None:
        """As it is published."""
        folder = Path(tempfile.mkdtemp(prefix="chart-package-"))
        self.addCleanup(shutil.rmtree, folder)
        self.releases.install(helm.package(CHART, folder))
        self.assertEqual(len(self.objects("crd")), 3)

    def test_a_second_controller(self) -> None:
        self.releases.install(CHART, {"flags": {"watchNamespaces": ["default"]}})
        before = self.server.control("version")
        other = helm.Releases(self.server.kubeconfig(), namespace="other")
        self.addCleanup(other.close)
        with self.assertRaisesRegex(helm.HelmError, "invalid ownership metadata"):
            other.install(CHART, {"flags": {"watchNamespaces": ["other"]}, "uplinks": {"namespaces": ["other"]}})
        other.install(CHART, {"flags": {"watchNamespaces": ["other"]}, "uplinks": {"namespaces": ["other"]}, "fullnameOverride": "other",
                              "crds": {"install": False}}, name="second")
        for one in self.objects("deploy,sa,pdb,svc,role,rolebinding,clusterrole,clusterrolebinding,crd", "-A", "-l", "app.kubernetes.io/part-of=tidegate"):
            written = int(one["metadata"]["resourceVersion"]) > int(before)
            self.assertEqual(one["metadata"]["annotations"]["meta.helm.sh/release-name"], "second" if written else "tunnel", one)

    def test_a_trial_makes_nothing(self) -> None:
        self.server.kubectl("create", "namespace", "tunnel")
        before = self.server.control("version")
        self.assertIn("kind: Deployment", self.releases.install(CHART, dry_run="server")["manifest"])
        self.assertEqual(self.server.control("version"), before)

    def test_needs_a_release_of_kubernetes_that_has_what_the_definitions_need(self) -> None:
        self.server.control("release", name="v1.29.9")
        self.assertIn("chart requires kubeVersion: >=1.30.0-0 which is incompatible with Kubernetes v1.29.9", self.refused(CHART))

    def test_values_are_checked_before_anything_is_made(self) -> None:
        before = self.server.control("version")
        self.assertIn("at '/flags': additional properties 'envoyVerison' not allowed", self.refused(CHART, {"flags": {"envoyVerison": "1"}}))
        self.assertEqual(self.server.control("version"), before)


class Upgrade(OnCluster):
    def test_brings_images_flags_and_definitions(self) -> None:
        self.releases.install(CHART)
        self.assertNotIn("Told.", self.server.kubectl("get", "crd", "edgenodes.tunnel.achetronic.com", "-o", "yaml"))
        newer = self.chart({"Chart.yaml": ('appVersion: "0.1.0"', 'appVersion: "0.2.0"'),
                            "definitions/tunnel.achetronic.com_edgenodes.yaml": ("description: The VPS.", "description: Told.")})
        release = self.releases.upgrade(newer, {"flags": {"watchNamespaces": ["default"]}})
        self.assertEqual((release["status"], release["revision"]), ("deployed", 2))
        self.assertEqual(self.container()["image"], "ghcr.io/achetronic/tunnel/controller:0.2.0")
        self.assertIn("--image-tag=0.2.0", self.container()["args"])
        self.assertIn("--watch-namespaces=default", self.container()["args"])
        self.assertIn("Told.", self.server.kubectl("get", "crd", "edgenodes.tunnel.achetronic.com", "-o", "yaml"))
        self.assertEqual([one["metadata"]["name"] for one in self.objects("clusterrole") if "cluster-wide" in one["metadata"]["name"]], [])
        self.assertEqual([one["status"] for one in self.releases.history()], ["superseded", "deployed"])

    def test_of_the_same_changes_nothing(self) -> None:
        self.releases.install(CHART)
        before = {one["metadata"]["uid"]: one["metadata"]["resourceVersion"] for one in self._ours()}
        self.releases.upgrade(CHART)
        self.assertEqual({one["metadata"]["uid"]: one["metadata"]["resourceVersion"] for one in self._ours()}, before)

    def _ours(self) -> Any:
        return self.objects("deploy,sa,pdb,svc,role,rolebinding,clusterrole,clusterrolebinding,crd", "-A", "-l", "app.kubernetes.io/part-of=tidegate")

    def test_reuses_the_values_of_a_release_without_ours(self) -> None:
        """As the specification upgrades: with --reuse-values the new chart's defaults do not arrive."""
        specified = yaml.safe_load((CHART / "values.yaml").read_text())
        for ours in ("commonLabels", "crds", "uplinks", "namespace", "podDisruptionBudget"):
            del specified[ours]
        del specified["metrics"]["podMonitor"], specified["rbac"]["targetNamespaces"], specified["image"]["digest"]
        del specified["metrics"]["serviceMonitor"]["labels"]
        for flag in set(specified["flags"]) - {"leaderElect", "healthProbeBindAddress", "metricsBindAddress", "metricsSecure", "enableHTTP2",
                                              "envoyVersion", "imageRepo", "imageTag"}:
            del specified["flags"][flag]
        older = self.chart({})
        (older / "values.yaml").write_text(yaml.safe_dump(specified))
        plain = self.releases.install(older, {"image": {"tag": "v1"}})["manifest"]
        self.releases.upgrade(CHART, {"image": {"tag": "v1"}}, reuse_values=True)
        self.assertEqual(_by_name(yaml.safe_load_all(plain)), _by_name(yaml.safe_load_all(self.releases.upgrade(CHART, {"image": {"tag": "v1"}})["manifest"])))
        self.releases.upgrade(CHART, {"image": {"tag": "v2"}}, reuse_values=True)
        self.assertEqual(self.container()["image"], "ghcr.io/achetronic/tunnel/controller:v2")


class Adopt(OnCluster):
    """An installation by kubectl becomes a release, by what README.md tells; the objects stay the same ones."""

    namespace = "tidegate"

    def applied(self, *flags: str, variant: str = "") -> dict[str, str]:
        self.server.kubectl("apply", *flags, "-k", str(ROOT / "deploy/kubernetes" / variant))
        self.server.kubectl("apply", "-f", "-", input=EDGE_NODE)
        said = self.refused(CHART, SEPARATE)
        self.assertIn("exists and cannot be imported into the current release", said)
        return self.uids()

    def uids(self) -> dict[str, str]:
        found = self.objects("deploy,sa,pdb,svc,role,rolebinding,clusterrole,clusterrolebinding,crd,en,ns", "-A", "-l",
                             "app.kubernetes.io/part-of=tidegate") + self.objects("en", "-A")
        return {f"{one['kind']} {one['metadata']['name']}": one["metadata"]["uid"] for one in found}

    def check(self, before: dict[str, str], values: Optional[dict[str, Any]] = None) -> None:
        values = values or SEPARATE
        self.assertEqual(self.uids(), before)
        self.assertEqual(self.container()["image"], "ghcr.io/achetronic/tunnel/controller:v9")
        self.releases.upgrade(CHART, {**values, "replicaCount": 3, "image": {"tag": "v10"}, "metrics": {"service": {"annotations": {"a": "b"}}}})
        self.assertEqual(self.container()["image"], "ghcr.io/achetronic/tunnel/controller:v10")
        self.releases.upgrade(CHART, {**values, "image": {"tag": "v10"}})
        self.assertNotIn("a", self.objects("svc", "-n", self.namespace, "tidegate-controller-metrics")["metadata"]["annotations"])
        self.assertEqual(self.uids(), before)

    def test_with_the_flags_of_helm_4(self) -> None:
        self.assertIn("--take-ownership --server-side=false", " ".join(self.documented("From an installation by kubectl")))
        before = self.applied()
        self.releases.install(CHART, {**SEPARATE, "image": {"tag": "v9"}}, take_ownership=True, server_side_apply=False)
        self.check(before)

    def test_with_the_flags_of_helm_4_after_server_side_apply(self) -> None:
        before = self.applied("--server-side")
        self.releases.install(CHART, {**SEPARATE, "image": {"tag": "v9"}}, take_ownership=True, server_side_apply=False)
        self.check(before)

    def test_of_the_variant_for_some_namespaces(self) -> None:
        before = self.applied(variant="namespaced")
        values = {**SEPARATE, "flags": {**SEPARATE["flags"], "watchNamespaces": ["default"]}}
        self.releases.install(CHART, {**values, "image": {"tag": "v9"}}, take_ownership=True, server_side_apply=False)
        self.check(before, values)
        self.assertEqual([one["metadata"]["annotations"]["meta.helm.sh/release-name"] for one in self.objects("rolebinding", "-n", "default")],
                         ["tunnel"] * 3)

    def test_by_labels_and_annotations(self) -> None:
        before = self.applied()
        for command in self.documented("From an installation by kubectl"):
            if command.startswith("kubectl"):
                self.server.kubectl(*command.split()[1:])
        self.releases.install(CHART, {**SEPARATE, "image": {"tag": "v9"}}, server_side_apply=False)
        self.check(before)


class Uninstall(OnCluster):
    def test_keeps_definitions_and_edge_nodes(self) -> None:
        self.releases.install(CHART)
        self.server.kubectl("apply", "-f", "-", input=EDGE_NODE)
        node = self.objects("en", "edge")
        self.releases.uninstall()
        self.assertEqual(self.objects("deploy,svc,pdb,role,rolebinding", "-n", "tunnel"), [])
        self.assertEqual([one["metadata"]["name"] for one in self.objects("sa", "-n", "tunnel")], ["default"])
        self.assertEqual(self.objects("clusterrole,clusterrolebinding", "-l", "app.kubernetes.io/part-of=tidegate"), [])
        self.assertEqual(len(self.objects("crd")), 3)
        self.assertEqual(self.objects("en", "edge"), node)

        # Deleted without a controller, it stays: the next release finds it and has its controller finish.
        self.server.kubectl("delete", "en", "edge", "--wait=false")
        self.assertIn("deletionTimestamp", self.objects("en", "edge")["metadata"])
        self.releases.install(CHART)
        self.assertEqual(self.objects("en", "edge")["metadata"]["uid"], node["metadata"]["uid"])

    def test_a_kept_definition_belongs_to_its_release(self) -> None:
        self.releases.install(CHART)
        self.releases.uninstall()
        self.assertIn('must equal "other": current value is "tunnel"', self.refused(CHART, name="other"))
        self.releases.install(CHART, name="other", take_ownership=True)

    def test_what_the_readme_says_for_a_node_that_is_stuck(self) -> None:
        self.releases.install(CHART)
        self.server.kubectl("apply", "-f", "-", input=EDGE_NODE)
        self.releases.uninstall()
        self.server.kubectl("delete", "en", "edge", "--wait=false")
        found = [one for one in self.documented("Uninstalling") if "finalizers" in one]
        self.assertEqual(len(found), 1)
        self.server.kubectl(*found[0].replace("NAME", "edge").replace("'", "").split()[1:])
        self.assertEqual(self.objects("en", "-A"), [])


class MixedRights(Rights):
    """EdgeNodes everywhere, Secrets of one namespace, Services of another."""

    namespace = "tunnel"

    @classmethod
    def install(cls) -> None:
        cls.server.control("release", name="v1.36.2")
        releases = helm.Releases(cls.server.kubeconfig())
        releases.install(CHART, {"flags": {"secretNamespaces": ["default"]}, "rbac": {"targetNamespaces": ["default"]}})
        releases.close()

    def test_rights(self) -> None:
        wide = [asked for asked in WHOLE_CLUSTER if asked[1]]
        narrow = [asked for asked in WHOLE_CLUSTER if not asked[1]]
        self.check(MUST + wide, MUST_NOT + narrow + [(*asked[:3], "elsewhere", "") for asked in narrow])


def _by_name(objects: Any) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one for one in objects if one}


def load_tests(loader: unittest.TestLoader, tests: unittest.TestSuite, pattern: Optional[str]) -> unittest.TestSuite:
    return unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in (Install, Upgrade, Adopt, Uninstall, MixedRights))
