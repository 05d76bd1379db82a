"""The chart without a cluster: what its values make, what its schema refuses, and that deploy/kubernetes is rendered from it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any

import yaml

from kube import helm

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy/helm/tunnel"
# The values of the specification's chart, each other than its default.
SPECIFIED: dict[str, Any] = {
    "replicaCount": 3, "image": {"repository": "registry.example/controller", "tag": "v7", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "regcred"}], "nameOverride": "", "fullnameOverride": "edge",
    "flags": {"leaderElect": True, "healthProbeBindAddress": ":9081", "metricsBindAddress": ":9443", "metricsSecure": False, "enableHTTP2": True,
              "envoyVersion": "1.39.1", "imageRepo": "registry.example", "imageTag": "v8"},
    "env": {"logFormat": "text", "logLevel": "debug"}, "extraArgs": ["--context=other"],
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "metrics": {"service": {"annotations": {"a": "b"}}, "tls": {"secretName": "metrics-tls"},
                "serviceMonitor": {"enabled": True, "interval": "30s", "scrapeTimeout": "10s", "tlsConfig": {"insecureSkipVerify": True},
                                   "relabelings": [{"action": "labeldrop", "regex": "pod"}]},
                "networkPolicy": {"enabled": True, "namespaceSelector": {"metrics": "yes"}}},
    "serviceAccount": {"create": True, "name": "runner", "annotations": {"role": "x"}}, "rbac": {"create": True},
    "podAnnotations": {"note": "1"}, "podLabels": {"team": "net"}, "podSecurityContext": {"runAsNonRoot": True, "runAsUser": 1000},
    "securityContext": {"readOnlyRootFilesystem": True}, "resources": {"limits": {"cpu": "500m"}, "requests": {"cpu": "10m"}},
    "nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "edge", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": []}]}}},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
    "priorityClassName": "system-cluster-critical", "extraVolumes": [{"name": "v", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "v", "mountPath": "/v"}],
}


def objects(values: dict[str, Any], namespace: str = "tunnel") -> list[dict[str, Any]]:
    """All but the definitions, which take long to parse."""
    rendered = helm.render(CHART, {"crds": {"install": False}, **values}, namespace=namespace)
    return [one for path, text in rendered.items() if path.endswith(".yaml") for one in yaml.safe_load_all(text) if one]


def of(values: dict[str, Any], kind: str, name: str = "", namespace: str = "tunnel") -> list[dict[str, Any]]:
    return [one for one in objects(values, namespace) if one["kind"] == kind and name in ("", one["metadata"]["name"])]


def controller(values: dict[str, Any]) -> dict[str, Any]:
    """The controller's pod template."""
    template: dict[str, Any] = of(values, "Deployment")[0]["spec"]["template"]
    return template


def arguments(values: dict[str, Any]) -> list[str]:
    return list(controller(values)["spec"]["containers"][0]["args"])


