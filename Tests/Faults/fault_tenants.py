"""From whom nobody expects it: whoever may write resources in one namespace, and servers that he brings."""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path

import many
from cluster_stage import UPLINKS
from lab import keys
from lab.network import BACKEND, CLIENT, VPS
from product import manifests as m
from product import traffic
from product.traffic import eventually
from registry import BESIDE, Seen, fault
from scenes import ClusterScene

_TENANT = "mallory"
_PORT = 2222
_IN_FORCE = 5.0  # s
_GROUP = "tunnel.achetronic.com"


class Server:
    """A tenant's sshd, on the client's host: whoever logs in gets `script` in place of what was asked for."""

    def __init__(self, scene: ClusterScene, script: str):
        self.scene = scene
        self.folder = scene.lab.folder / f"tenant-{time.monotonic_ns()}"
        self.folder.mkdir()
        self.host = keys.make(self.folder, "host")
        self.program = self.folder / "command"
        self.program.write_text(f"#!/bin/sh\n{script}\n")
        os.chmod(self.program, 0o755)
        self.allowed = self.folder / "authorized_keys"
        self.allowed.write_text(scene.lab.operator_key.public_line + "\n")
        self.log = self.folder / "log"
        (self.folder / "config").write_text("\n".join([
            f"Port {_PORT}", f"HostKey {self.host.private}", f"AuthorizedKeysFile {self.allowed}", f"ForceCommand {self.program}", "StrictModes no",
            "PermitRootLogin yes", "UsePAM no", "PasswordAuthentication yes", "PidFile none", "LogLevel DEBUG2", "UseDNS no", "MaxStartups 1000",
            "MaxSessions 10", "PrintMotd no", ""]))
        Path("/run/sshd").mkdir(exist_ok=True)
        self.process = None

    def __enter__(self) -> "Server":
        with open(self.log, "ab") as log:
            self.process = self.scene.lab.client.start(["/usr/sbin/sshd", "-D", "-e", "-f", str(self.folder / "config")], log=log)
        eventually(lambda: "Server listening" in self.text(), within=10)
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        for pid in self.scene.lab.client.pids():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if str(self.folder).encode() in words or b"sshd: root" in words or b"sshd-session" in words:
                os.kill(pid, 9)
        self.process.kill()
        self.process.wait()

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def secret(self, **values: str) -> m.Manifest:
        given = {"privateKey": self.scene.lab.operator_key.private_text,
                 "knownHosts": keys.known_hosts_line(CLIENT, self.host.public_line, port=_PORT), **values}
        return m.ssh_secret("vps-ssh", namespace=_TENANT, **given)


def lie(said: Path) -> str:
    """A script that answers whatever it is told to run with what stands in the file, marks and all (`ShellExchange`)."""
    return f'''n=${{SSH_ORIGINAL_COMMAND#*tidegate-shell }}; n=${{n%%[!0-9a-zA-Z]*}}
echo "tidegate-shell $n"; cat >/dev/null; echo "tidegate-begin $n"; cat {said}; echo "tidegate-end $n 0"'''


def node(name: str, **ssh: object) -> m.Manifest:
    return m.edge_node(name, CLIENT, namespace=_TENANT, ssh={"port": _PORT, "secretRef": {"name": "vps-ssh"}, **ssh})


class Tenant:
    """Everything in the tenant's namespace, gone at the end with whatever was made of it."""

    def __init__(self, scene: ClusterScene):
        self.scene, self.stage = scene, scene.stage

    def __enter__(self) -> "Tenant":
        self.stage.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _TENANT}})
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.stage.list("EdgeNode", _TENANT):
            self.stage.kubectl("annotate", "edgenode", one["metadata"]["name"], "--namespace", _TENANT, "--overwrite", f"{_GROUP}/skip-deprovision=true")
        self.stage.kubectl("delete", "edgenodes,portbindings,secrets", "--all", "--namespace", _TENANT, "--wait=false")
        eventually(lambda: not self.stage.list("EdgeNode", _TENANT), within=120, every=0.5)

    def condition(self, name: str, condition: str = "Enrolled") -> dict:
        return self.stage.condition("EdgeNode", name, condition, namespace=_TENANT)


