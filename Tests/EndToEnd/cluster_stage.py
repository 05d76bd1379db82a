"""The stage of the cluster's end-to-end tests: a lab, an API server, nodes that run pods, and `tidegate controller` at home.

As stage.py: most tests share one enrolled EdgeNode (`shared`), those that end it take a fresh stage. One at a time.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import unittest
from pathlib import Path

import yaml

from cluster.api import API, APIError
from cluster.cluster import Cluster
from cluster.kubectl import Kubectl
from cluster.proxy import BACKEND as BACKEND_ANNOTATION
from kube import packages
from kube.double import ApiServer
from lab import paths
from lab.commands import CommandFailed
from lab.laboratory import Lab
from lab.network import VPS
from product import manifests as m
from product.controller import Controller
from product.standalone import NotSeen
import stage as standalone_stage

GROUP = "tunnel.achetronic.com"
UPLINKS = "tunnel"  # the default of spec.uplink.namespace
_ENROLLMENT = 120  # seconds, as in stage.py
_COLLECTIONS = {
    "EdgeNode": f"/apis/{GROUP}/v1alpha1/namespaces/%s/edgenodes", "PortBinding": f"/apis/{GROUP}/v1alpha1/namespaces/%s/portbindings",
    "Secret": "/api/v1/namespaces/%s/secrets", "ConfigMap": "/api/v1/namespaces/%s/configmaps", "Service": "/api/v1/namespaces/%s/services",
    "RemoteService": f"/apis/{GROUP}/v1alpha1/namespaces/%s/remoteservices", "Deployment": "/apis/apps/v1/namespaces/%s/deployments",
    "Ingress": "/apis/networking.k8s.io/v1/namespaces/%s/ingresses",
    "Pod": "/api/v1/namespaces/%s/pods", "StatefulSet": "/apis/apps/v1/namespaces/%s/statefulsets",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/%s/poddisruptionbudgets",
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/%s/leases", "Event": "/apis/events.k8s.io/v1/namespaces/%s/events",
}


class ClusterStage:
    """All of it. `server` is the API server's double; `api` and `kubectl` are of a user that may do all."""

    def __init__(self, lab: Lab):
        self.lab = lab
        self.folder = lab.folder / "cluster"
        self.folder.mkdir(mode=0o700)
        packages.folder()  # before the server is where no package index can be reached
        self.server = ApiServer(self.folder / "apiserver", namespace=lab.home).start()
        admin = self.server.kubeconfig()
        self.api = API(lab.home, admin, agent="tidegate-lab/tests")
        self.kubectl = Kubectl(lab.home, admin)
        self.cluster = Cluster(lab, admin)
        self.controllers: list[Controller] = []

    def build(self) -> "ClusterStage":
        """The nodes, and what an installing SRE applies: definitions, namespace, ServiceAccount, RBAC."""
        self.cluster.start()
        self.kubectl("apply", "-f", str(paths.REPOSITORY / "crds"))
        installation = list(yaml.safe_load_all(self.kubectl("kustomize", str(paths.REPOSITORY / "deploy/kubernetes"))))
        wanted = [one for one in installation if one["kind"] not in ("Deployment", "CustomResourceDefinition", "PodMonitor")]
        self.account = next(one["metadata"] for one in wanted if one["kind"] == "ServiceAccount")
        # A second account with the same rights: whose request it was can be told by its name.
        for one in wanted:
            if one["kind"] in ("RoleBinding", "ClusterRoleBinding"):
                one["subjects"] += [{**subject, "name": f"{subject['name']}-b"} for subject in one["subjects"]]
        second = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": f"{self.account['name']}-b", "namespace": self.account["namespace"]}}
        self.kubectl.apply(*[one for one in wanted if one["kind"] == "Namespace"])
        self.kubectl.apply(*[one for one in wanted if one["kind"] != "Namespace"], second)
        for name in (UPLINKS, "networking"):
            if self.api.get(f"/api/v1/namespaces/{name}") is None:
                self.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return self

    def grant_uplinks(self, namespace: str) -> None:
        """Makes a namespace for uplinks, with the rights there that the chart gives the controller for each of `uplinks.namespaces`."""
        self.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        name, api = f"tidegate-{namespace}", "rbac.authorization.k8s.io"
        home, account = self.user().split(":")[2:]
        self.kubectl.apply(
            {"apiVersion": f"{api}/v1", "kind": "ClusterRole", "metadata": {"name": name, "namespace": ""},
             "rules": [{"apiGroups": [""], "resources": ["namespaces"], "resourceNames": [namespace], "verbs": ["get"]}]},
            {"apiVersion": f"{api}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name, "namespace": ""},
             "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": name},
             "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": home}]})
        for one in yaml.safe_load_all((paths.REPOSITORY / "deploy/kubernetes/base/uplink-role.yaml").read_text()):
            one["metadata"]["namespace"] = namespace
            self.kubectl.apply(one)

    def controller(self, number: int = 0) -> Controller:
        """A controller of its own name, account and ports, not started: 0 and 1 are the two there can be."""
        name = f"controller-{number}"
        config = self.server.kubeconfig(name, user=self.user(number))
        # As in a pod: the token is a file, and its next one comes into the same place.
        content = json.loads(config.read_text())
        content["users"][0]["user"] = {"tokenFile": str(self.folder / f"{name}.token")}
        config.write_text(json.dumps(content))
        self.renew_token(number)
        made = Controller(self.lab, name, config, number=number, namespace=UPLINKS)
        self.controllers.append(made)
        return made

    def renew_token(self, number: int = 0) -> None:
        """The controller's next token, as the kubelet writes it."""
        fresh = self.folder / "token.new"
        fresh.touch(mode=0o600)
        fresh.write_text(self.server.token(self.user(number)))
        os.replace(fresh, self.folder / f"controller-{number}.token")

    def user(self, number: int = 0) -> str:
        return f"system:serviceaccount:{self.account['namespace']}:{self.account['name']}{'-b' if number else ''}"

    # What users do

    def ssh_secret(self, name: str = "vps-ssh", *, namespace: str = "default") -> m.Manifest:
        return m.ssh_secret(name, namespace=namespace, privateKey=self.lab.operator_key.private_text, knownHosts=self.lab.known_hosts())

    def service(self, name: str, *ports: tuple[int, int], backend: str, namespace: str = "default", protocol: str = "TCP",
                address: str | None = None) -> m.Manifest:
        """A Service whose ports (own, backend's) lead to `backend`. Its address is the server's choice unless given."""
        spec = {"ports": [{"name": f"p{port}", "port": port, "targetPort": target, "protocol": protocol} for port, target in ports],
                **({"clusterIP": address} if address else {})}
        return {"apiVersion": "v1", "kind": "Service",
                "metadata": {"name": name, "namespace": namespace, "annotations": {BACKEND_ANNOTATION: backend}}, "spec": spec}

    def enroll(self, name: str = "edge", **spec) -> None:
        """Applies an EdgeNode for the lab's VPS, and waits until it is Ready."""
        self.kubectl.apply(self.ssh_secret(), m.edge_node(name, VPS, **spec))
        self.wait("EdgeNode", name, within=_ENROLLMENT)

    # What they see

    def get(self, kind: str, name: str, namespace: str = "default") -> dict | None:
        return self.api.get(f"{_COLLECTIONS[kind] % namespace}/{name}")

    def list(self, kind: str, namespace: str = "default") -> list[dict]:
        return self.api.request("GET", _COLLECTIONS[kind] % namespace).get("items") or []

    def status(self, kind: str, name: str, namespace: str = "default") -> dict:
        return (self.get(kind, name, namespace) or {}).get("status") or {}

    def condition(self, kind: str, name: str, condition: str = "Ready", namespace: str = "default") -> dict:
        return next((one for one in self.status(kind, name, namespace).get("conditions", []) if one["type"] == condition), {})

    def wait(self, kind: str, name: str, condition: str = "Ready", status: str = "True", *, reason: str | None = None,
             within: float = 60, namespace: str = "default") -> dict:
        """The condition, once it is as wanted and of the present generation. Raises NotSeen."""
        deadline = time.monotonic() + within
        while True:
            found = self.get(kind, name, namespace) or {"metadata": {}}
            for one in found.get("status", {}).get("conditions", []):
                if one["type"] == condition and one["status"] == status and reason in (None, one["reason"]) \
                        and one.get("observedGeneration", 0) == found["metadata"].get("generation", 0):
                    return one
            self._fail_late(deadline, f"{kind} {namespace}/{name}: {condition}={status} {reason or ''}", found)

    def wait_binding(self, name: str, binding: str, *, ready: bool = True, reason: str | None = None, within: float = 30,
                     namespace: str = "default") -> dict:
        """The entry of one binding in its PortBinding's status, once it is as wanted. Raises NotSeen."""
        deadline = time.monotonic() + within
        while True:
            status = self.status("PortBinding", name, namespace)
            for one in status.get("bindings", []):
                if one["name"] == binding and one["ready"] == ready and reason in (None, one["reason"]):
                    return one
            self._fail_late(deadline, f"binding {binding} of {namespace}/{name}: ready={ready} {reason or ''}", status)

    def wait_event(self, reason: str, *, regarding: str, within: float = 20, namespace: str = "default") -> dict:
        """An event of that reason about the object of that name. Raises NotSeen."""
        deadline = time.monotonic() + within
        while True:
            events = self.list("Event", namespace)
            for one in events:
                if one["reason"] == reason and one["regarding"]["name"] == regarding:
                    return one
            self._fail_late(deadline, f"event {reason} about {namespace}/{regarding}",
                            {"events": [f"{one['regarding']['name']}: {one['reason']}: {one.get('note')}" for one in events]})

    def wait_gone(self, kind: str, name: str, *, within: float = 30, namespace: str = "default") -> None:
        deadline = time.monotonic() + within
        while (found := self.get(kind, name, namespace)) is not None:
            self._fail_late(deadline, f"{kind} {namespace}/{name} gone", found)

    def envoy_pid(self) -> str:
        """Of the Envoy that serves, as its supervisor says."""
        run = json.loads(self.lab.vps.exec(["cat", "/run/tidegate/envoy.json"]))
        return str(next(one["pid"] for one in run["processes"] if one["phase"] == "serving"))

    def keys(self, node: str = "edge") -> set[str]:
        """The names of the uplinks' keys that are held."""
        return set(((self.get("Secret", f"{node}-uplink-keys", UPLINKS) or {}).get("data") or {}))

    def holder(self) -> str:
        """Who holds the controllers' Lease; empty when nobody does."""
        return next((one["spec"].get("holderIdentity") or "" for one in self.list("Lease", UPLINKS)), "")

    def epoch(self) -> int:
        return next((one["spec"].get("leaseTransitions", 0) + 1 for one in self.list("Lease", UPLINKS)), 0)

    def _fail_late(self, deadline: float, wanted: str, seen: dict) -> None:
        ended = bool(self.controllers) and not any(one.is_running for one in self.controllers)
        if ended or time.monotonic() > deadline:
            tails = "".join(f"\n{one.name} ends ({'running' if one.is_running else 'not running'}):\n"
                            + "\n".join(one.log_text().splitlines()[-25:]) for one in self.controllers)
            seen.get("metadata", {}).pop("managedFields", None)
            raise NotSeen(f"{wanted}: not so in time\n{yaml.safe_dump(seen)}{tails}")
        time.sleep(0.05)