class Rendered(unittest.TestCase):
    def test_lint_finds_nothing(self) -> None:
        everything = {"metrics": {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}, "networkPolicy": {"enabled": True}},
                      "flags": {"watchNamespaces": ["a", "b"]}, "uplinks": {"namespaces": ["a"], "createNamespaces": True}}
        for values in ({}, everything, SPECIFIED):
            with self.subTest(values=values):
                self.assertEqual(helm.lint(CHART, values), [])

    def test_what_follows_from_the_chart_is_up_to_date(self) -> None:
        done = subprocess.run([ROOT / "deploy/helm/render", "--check"], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_drift_is_named(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="chart-drift-"))
        self.addCleanup(shutil.rmtree, folder)
        for part in ("deploy", "crds"):
            shutil.copytree(ROOT / part, folder / part)
        (folder / "Tests").symlink_to(ROOT / "Tests")
        for file, old, new in (("crds/tunnel.achetronic.com_edgenodes.yaml", "The VPS.", "A VPS."),
                               ("deploy/kubernetes/base/roles.yaml", "[create]", "[create, get]"),
                               ("deploy/helm/tunnel/values.yaml", "maxConcurrentReconciles: 5", "maxConcurrentReconciles: 6")):
            text = (folder / file).read_text()
            self.assertIn(old, text)
            (folder / file).write_text(text.replace(old, new))
        (folder / "deploy/kubernetes/base/left-over.yaml").touch()
        done = subprocess.run([folder / "deploy/helm/render", "--check"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual([line.partition(":")[0] for line in done.stderr.splitlines()],
                         ["deploy/helm/tunnel/README.md", "deploy/helm/tunnel/definitions/tunnel.achetronic.com_edgenodes.yaml",
                          "deploy/kubernetes/base/deployment.yaml", "deploy/kubernetes/base/left-over.yaml", "deploy/kubernetes/base/roles.yaml"])
        subprocess.run([folder / "deploy/helm/render"], check=True)
        self.assertEqual(subprocess.run([folder / "deploy/helm/render", "--check"], check=False).returncode, 0)

    def test_the_definitions_are_those_of_crds_and_are_kept(self) -> None:
        theirs = [yaml.safe_load(file.read_text()) for file in sorted((ROOT / "crds").glob("*.yaml"))]
        ours = of({"crds": {"install": True}}, "CustomResourceDefinition")
        for one in ours:
            self.assertEqual(one["metadata"].pop("annotations"), {"helm.sh/resource-policy": "keep"})
        self.assertEqual(ours, theirs)
        self.assertEqual(of({"crds": {"install": False}}, "CustomResourceDefinition"), [])

    def test_versions_are_the_programs(self) -> None:
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        version = re.search(r'tidegateVersion = "(.+)"', (ROOT / "Sources/programs/Tidegate/Tidegate.swift").read_text())
        assert version
        self.assertEqual((chart["version"], chart["appVersion"]), (version[1], version[1]))
        for file in ("kustomization.yaml", "namespaced/kustomization.yaml"):
            images = yaml.safe_load((ROOT / "deploy/kubernetes" / file).read_text())["images"]
            self.assertEqual([one["newTag"] for one in images], [version[1]], file)

    def test_the_pod_passes_restricted(self) -> None:
        pod = controller({})["spec"]
        container = pod["containers"][0]
        self.assertTrue(pod["securityContext"]["runAsNonRoot"])
        self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertEqual(container["securityContext"],
                         {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}})


class Values(unittest.TestCase):
    def test_those_of_the_specification(self) -> None:
        """Each does what it says."""
        made = objects(SPECIFIED)
        deployment, template = of(SPECIFIED, "Deployment", "edge-controller")[0], controller(SPECIFIED)
        pod, container = template["spec"], template["spec"]["containers"][0]
        self.assertEqual(deployment["spec"]["replicas"], 3)
        self.assertEqual((container["image"], container["imagePullPolicy"]), ("registry.example/controller:v7", "Always"))
        for part in ("imagePullSecrets", "nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "priorityClassName"):
            self.assertEqual(pod[part], SPECIFIED[part], part)
        self.assertEqual(pod["securityContext"]["runAsUser"], 1000)
        self.assertEqual(container["resources"]["limits"], {"cpu": "500m", "memory": "256Mi"})
        self.assertEqual(pod["serviceAccountName"], "runner")
        self.assertEqual(template["metadata"]["labels"]["team"], "net")
        self.assertEqual(template["metadata"]["annotations"]["note"], "1")
        self.assertEqual(container["args"], [
            "controller", "--image-repo=registry.example", "--image-tag=v8", "--leader-elect=true", "--leader-elect-namespace=$(POD_NAMESPACE)",
            "--health-probe-bind-address=:9081", "--metrics-bind-address=:9443", "--metrics-secure=false", "--enable-http2=true",
            "--metrics-cert-path=/etc/tidegate/metrics-certs", "--envoy-version=1.39.1", "--context=other"])
        variables = {one["name"]: one.get("value") for one in container["env"]}
        self.assertEqual((variables["LOG_FORMAT"], variables["LOG_LEVEL"], variables["HTTPS_PROXY"]), ("text", "debug", "http://proxy:3128"))
        self.assertEqual({one["name"]: one["containerPort"] for one in container["ports"]}, {"health": 9081, "metrics": 9443})
        self.assertEqual([one["mountPath"] for one in container["volumeMounts"]], ["/etc/tidegate/metrics-certs", "/v"])
        self.assertEqual([one["name"] for one in pod["volumes"]], ["metrics-certs", "v"])
        kinds = {one["kind"]: one for one in made}
        self.assertEqual(kinds["Service"]["metadata"]["annotations"], {"a": "b"})
        self.assertEqual(kinds["Service"]["spec"]["ports"][0]["port"], 9443)
        self.assertEqual(kinds["ServiceAccount"]["metadata"]["annotations"], {"role": "x"})
        endpoint = kinds["ServiceMonitor"]["spec"]["endpoints"][0]
        self.assertEqual(endpoint, {"port": "metrics", "followRedirects": False, "scheme": "http", "interval": "30s", "scrapeTimeout": "10s",
                                    "relabelings": [{"action": "labeldrop", "regex": "pod"}]})
        self.assertEqual(kinds["NetworkPolicy"]["spec"]["ingress"][0]["from"][0]["namespaceSelector"]["matchLabels"]["metrics"], "yes")
        self.assertEqual(kinds["NetworkPolicy"]["spec"]["ingress"][0]["ports"], [{"protocol": "TCP", "port": 9443}])

    def test_what_prometheus_takes_is_bounded(self) -> None:
        values = {"metrics": {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}}
        for kind, key in (("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")):
            spec = of(values, kind)[0]["spec"]
            self.assertGreater(spec["sampleLimit"], 0)
            self.assertRegex(spec["bodySizeLimit"], "^[0-9]+MB$")
            self.assertIs(spec[key][0]["followRedirects"], False)

    def test_the_token_goes_to_a_checked_certificate_where_there_is_one(self) -> None:
        monitor = {"serviceMonitor": {"enabled": True}}
        tls = of({"metrics": monitor | {"tls": {"secretName": "s"}}}, "ServiceMonitor")[0]["spec"]["endpoints"][0]["tlsConfig"]
        self.assertNotIn("insecureSkipVerify", tls)
        self.assertEqual(tls["ca"], {"secret": {"name": "s", "key": "ca.crt"}})
        self.assertRegex(tls["serverName"], r"-metrics\..*\.svc$")
        own = of({"metrics": monitor}, "ServiceMonitor")[0]["spec"]["endpoints"][0]["tlsConfig"]
        self.assertEqual(own, {"insecureSkipVerify": True})

    def test_cert_manager_makes_a_certificate_that_is_checked(self) -> None:
        values = {"metrics": {"serviceMonitor": {"enabled": True}, "tls": {"certManager": {"enabled": True}}}}
        certificate, monitor = of(values, "Certificate")[0]["spec"], of(values, "ServiceMonitor")[0]["spec"]["endpoints"][0]
        self.assertEqual(monitor["tlsConfig"]["ca"]["secret"]["name"], certificate["secretName"])
        self.assertIn(monitor["tlsConfig"]["serverName"], certificate["dnsNames"])
        self.assertEqual(certificate["issuerRef"], {"kind": "Issuer", "name": of(values, "Issuer")[0]["metadata"]["name"]})
        self.assertEqual(controller(values)["spec"]["volumes"][0]["secret"]["secretName"], certificate["secretName"])
        self.assertIn("--metrics-cert-path=/etc/tidegate/metrics-certs", arguments(values))
        values["metrics"]["tls"]["certManager"]["issuerRef"] = {"kind": "ClusterIssuer", "name": "ca"}
        self.assertEqual(of(values, "Certificate")[0]["spec"]["issuerRef"], {"kind": "ClusterIssuer", "name": "ca"})
        self.assertEqual(of(values, "Issuer"), [])

    def test_every_flag_of_the_program_has_one(self) -> None:
        flags = program_flags()
        self.assertIn("--envoy-sha256", flags)
        known = json.loads((CHART / "values.schema.json").read_text())["properties"]["flags"]["properties"]
        self.assertEqual({kebab(name) for name in known}, flags)
        for name, schema in known.items():
            value = example(name, schema)
            with self.subTest(flag=name, value=value):
                shown = str(value).lower() if isinstance(value, bool) else value
                self.assertIn(f"{kebab(name).replace('tunnelctl', 'agent')}={shown}", arguments({"replicaCount": 1, "flags": {name: value}}))

    def test_the_schema_and_the_defaults_name_the_same(self) -> None:
        schema, values = json.loads((CHART / "values.schema.json").read_text()), yaml.safe_load((CHART / "values.yaml").read_text())

        def missing(schema: dict[str, Any], value: Any, place: str) -> list[str]:
            parts = schema.get("properties", {})
            return [one for name, below in parts.items() for one in ([f"{place}{name}"] if name not in value else
                                                                     missing(below, value[name], f"{place}{name}."))]

        optional = ["resources.claims", *[f"affinity.{one}" for one in ("nodeAffinity", "podAffinity", "podAntiAffinity")], "global"]
        self.assertEqual(missing(schema, values, ""), optional)

    def test_unknown_and_wrong_ones_are_refused(self) -> None:
        for values, says in (
                ({"replicas": 1}, "additional properties 'replicas' not allowed"),
                ({"flags": {"envoyVerison": "1.40.0"}}, "at '/flags': additional properties 'envoyVerison' not allowed"),
                ({"image": {"tag": 1.4}}, "at '/image/tag': got number, want string"),
                ({"image": {"tag": "a b"}}, "at '/image/tag': 'a b' does not match pattern"),
                ({"image": {"digest": "sha256:12"}}, "at '/image/digest': 'sha256:12' does not match pattern"),
                ({"image": {"pullPolicy": "Sometimes"}}, "at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'"),
                ({"replicaCount": "two"}, "at '/replicaCount': got string, want integer"),
                ({"flags": {"maxConcurrentReconciles": 0}}, "at '/flags/maxConcurrentReconciles': minimum: got 0, want 1"),
                ({"flags": {"metricsBindAddress": "8443"}}, "at '/flags/metricsBindAddress': '8443' does not match pattern"),
                ({"flags": {"watchNamespaces": ["Default"]}}, "at '/flags/watchNamespaces/0': 'Default' does not match pattern"),
                ({"flags": {"leaderElect": "yes"}}, "at '/flags/leaderElect': got string, want boolean"),
                ({"env": {"logLevel": "loud"}}, "at '/env/logLevel': value must be one of"),
                ({"uplinks": {"namespaces": []}}, "at '/uplinks/namespaces': minItems: got 0, want 1"),
                ({"commonLabels": {"app.kubernetes.io/name": "x"}}, "invalid propertyName 'app.kubernetes.io/name'"),
                ({"metrics": {"serviceMonitor": {"interval": "often"}}}, "at '/metrics/serviceMonitor/interval': 'often' does not match pattern"),
                ({"affinity": {"nodeAfinity": {}}}, "at '/affinity': additional properties 'nodeAfinity' not allowed"),
                ({"flags": {"leaderElect": False}}, "flags.leaderElect=false needs replicaCount=1: without an election every replica would take the lead")):
            with self.subTest(values=values):
                with self.assertRaises(helm.HelmError) as caught:
                    helm.render(CHART, values)
                self.assertIn(says, str(caught.exception))

    def test_images(self) -> None:
        version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
        digest = "sha256:" + 64 * "a"
        for values, image, tag in (({}, version, version), ({"image": {"tag": "v2"}}, "v2", "v2"),
                                   ({"image": {"tag": "v2", "digest": digest}}, f"v2@{digest}", "v2"),
                                   ({"image": {"tag": "v2"}, "flags": {"imageTag": f"v3@{digest}"}}, "v2", f"v3@{digest}")):
            with self.subTest(values=values):
                self.assertEqual(controller(values)["spec"]["containers"][0]["image"], f"ghcr.io/achetronic/tunnel/controller:{image}")
                self.assertIn(f"--image-tag={tag}", arguments(values))

    def test_labels_are_on_everything_and_break_no_selector(self) -> None:
        values = {"commonLabels": {"team": "net"}, "podLabels": {"app.kubernetes.io/component": "c"},
                  "metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}, "podMonitor": {"enabled": True},
                              "networkPolicy": {"enabled": True}}}
        for one in objects(values):
            self.assertEqual(one["metadata"]["labels"]["team"], "net", one)
            self.assertEqual(one["metadata"]["labels"]["app.kubernetes.io/part-of"], "tidegate", one)
        labels = controller(values)["metadata"]["labels"]
        self.assertEqual((labels["team"], labels["app.kubernetes.io/component"]), ("net", "c"))
        self.assertEqual(of(values, "ServiceMonitor")[0]["metadata"]["labels"]["release"], "prometheus")
        for name in ({}, {"fullnameOverride": "other"}, {"nameOverride": "other"}):
            deployment = of(name, "Deployment")[0]
            wanted = deployment["spec"]["selector"]["matchLabels"].items()
            self.assertLessEqual(wanted, deployment["spec"]["template"]["metadata"]["labels"].items())
            for kind in ("PodDisruptionBudget", "NetworkPolicy"):
                selectors = [one["spec"].get("selector", one["spec"].get("podSelector")) for one in of({**values, **name}, kind)]
                self.assertEqual([one["matchLabels"].items() for one in selectors], [wanted])

    def test_the_targets_policy_reaches_the_controller(self) -> None:
        for given in (["10.96.0.1/32", "10.0.0.0/16"], "10.96.0.1/32, 10.0.0.0/16"):
            self.assertIn("--deny-target-cidrs=10.96.0.1/32,10.0.0.0/16", arguments({"flags": {"denyTargetCidrs": given}}))
        self.assertIn("--allow-target-cidrs=10.0.0.0/8", arguments({"flags": {"allowTargetCidrs": ["10.0.0.0/8"]}}))
        self.assertEqual([one for one in arguments({}) if "target-cidrs" in one], [])

    def test_uplinks_can_be_closed_to_other_pods(self) -> None:
        self.assertEqual(of({}, "NetworkPolicy"), [])
        values = {"uplinks": {"namespaces": ["a", "b"], "networkPolicy": {"enabled": True, "namespaceSelector": {"metrics": "yes"}}},
                  "flags": {"metricsBindAddress": "0"}}
        found = of(values, "NetworkPolicy")
        self.assertEqual([one["metadata"]["namespace"] for one in found], ["a", "b"])
        for one in found:
            self.assertEqual(one["spec"]["podSelector"]["matchLabels"], {"app.kubernetes.io/name": "uplink"})
            rule, = one["spec"]["ingress"]
            self.assertEqual([port["port"] for port in rule["ports"]], [40500, 40600])
            self.assertEqual(rule["from"], [{"namespaceSelector": {"matchLabels": {"metrics": "yes"}}}])

    def test_what_is_off_is_not_there(self) -> None:
        switched = {"metrics": {"serviceMonitor": {"enabled": True}, "networkPolicy": {"enabled": True}}}
        off = {**switched, "flags": {"metricsBindAddress": "0", "healthProbeBindAddress": "0"}}
        self.assertEqual([one["kind"] for one in objects(off) if one["kind"] in ("Service", "ServiceMonitor", "NetworkPolicy")], [])
        container = controller(off)["spec"]["containers"][0]
        self.assertEqual([part for part in ("ports", "livenessProbe", "readinessProbe") if part in container], [])
        self.assertEqual(of({"rbac": {"create": False}}, "ClusterRole") + of({"rbac": {"create": False}}, "RoleBinding"), [])
        self.assertEqual(of({"podDisruptionBudget": {"enabled": False}}, "PodDisruptionBudget"), [])
        self.assertEqual(of({"serviceAccount": {"create": False}}, "ServiceAccount"), [])
        self.assertEqual(controller({"serviceAccount": {"create": False}})["spec"]["serviceAccountName"], "default")
        self.assertEqual(of({"serviceAccount": {"create": False, "name": "mine"}}, "ClusterRoleBinding")[0]["subjects"][0]["name"], "mine")

    def test_namespaces_of_rights_and_flags_agree(self) -> None:
        for flags, targets, watched, secrets, reached in (
                ({}, [], [], [], []),
                ({"watchNamespaces": ["a", "b"]}, [], ["a", "b"], ["a", "b"], ["a", "b"]),
                ({"watchNamespaces": " a, b,"}, "c", ["a", "b"], ["a", "b"], ["c"]),
                ({"watchNamespaces": ["a"], "secretNamespaces": ["s"]}, ["t"], ["a"], ["s"], ["t"]),
                ({"secretNamespaces": ["s"]}, [], [], ["s"], [])):
            values = {"flags": flags, "rbac": {"targetNamespaces": targets}}
            with self.subTest(values=values):
                bound = [[one["metadata"]["namespace"] for one in of(values, "RoleBinding", f"tidegate-{kind}-namespace")]
                         for kind in ("watched", "secret", "target")]
                self.assertEqual(bound, [watched, secrets, reached])
                given = {one.partition("=")[0]: one.partition("=")[2] for one in arguments(values)}
                self.assertEqual(given.get("--watch-namespaces", ""), ",".join(watched))
                self.assertEqual(given.get("--secret-namespaces", ""), ",".join(secrets))
                wide = [rule["resources"] for one in of(values, "ClusterRole", "tidegate-controller-cluster-wide") for rule in one["rules"]]
                for resource, names in (("edgenodes", watched), ("secrets", secrets), ("services", reached)):
                    self.assertEqual(any(resource in one for one in wide), not names, resource)
                roles = {one["metadata"]["name"] for one in of(values, "ClusterRole")}
                for one in of(values, "RoleBinding"):
                    if one["roleRef"]["kind"] == "ClusterRole":
                        self.assertIn(one["roleRef"]["name"], roles)

    def test_namespaces_of_uplinks(self) -> None:
        values = {"uplinks": {"namespaces": ["here", "there"], "createNamespaces": True}, "metrics": {"podMonitor": {"enabled": True}}}
        self.assertEqual([one["metadata"]["namespace"] for one in of(values, "Role", "tidegate-uplinks", "here")], ["here", "there"])
        made = of(values, "Namespace", namespace="here")
        self.assertEqual([one["metadata"]["name"] for one in made], ["there"], "the release's own is made by --create-namespace")
        self.assertEqual(made[0]["metadata"]["annotations"], {"helm.sh/resource-policy": "keep"})
        self.assertEqual(made[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "privileged")
        self.assertEqual(of(values, "PodMonitor", namespace="here")[0]["spec"]["namespaceSelector"], {"matchNames": ["here", "there"]})
        self.assertNotIn("namespaceSelector", of({"metrics": {"podMonitor": {"enabled": True}}}, "PodMonitor")[0]["spec"])
        self.assertEqual(of({}, "Namespace"), [])
        elsewhere = {"flags": {"leaderElectNamespace": "leases"}}
        self.assertEqual([one["metadata"]["namespace"] for one in of(elsewhere, "Role", "tidegate-leader-election")], ["leases"])

    def test_notes_tell_the_next_step(self) -> None:
        notes = helm.render(CHART, {"flags": {"watchNamespaces": ["team"]}, "uplinks": {"namespaces": ["edge"]}, "crds": {"install": False}})["templates/NOTES.txt"]
        for part in ("rollout status deployment/tidegate-controller", "in a namespace that it watches (team)", "uplink: {namespace: edge}",
                     "kubectl label namespace edge pod-security", "kubectl apply --server-side -f crds/", "kubectl delete en,pb --all -A"):
            self.assertIn(part, notes)
        plain = helm.render(CHART, {})["templates/NOTES.txt"]
        self.assertNotIn("crds/", plain)
        self.assertNotIn("uplink:", plain)
        self.assertNotRegex(plain, r"\n\n\n|[ \t]\n")
        made = {"uplinks": {"namespaces": ["tunnel", "edge"], "createNamespaces": True}}
        self.assertEqual(re.findall("label namespace (.+) pod-sec", helm.render(CHART, made)["templates/NOTES.txt"]), ["tunnel"])
        self.assertNotIn("NET_ADMIN", helm.render(CHART, {**made, "namespace": {"create": True}})["templates/NOTES.txt"])


def program_flags() -> set[str]:
    """What `tidegate controller` takes, from its declarations."""
    found: set[str] = set()
    for file in ("ControllerCommand", "EnvoyOptions", "ServingOptions", "TargetOptions", "TenantOptions", "RemoteOptions"):
        text = (ROOT / f"Sources/programs/Tidegate/{file}.swift").read_text()
        for part in text.split("@Option(")[1:]:
            declared, variable = re.split(r"\n\s+var (?=\w+)", part, maxsplit=1)
            names = re.findall(r'customLong\("([\w-]+)"\)', declared) or [kebab(re.split(r"\W", variable)[0])[2:]]
            found |= {f"--{name}" for name in names}
    return found


def kebab(name: str) -> str:
    """enableHTTP2 is --enable-http2, as the specification has it."""
    return "--" + re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def example(name: str, schema: dict[str, Any]) -> Any:
    """A value that is not the default."""
    if schema.get("type") == "boolean":
        return not yaml.safe_load((CHART / "values.yaml").read_text())["flags"][name]
    if schema.get("type") == "integer":
        return 7
    return {"envoySource": "https://mirror.example/envoy-{version}", "envoySha256": 64 * "a", "imageRepo": "registry.example:5000/x",
            "denyTargetCidrs": "10.0.0.0/8", "allowTargetCidrs": "10.1.0.0/16",
            "healthProbeBindAddress": "127.0.0.1:1", "metricsBindAddress": "[::1]:2", "maxUplinkCpu": "7",
            "maxUplinkMemory": "7Gi", "maxUplinkStorage": "7Gi", "exposePods": "annotated", "remoteTemplate": "/a"}.get(
                name, "/a" if name.endswith(("Path", "Dir", "kubeconfig")) else "other")