def in_force(scene: ClusterScene, name: str, port: int) -> float:
    """Seconds until a new binding of the honest EdgeNode carries traffic; it is taken away again."""
    scene.stage.kubectl.apply(m.port_binding(name, "edge", m.tcp(name, port, BACKEND, 7001)))
    began = time.monotonic()
    try:
        eventually(lambda: traffic.whoami(scene.lab.client, VPS, port, timeout=1), within=60, every=0.05)
        return time.monotonic() - began
    finally:
        scene.stage.kubectl("delete", "portbinding", name)


def controller(scene: ClusterScene) -> int:
    return scene.stage.controllers[0].process.pid


def transitions(scene: ClusterScene) -> int:
    return scene.stage.epoch()


@fault("a server that says the highest number", BESIDE, stage="cluster",
       injected="a tenant's EdgeNode leads to an sshd that answers `refused`, `staleEpoch`, epoch 2147483647, and later 18446744073709551615; the controller "
                "is started anew",
       expected="the tenant's EdgeNode alone says StaleEpoch; the Lease counts its terms and nothing else; honest VPSes take bindings before and after "
                "the start")
def highest_number(scene: ClusterScene) -> Seen:
    stage = scene.stage
    build = scene.stage.controllers[0].programs.agent_bundle.with_name("edge-agent-x86_64.build").read_text().strip()
    said = scene.lab.folder / "said"

    def answer(epoch: int) -> None:
        said.write_text(json.dumps({
            "outcome": "refused", "agentBuild": build, "epoch": epoch, "changes": [], "drift": [], "listeners": [], "peers": [], "starved": [],
            "problems": [{"kind": "staleEpoch", "message": "this VPS has seen a later writer"}]}) + "\n")

    answer(2**31 - 1)
    before = transitions(scene)
    with Server(scene, lie(said)) as server, Tenant(scene) as tenant:
        stage.kubectl.apply(server.secret(), node("liar"))
        eventually(lambda: tenant.condition("liar").get("reason") == "StaleEpoch", within=30)
        first = in_force(scene, "beside-a-liar", 7410)
        assert transitions(scene) == before, f"the Lease went from {before} to {transitions(scene)}"
        answer(2**64 - 1)
        stage.kubectl("annotate", "edgenode", "liar", "--namespace", _TENANT, "look=again")
        time.sleep(5)
        stage.controllers[0].stop()
        stage.controllers[0].start()
        eventually(lambda: transitions(scene) > before, within=60)
        second = in_force(scene, "after-a-start", 7411)
        assert transitions(scene) == before + 1, f"the Lease went from {before} to {transitions(scene)}"
        eventually(lambda: tenant.condition("liar").get("reason") == "StaleEpoch", within=30)
        stage.wait("EdgeNode", "edge", within=30)
    return Seen(f"honest bindings in force after {first:.1f} s, and {second:.1f} s after the start; the Lease went from {before} to {before + 1}", second)


@fault("sixty VPSes that hang", BESIDE, stage="cluster",
       injected="a tenant's 60 EdgeNodes lead to an sshd whose every command sleeps for an hour; a binding on an honest EdgeNode once they all begin, and "
                "another once they all hang",
       expected=f"each of the two is in force within {_IN_FORCE:.0f} s")
def hanging(scene: ClusterScene) -> Seen:
    with Server(scene, "exec sleep 3600") as server, Tenant(scene) as tenant:
        scene.stage.kubectl.apply(server.secret(), *(node(f"hanging-{number}") for number in range(60)))
        first = in_force(scene, "first", 7420)
        eventually(lambda: server.text().count("Accepted publickey") >= 60, within=60)
        second = in_force(scene, "second", 7421)
    assert max(first, second) < _IN_FORCE, f"in force after {first:.1f} and {second:.1f} s"
    return Seen(f"in force after {first:.1f} and {second:.1f} s", second)


