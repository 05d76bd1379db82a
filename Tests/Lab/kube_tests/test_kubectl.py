"""kubectl itself against the double, with the real definitions."""

from __future__ import annotations

import json
import re
import subprocess
import unittest
from pathlib import Path

import yaml

from lab.commands import CommandFailed
from kube_tests.standin import WithServer

ROOT = Path(__file__).resolve().parents[3]
STATEFUL_SET = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: e-uplink, namespace: rec}
spec:
  serviceName: e-uplink
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec:
      containers:
      - {name: u, image: "x:1", ports: [{containerPort: 40500, name: h}], volumeMounts: [{name: c, mountPath: /c}]}
      volumes: [{name: c, configMap: {name: q}}]
---
apiVersion: v1
kind: Service
metadata: {name: e-uplink, namespace: rec}
spec: {clusterIP: None, selector: {a: b}}
"""


class Kubectl(WithServer):
    definition = None

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.config = cls.server.kubeconfig()
        cls.server.kubectl("apply", "-f", str(ROOT / "crds"), config=cls.config)

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        return self.server.kubectl(*arguments, input=input, config=self.config)

    def refused(self, *arguments: str, input: str | None = None) -> str:
        with self.assertRaises(CommandFailed) as caught:
            self.kubectl(*arguments, input=input)
        return str(caught.exception)

    def test_definitions_are_established_and_apply_is_steady(self) -> None:
        self.kubectl("wait", "--for=condition=established", "--timeout=5s", "crd", "--all")
        for line in self.kubectl("apply", "-f", str(ROOT / "crds")).splitlines():
            self.assertRegex(line, "unchanged$")

    def test_samples_apply_and_a_table_shows_them(self) -> None:
        for sample in ("1-one-port", "2-tcp-and-udp", "3-tls", "4-high-availability"):
            self.kubectl("apply", "-f", str(ROOT / f"deploy/samples/{sample}.yaml"))
        shown = self.kubectl("get", "en,pb", "-A")
        self.assertRegex(shown, r"NAMESPACE +NAME +.*ADDRESS.*AGE")
        self.assertRegex(shown, r"default +edgenode\.tunnel\.achetronic\.com/edge-node .*203\.0\.113\.10")
        self.assertIn("portbinding.tunnel.achetronic.com/public-tls", shown)
        by_category = self.kubectl("get", "tidegate", "-A")
        self.assertEqual(re.sub(r"\d+s\n", "", shown), re.sub(r"\d+s\n", "", by_category), "the category names both kinds")
        self.assertIn("Drain Timeout:  15m", self.kubectl("describe", "en"))

    def test_explain_reads_the_schema(self) -> None:
        shown = self.kubectl("explain", "edgenode.spec.tunnel")
        self.assertRegex(shown, r"KIND: +EdgeNode\nVERSION: +v1alpha1")
        self.assertRegex(shown, r"listenPort\s+<integer>")
        self.assertRegex(self.kubectl("explain", "sts.spec.template"), r"FIELD: template <PodTemplateSpec>")

    def test_a_misspelt_field_is_refused(self) -> None:
        said = self.refused("apply", "-f", "-", input="apiVersion: tunnel.achetronic.com/v1alpha1\nkind: EdgeNode\nmetadata: {name: u, namespace: rec}\n"
                            "spec: {adress: x, address: 203.0.113.1, ssh: {secretRef: {name: k}}}\n")
        self.assertIn('unknown field "spec.adress"', said)

    def test_secrets_and_config_maps(self) -> None:
        self.kubectl("create", "-n", "rec", "secret", "generic", "x", "--from-literal=a=b")
        self.assertEqual(self.kubectl("get", "-n", "rec", "secret", "x", "-o", "jsonpath={.data.a} {.type}"), "Yg== Opaque")
        self.kubectl("create", "-n", "rec", "configmap", "x", "--from-literal=a=b")
        self.kubectl("annotate", "-n", "rec", "configmap", "x", "k=v")
        self.assertEqual(self.kubectl("get", "-n", "rec", "cm", "x", "-o", "jsonpath={.metadata.annotations}"), '{"k":"v"}')
        self.kubectl("annotate", "-n", "rec", "configmap", "x", "k-")
        self.kubectl("label", "-n", "rec", "configmap", "x", "l=m")
        self.assertEqual(self.kubectl("get", "-n", "rec", "cm", "-l", "l in (m)", "-o", "name"), "configmap/x\n")
        self.kubectl("delete", "-n", "rec", "secret/x", "configmap/x")
        self.assertEqual(self.kubectl("get", "-n", "rec", "secret", "--ignore-not-found", "x"), "")

    def test_stateful_set_life(self) -> None:
        self.kubectl("apply", "-f", "-", input=STATEFUL_SET)
        again = self.kubectl("apply", "-f", "-", input=STATEFUL_SET)
        self.assertEqual(again, "statefulset.apps/e-uplink unchanged\nservice/e-uplink unchanged\n")
        self.kubectl("scale", "-n", "rec", "sts/e-uplink", "--replicas=3")
        self.assertEqual(self.kubectl("get", "-n", "rec", "sts", "e-uplink", "-o", "jsonpath={.spec.replicas} {.metadata.generation}"), "3 2")
        self.kubectl("apply", "-f", "-", input=STATEFUL_SET.replace("x:1", "x:2"))
        self.assertEqual(self.kubectl("get", "-n", "rec", "sts", "e-uplink", "-o", "jsonpath={.spec.template.spec.containers[*].image}"), "x:2")
        said = self.refused("apply", "-f", "-", input=STATEFUL_SET.replace("serviceName: e-uplink", "serviceName: other"))
        self.assertIn("updates to statefulset spec for fields other than", said)
        self.assertIn("Pods Status:", self.kubectl("describe", "-n", "rec", "sts", "e-uplink"))
        self.kubectl("delete", "-f", "-", input=STATEFUL_SET)

    def test_what_the_controller_applies_is_taken_and_steady(self) -> None:
        """The goldens of UplinkWorkload: every field known, and an apply of the same again writes nothing."""
        goldens = sorted((ROOT / "Tests/UplinkWorkloadTests/Goldens").glob("*.yaml"))
        self.assertTrue(goldens)
        self.kubectl("create", "ns", "tunnel", "--save-config")
        for golden in goldens:
            documents = [one for one in yaml.safe_load_all(golden.read_text()) if one]
            # Those that are no whole objects are notes on what differs, but for the spec of a pod.
            whole = [one for one in documents if "metadata" in one]
            whole += [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": golden.stem, "namespace": "tunnel"}, "spec": one}
                      for one in documents if "containers" in one]
            text = yaml.safe_dump_all(whole)
            versions = []
            for _ in range(2):
                self.kubectl("apply", "--server-side", "--field-manager=tidegate", "-f", "-", input=text)
                versions.append(sorted(self.kubectl("get", "-f", "-", "-o", "jsonpath={..resourceVersion}", input=text).split()))
            self.assertEqual(versions[0], versions[1], golden.name)

    def test_server_side_apply_tells_of_conflicts(self) -> None:
        body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: s, namespace: rec}\ndata: {k: '%s'}\n"
        self.kubectl("apply", "--server-side", "--field-manager=one", "-f", "-", input=body % 1)
        said = self.refused("apply", "--server-side", "--field-manager=two", "-f", "-", input=body % 2)
        self.assertIn('conflict with "one": .data.k', said)
        self.kubectl("apply", "--server-side", "--field-manager=two", "--force-conflicts", "-f", "-", input=body % 2)

    def test_watch_prints_rows(self) -> None:
        argv = ["kubectl", "--kubeconfig", str(self.config), "get", "-n", "rec", "cm", "-w", "-o", "name", "--field-selector=metadata.name=watched"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as watching:
            try:
                self.kubectl("create", "-n", "rec", "configmap", "other")
                self.kubectl("create", "-n", "rec", "configmap", "watched")
                assert watching.stdout is not None
                self.assertEqual(watching.stdout.readline(), "configmap/watched\n")
            finally:
                watching.kill()

    def test_events_are_told(self) -> None:
        self.made("/apis/events.k8s.io/v1/namespaces/rec/events", {
            "metadata": {"name": "e.1"}, "eventTime": "2026-11-21T00:00:00.000000Z", "reportingController": "c", "reportingInstance": "i", "action": "A",
            "reason": "Provisioned", "type": "Normal", "note": "done", "regarding": {"kind": "EdgeNode", "name": "a", "namespace": "rec"}})
        self.assertRegex(self.kubectl("get", "-n", "rec", "events"), r"LAST SEEN +TYPE +REASON +OBJECT +MESSAGE\n\S+ +Normal +Provisioned +edgenode/a +done")
        self.assertIn("Provisioned", self.kubectl("events", "-n", "rec"))

    def test_namespace_takes_its_objects_along(self) -> None:
        self.kubectl("create", "ns", "short")
        self.kubectl("create", "-n", "short", "configmap", "inside")
        self.kubectl("delete", "ns", "short", "--timeout=10s")
        self.assertIn('namespaces "short" not found', self.refused("get", "ns", "short"))

    def test_who_may_what(self) -> None:
        self.assertEqual(self.kubectl("auth", "can-i", "list", "secrets"), "yes\n")
        self.assertIn("no", self.refused("auth", "can-i", "list", "secrets", "--as=system:serviceaccount:rec:default"))
        token = self.kubectl("create", "token", "-n", "rec", "default").strip()
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        user = json.loads(self.kubectl("create", "-o", "json", "-f", "-", input=json.dumps(review)))["status"]["user"]
        self.assertEqual(user["username"], "system:serviceaccount:rec:default")


if __name__ == "__main__":
    unittest.main()
