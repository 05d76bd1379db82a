"""The manifests of deploy/kubernetes on the double: they apply, and the controller may do what it must and no more."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import ClassVar

import yaml

from kube.double import ApiServer, ask

DEPLOY = Path(__file__).resolve().parents[3] / "deploy/kubernetes"
NAMESPACE = "tidegate"
GROUP = "tunnel.achetronic.com"

# Verb, group, resource, namespace ("" for all at once), name.
Asked = tuple[str, str, str, str, str]

# In either variant, with default for the one namespace that is watched.
MUST: list[Asked] = [
    *[(verb, GROUP, kind, "default", "") for verb in ("get", "list", "watch") for kind in ("edgenodes", "portbindings")],
    *[("patch", GROUP, kind, "default", "") for kind in ("edgenodes", "edgenodes/status", "portbindings/status")],
    *[(verb, "", kind, "default", "") for verb in ("get", "list", "watch") for kind in ("secrets", "services")],
    *[(verb, "discovery.k8s.io", "endpointslices", "default", "") for verb in ("get", "list", "watch")],
    *[(verb, "events.k8s.io", "events", namespace, "") for verb in ("create", "patch") for namespace in ("default", "tunnel")],
    *[(verb, group, kind, "tunnel", "") for verb in ("get", "list", "watch", "create", "patch", "delete")
      for group, kind in (("", "configmaps"), ("", "services"), ("apps", "statefulsets"), ("policy", "poddisruptionbudgets"))],
    *[(verb, "", "secrets", "tunnel", "") for verb in ("get", "list", "watch", "create", "update", "delete")],
    *[(verb, "", "pods", "tunnel", "") for verb in ("list", "watch", "patch")],
    *[(verb, "coordination.k8s.io", "leases", "tunnel", "") for verb in ("get", "create", "update", "patch")],
    ("get", "", "namespaces", "", "kube-system"), ("get", "", "namespaces", "", "tunnel"),
    ("create", "authentication.k8s.io", "tokenreviews", "", ""),
    ("create", "authorization.k8s.io", "subjectaccessreviews", "", ""),
]

MUST_NOT: list[Asked] = [
    *[(verb, "", "secrets", "default", "") for verb in ("create", "update", "patch", "delete")],
    *[(verb, "", "services", "default", "") for verb in ("create", "patch", "delete")],
    *[(verb, "discovery.k8s.io", "endpointslices", "default", "") for verb in ("create", "update", "patch", "delete")],
    *[(verb, "", "pods", "tunnel", "") for verb in ("create", "update", "delete")],
    *[(verb, "", "pods", "default", "") for verb in ("get", "list", "patch")],
    *[(verb, GROUP, kind, "default", "") for verb in ("create", "update", "delete") for kind in ("edgenodes", "portbindings")],
    ("patch", GROUP, "portbindings", "default", ""),
    ("get", "", "pods/exec", "tunnel", ""), ("create", "", "pods/exec", "tunnel", ""),
    ("get", "", "namespaces", "", "default"), ("list", "", "namespaces", "", ""),
    ("get", "coordination.k8s.io", "leases", "kube-system", ""),
    ("patch", "apps", "statefulsets", "default", ""),
    ("bind", "rbac.authorization.k8s.io", "clusterroles", "", ""), ("create", "rbac.authorization.k8s.io", "rolebindings", "tunnel", ""),
    ("impersonate", "", "users", "", ""), ("*", "*", "*", "", ""),
]

WHOLE_CLUSTER: list[Asked] = [(verb, group, kind, "", "") for verb in ("list", "watch")
                              for group, kind in ((GROUP, "edgenodes"), (GROUP, "portbindings"), ("", "secrets"), ("", "services"))]


class Rights(unittest.TestCase):
    """An installation on a double of its own, and what the controller may do there."""

    server: ClassVar[ApiServer]
    namespace: ClassVar[str] = NAMESPACE

    @classmethod
    def install(cls) -> None:
        raise NotImplementedError

    @classmethod
    def setUpClass(cls) -> None:
        folder = Path(tempfile.mkdtemp(prefix="kube-deploy-"))
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        cls.server = ApiServer(folder)
        cls.addClassCleanup(cls.server.stop)
        cls.server.start()
        cls.install()

    def may(self, asked: Asked) -> bool:
        verb, group, resource, namespace, name = asked
        plural, _, sub = resource.partition("/")
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
            "user": f"system:serviceaccount:{self.namespace}:tidegate-controller",
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{self.namespace}", "system:authenticated"],
            "resourceAttributes": {"verb": verb, "group": group, "resource": plural, "subresource": sub, "namespace": namespace, "name": name}}}
        code, answer = ask(self.server, "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        self.assertEqual(code, 201, answer)
        return bool(answer["status"]["allowed"])

    def check(self, must: list[Asked], must_not: list[Asked]) -> None:
        self.assertEqual([asked for asked in must if not self.may(asked)], [], "these are not allowed")
        self.assertEqual([asked for asked in must_not if self.may(asked)], [], "these are allowed")


class Variant(Rights):
    variant: ClassVar[Path]

    @classmethod
    def install(cls) -> None:
        cls.server.kubectl("apply", "-k", str(cls.variant))


class ClusterWide(Variant):
    variant = DEPLOY

    def test_rights(self) -> None:
        elsewhere: list[Asked] = [(*asked[:3], "elsewhere", "") for asked in WHOLE_CLUSTER]
        self.check(MUST + WHOLE_CLUSTER + elsewhere, MUST_NOT)

    def test_uplinks_elsewhere_as_the_readme_says(self) -> None:
        """Its words, run: the rights are in the other namespace, and the controller's account has them."""
        lines = [line.strip() for line in (DEPLOY / "README.md").read_text().splitlines()]
        commands = [line for line in lines if "namespace other" in line or "namespace: other" in line]
        self.assertEqual(len(commands), 3, commands)
        for command in commands:
            filtered, _, applied = command.rpartition(" | ")
            text = subprocess.run(filtered, shell=True, cwd=DEPLOY.parents[1], capture_output=True, text=True, check=True).stdout if filtered else None
            self.server.kubectl(*shlex.split(applied)[1:], input=text)
        self.assertTrue(self.may(("create", "apps", "statefulsets", "other", "")))
        self.assertFalse(self.may(("create", "apps", "statefulsets", "default", "")))

    def test_who_views_a_namespace_sees_them(self) -> None:
        role = yaml.safe_load(self.server.kubectl("get", "clusterrole", "tidegate-viewer", "-o", "yaml"))
        self.assertEqual(role["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"], "true")
        self.assertEqual({verb for rule in role["rules"] for verb in rule["verbs"]}, {"get", "list", "watch"})

    def test_the_pod_needs_no_right_on_its_node(self) -> None:
        """It would run in a namespace of the level `restricted`."""
        pod = yaml.safe_load(self.server.kubectl("get", "deploy", "-n", NAMESPACE, "tidegate-controller", "-o", "yaml"))["spec"]["template"]["spec"]
        container = pod["containers"][0]
        self.assertTrue(pod["securityContext"]["runAsNonRoot"])
        self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertFalse(container["securityContext"]["allowPrivilegeEscalation"])
        self.assertTrue(container["securityContext"]["readOnlyRootFilesystem"])
        self.assertEqual(container["securityContext"]["capabilities"], {"drop": ["ALL"]})
        self.assertNotIn("volumes", pod)


class Namespaced(Variant):
    variant = DEPLOY / "namespaced"

    def test_rights(self) -> None:
        elsewhere: list[Asked] = [(*asked[:3], "elsewhere", "") for asked in WHOLE_CLUSTER]
        self.check(MUST, MUST_NOT + WHOLE_CLUSTER + elsewhere)

    def test_flags_name_the_namespaces(self) -> None:
        deployment = yaml.safe_load(self.server.kubectl("get", "deploy", "-n", NAMESPACE, "tidegate-controller", "-o", "yaml"))
        arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        self.assertIn("--watch-namespaces=default", arguments)
        self.assertIn("--secret-namespaces=default", arguments)


def load_tests(loader: unittest.TestLoader, tests: unittest.TestSuite, pattern: object) -> unittest.TestSuite:
    """Without Rights and Variant, which are none by themselves."""
    return unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in (ClusterWide, Namespaced))