@fault("three thousand Services that nobody made", BESIDE, stage="cluster",
       injected="a tenant's 300 PortBindings of ten bindings each name Services in 3,000 namespaces that there are not; a binding to a new Service on an honest "
                "EdgeNode",
       expected="no watch and connection for each: fewer than 40 connections to the API server, less than 24 MiB; the honest binding is in force within "
                f"{_IN_FORCE:.0f} s; the controller leads on")
def made_up(scene: ClusterScene) -> Seen:
    stage, pid = scene.stage, controller(scene)
    before, terms = many.resident([pid]), transitions(scene)
    path = f"/apis/{_GROUP}/v1alpha1/namespaces/{_TENANT}/portbindings"
    with Tenant(scene):
        stage.kubectl.apply(m.ssh_secret("vps-ssh", namespace=_TENANT, password="x"), node("nowhere"))
        for number in range(300):
            bindings = [m.tcp_to_service(f"b{number}-{index}", 10_000 + number * 10 + index, "web", 80, namespace=f"made-up-{number}-{index}")
                        for index in range(10)]
            stage.api.request("POST", path, m.port_binding(f"p{number}", "nowhere", *bindings, namespace=_TENANT), timeout=60)
        time.sleep(10)
        open_sockets = sockets(pid)
        stage.kubectl.apply(stage.service("honest", (80, 7001), backend=BACKEND))
        stage.kubectl.apply(m.port_binding("honest", "edge", m.tcp_to_service("honest", 7430, "honest", 80)))
        began = time.monotonic()
        eventually(lambda: traffic.whoami(scene.lab.client, VPS, 7430, timeout=1), within=60, every=0.05)
        took = time.monotonic() - began
        after = many.resident([pid])
        stage.kubectl("delete", "portbinding", "honest")
        stage.kubectl("delete", "service", "honest")
        assert transitions(scene) == terms, "the lead was lost"
    assert open_sockets < 40, f"{open_sockets} connections"
    assert after - before < 24, f"from {before:.0f} to {after:.0f} MB"
    assert took < _IN_FORCE, f"in force after {took:.1f} s"
    return Seen(f"{open_sockets} connections, {before:.0f} → {after:.0f} MB; the honest binding in force after {took:.1f} s", took)


def sockets(pid: int) -> int:
    """Established TCP connections of a process."""
    mine = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(entry)
        except OSError:
            continue
        if target.startswith("socket:["):
            mine.add(target[8:-1])
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]]
    return sum(1 for words in lines if words[9] in mine and words[3] == "01")


@fault("a Secret with fifty thousand keys", BESIDE, stage="cluster",
       injected="a tenant's EdgeNode names a Secret of 0.9 MB with 50,000 keys, which is then changed ten times",
       expected="less than 24 MiB more, and that once; honest bindings in force within 5 s")
def crowded_secret(scene: ClusterScene) -> Seen:
    stage, pid = scene.stage, controller(scene)
    before = many.resident([pid])
    data = {f"k{number:05}": base64.b64encode(b"x").decode() for number in range(50_000)}
    path = f"/api/v1/namespaces/{_TENANT}/secrets"
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vps-ssh", "namespace": _TENANT},
              "data": {**data, "password": base64.b64encode(b"secret").decode()}}
    with Tenant(scene) as tenant:
        stage.api.request("POST", path, secret, timeout=60)
        stage.kubectl.apply(node("crowded"))
        eventually(lambda: tenant.condition("crowded").get("reason"), within=30)
        assert "knownHosts" in tenant.condition("crowded")["message"], tenant.condition("crowded")
        for number in range(10):
            secret["data"]["k00000"] = base64.b64encode(str(number).encode()).decode()
            stage.api.request("PUT", f"{path}/vps-ssh", secret, timeout=60)
        took = in_force(scene, "beside-a-crowd", 7440)
        after = many.resident([pid])
    assert after - before < 24, f"from {before:.0f} to {after:.0f} MB"
    assert took < _IN_FORCE, f"in force after {took:.1f} s"
    return Seen(f"{before:.0f} → {after:.0f} MB; in force after {took:.1f} s", took)