_current: ClusterStage | None = None
_is_shared = False
# Why there is no shared stage: what failed once is not tried again for each module.
_failure: Exception | None = None


def shared() -> ClusterStage:
    """One controller and the enrolled EdgeNode `edge` with one uplink. Each test brings its own PortBinding and ports."""
    global _failure, _is_shared
    if _failure is not None:
        raise RuntimeError("the shared stage failed before") from _failure
    if _current is None or not _is_shared:
        try:
            made = fresh()
            made.controller().start()
            made.enroll()
        except Exception as error:
            _failure = error
            raise
        _is_shared = True
    assert _current is not None
    return _current


def fresh(**lab_options) -> ClusterStage:
    """A new lab with an installed cluster and no controller running; ends the stage before it. For lab_options see Lab.up."""
    global _current, _is_shared
    standalone_stage.close()
    close()
    lab = Lab(os.environ.get("TIDEGATE_LAB", "e2e")).up(attached=True, **lab_options)
    _is_shared = False
    try:
        _current = ClusterStage(lab)
        _current.build()
    except BaseException:
        if _current is None:
            lab.down()
        raise
    return _current


def close() -> None:
    global _current
    if _current is not None:
        _current.lab.down()
        _current = None


def keep_evidence(folder: Path) -> None:
    """Copies what helps to understand a failure, before the stage is gone. Secrets are not among it."""
    if _current is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for file in _current.lab.folder.glob("*.log"):
        shutil.copy(file, folder / file.name)
    shutil.copy(_current.server.folder / "log", folder / "apiserver.log")
    for log in (_current.lab.folder / "pods").glob("*/*/log"):
        shutil.copy(log, folder / f"pod-{log.parts[-3]}-{log.parts[-2]}.log")
    try:
        (folder / "vps-journal.txt").write_text(_current.lab.vps.exec(["journalctl", "--no-pager", "--lines=2000"]))
    except (CommandFailed, RuntimeError, OSError) as error:
        (folder / "vps-journal.txt").write_text(f"not to be had: {error}")
    try:
        for kind, namespace in (("EdgeNode", "default"), ("PortBinding", "default"), ("Event", "default"), ("StatefulSet", UPLINKS),
                                ("Pod", UPLINKS), ("Lease", "tunnel")):
            (folder / f"{kind}.yaml").write_text(yaml.safe_dump(_current.list(kind, namespace)))
    except APIError as error:
        (folder / "objects.txt").write_text(f"not to be had: {error}")


class ClusterTest(unittest.TestCase):
    """A test with the shared stage; see `shared`."""

    stage: ClusterStage
    lab: Lab
    kubectl: Kubectl

    @classmethod
    def make_stage(cls) -> ClusterStage:
        return shared()

    @classmethod
    def setUpClass(cls) -> None:
        cls.stage = cls.make_stage()
        cls.lab = cls.stage.lab
        cls.kubectl = cls.stage.kubectl

    def publish(self, *objects: m.Manifest) -> None:
        """Applies objects that go again when the test ends."""
        self.kubectl.apply(*objects)
        self.addCleanup(self._withdraw, objects)

    def _withdraw(self, objects: tuple[m.Manifest, ...]) -> None:
        for one in objects:
            meta = one["metadata"]
            self.kubectl("delete", one["kind"], meta["name"], "--namespace", meta["namespace"], "--ignore-not-found", "--wait=false")