@fault("a password of somebody else", BESIDE, stage="cluster",
       injected="a tenant's EdgeNode, insecureSkipHostKeyVerification, leads to his own sshd; its secretRef names another namespace's Secret, then a password "
                "of his own; then the owner allows the first, with known hosts",
       expected="ReferenceNotAllowed, whether there is such a Secret or not; no password reaches a server whose host key is not checked; allowed, it logs in")
def somebodys_password(scene: ClusterScene) -> Seen:
    stage = scene.stage
    with Server(scene, "cat >/dev/null; echo no agent >&2; exit 1") as server, Tenant(scene) as tenant:
        stage.kubectl.apply(m.ssh_secret("login", namespace="networking", password="hunter2"))
        try:
            def leads_to(name: str) -> dict:
                stage.kubectl.apply(node("thief", insecureSkipHostKeyVerification=True, secretRef={"name": name, "namespace": "networking"}))

                def told() -> dict | None:
                    found = tenant.condition("thief")
                    return found if f"networking/{name} " in found.get("message", "") else None
                return eventually(told, within=30)
            there, gone = leads_to("login"), leads_to("logout")
            assert there["reason"] == gone["reason"] == "ReferenceNotAllowed", (there, gone)
            assert there["message"].replace("login", "") == gone["message"].replace("logout", ""), (there, gone)
            assert "Connection from" not in server.text(), "it connected"
            stage.kubectl.apply(m.ssh_secret("vps-ssh", namespace=_TENANT, password="hunter3"))
            stage.kubectl.apply(node("own", insecureSkipHostKeyVerification=True))
            eventually(lambda: "host key nobody has checked" in tenant.condition("own").get("message", ""), within=30)
            assert "Connection from" not in server.text(), "it connected"
            allowed = {**server.secret(), "metadata": {"name": "logout", "namespace": "networking", "annotations": {
                f"{_GROUP}/allow-references-from": _TENANT}}}
            stage.kubectl.apply(allowed)
            eventually(lambda: "Accepted publickey" in server.text(), within=30)
        finally:
            stage.kubectl("delete", "secret", "login", "logout", "--namespace", "networking", "--ignore-not-found")
    return Seen("refused in the same words, no connection made; logged in once the owner allowed it")


@fault("pods that ask for too much", BESIDE, stage="cluster",
       injected="a tenant's EdgeNodes ask for 253 replicas, a toleration of every taint, a network by annotation, a GPU",
       expected="NotAllowed, with the flag; nothing is made for them in the uplinks' namespace")
def too_much(scene: ClusterScene) -> Seen:
    wishes = {"replicas": {"replicas": 253}, "tolerations": {"tolerations": [{"operator": "Exists"}]},
              "annotations": {"annotations": {"k8s.v1.cni.cncf.io/networks": "host"}}, "resources": {"resources": {"limits": {"nvidia.com/gpu": "1"}}}}
    with Tenant(scene) as tenant:
        scene.stage.kubectl.apply(m.ssh_secret("vps-ssh", namespace=_TENANT, password="x"))
        for name, uplink in wishes.items():
            scene.stage.kubectl.apply({**node(f"wants-{name}"), "spec": {**node("x")["spec"], "uplink": uplink}})
        for name in wishes:
            eventually(lambda name=name: tenant.condition(f"wants-{name}", "Ready").get("reason") == "NotAllowed", within=30)
            assert "(--" in tenant.condition(f"wants-{name}", "Ready")["message"]
        made = [one["metadata"]["name"] for kind in ("StatefulSet", "Secret", "ConfigMap") for one in scene.stage.list(kind, UPLINKS)
                if one["metadata"]["name"].startswith("wants-")]
        assert made == [], made
    return Seen("each refused with its flag; nothing was made")
