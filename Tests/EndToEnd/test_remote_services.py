"""RemoteServices in the cluster, as docs/remote.md has them: from `kubectl apply` to the first byte through the Service, by each client, through nginx."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import tomllib

import yaml

from cluster_stage import ClusterStage, ClusterTest, fresh
from lab import paths
from lab.commands import run
from lab.network import BACKEND, UPLINKS
from product.programs import programs
from product.traffic import eventually
from remotes import Rathole, Server, Wstunnel, echo_datagrams, quietly
from test_gateway import exchange
from test_ssh_tunnel import conversation, echoes

_DOMAIN = "tunnel.example.test"
_ECHO = 8080
_UDP = 5353

Manifest = dict


def remote_service(name: str, *, clients: list[str] | None = None, ports: list[Manifest] | None = None, gateway: Manifest | None = None,
                   mesh: Manifest | None = None) -> Manifest:
    return {"apiVersion": "tunnel.achetronic.com/v1alpha1", "kind": "RemoteService", "metadata": {"name": name, "namespace": "default"},
            "spec": {"ports": ports or [{"name": "http", "port": 80, "targetPort": _ECHO}, {"name": "dns", "protocol": "UDP", "port": 53, "targetPort": _UDP}],
                     **({"clients": clients} if clients else {}), **({"mesh": mesh} if mesh else {}), "gateway": gateway or {"ingress": {"className": "nginx"}}}}


def visitors() -> Manifest:
    """A pod of the cluster, from whose network a client of the Services looks."""
    return {
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "visitor", "namespace": "default"},
        "spec": {"replicas": 1, "podManagementPolicy": "Parallel", "serviceName": "visitor", "selector": {"matchLabels": {"app": "visitor"}},
                 "template": {"metadata": {"labels": {"app": "visitor"}},
                              "spec": {"containers": [{"name": "visitor", "image": "lab/busybox:any", "args": ["busybox", "sleep", "100000"]}]}}}}


class Ingresses:
    """nginx on `uplink1`, led by the Ingresses as ingress-nginx is: each host to the pods behind its Service."""

    def __init__(self, stage: ClusterStage):
        self.stage, self.host = stage, stage.lab.network.hosts["uplink1"]
        self.folder = stage.lab.folder / "nginx"
        self.folder.mkdir()
        for folder in (stage.lab.folder.parent, stage.lab.folder):
            folder.chmod(0o711)
        self.certificate = stage.lab.certificates.issue("wildcard", f"*.{_DOMAIN}")
        self.text = ""
        self.stopped = False
        self.process: subprocess.Popen | None = None
        self.render()
        self.start()
        threading.Thread(target=self.follow, daemon=True).start()

    def start(self) -> None:
        with open(self.folder / "log", "ab") as log:
            self.process = self.host.start(["nginx", "-c", str(self.folder / "nginx.conf")], log=log)
        eventually(lambda: self.host.connect(UPLINKS[0], 443).close() or True, within=10)

    def kill(self) -> None:
        self.process.kill()
        run(["sh", "-c", f"kill -9 $(ip netns pids {self.host.name}) 2>/dev/null; true"])
        self.process.wait()

    def render(self) -> bool:
        servers = ""
        for ingress in self.stage.list("Ingress"):
            for rule in ingress["spec"]["rules"]:
                backend = rule["http"]["paths"][0]["backend"]["service"]
                service = self.stage.get("Service", backend["name"])
                pods = [pod["status"]["podIP"] for pod in self.stage.list("Pod") if service
                        and service["spec"]["selector"].items() <= pod["metadata"].get("labels", {}).items() and "deletionTimestamp" not in pod["metadata"]
                        and any(one["type"] == "Ready" and one["status"] == "True" for one in pod.get("status", {}).get("conditions", []))]
                if not pods:
                    continue
                annotations = ingress["metadata"]["annotations"]
                servers += f"""
  server {{
    listen {UPLINKS[0]}:80; listen {UPLINKS[0]}:443 ssl; server_name {rule['host']};
    ssl_certificate {self.certificate.certificate}; ssl_certificate_key {self.certificate.key};
    location / {{
      proxy_pass http://{pods[0]}:{backend['port']['number']}; proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; proxy_set_header Host $host;
      proxy_read_timeout {annotations['nginx.ingress.kubernetes.io/proxy-read-timeout']}s;
      proxy_send_timeout {annotations['nginx.ingress.kubernetes.io/proxy-send-timeout']}s;
    }}
  }}"""
        folder = self.folder
        text = f"""
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; server_names_hash_bucket_size 128;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
  server {{ listen {UPLINKS[0]}:80 default_server; listen {UPLINKS[0]}:443 ssl default_server; return 404;
    ssl_certificate {self.certificate.certificate}; ssl_certificate_key {self.certificate.key}; }}{servers}
}}
"""
        if text == self.text:
            return False
        self.text = text
        (folder / "nginx.conf").write_text(text)
        return True

    def follow(self) -> None:
        while not self.stopped:
            try:
                if self.render():
                    os.kill(self.process.pid, signal.SIGHUP)
            except (OSError, KeyError, TypeError):
                pass
            time.sleep(0.3)


class RemoteServices(ClusterTest):
    @classmethod
    def make_stage(cls) -> ClusterStage:
        stage = fresh()
        stage.kubectl.apply(visitors())
        run_kustomize = yaml.safe_load_all(stage.kubectl("kustomize", str(paths.REPOSITORY / "deploy/kubernetes/remote-services")))
        stage.kubectl.apply(*[one for one in run_kustomize if not one["kind"].startswith("ValidatingAdmission")])
        stage.kubectl.apply(
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "nodes", "namespace": ""},
             "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "nodes", "namespace": ""},
             "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "nodes"},
             "subjects": [{"kind": "ServiceAccount", "name": stage.account["name"], "namespace": stage.account["namespace"]}]})
        stage.controller().start("--wildcard-domain", f"*.{_DOMAIN}", "--expose-pods", "virtual-nodes", "--expose-pods-namespaces", "default")
        cls.ingresses = Ingresses(stage)
        cls.remote = stage.lab.home
        cls.listeners = [cls.remote.socket(), cls.remote.socket(kind=socket.SOCK_DGRAM)]
        cls.listeners[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        cls.listeners[0].bind(("127.0.0.1", _ECHO))
        cls.listeners[0].listen(512)
        threading.Thread(target=echoes, args=(cls.listeners[0],), daemon=True).start()
        cls.listeners[1].bind(("127.0.0.1", _UDP))
        quietly(echo_datagrams, cls.listeners[1])
        eventually(lambda: stage.status("StatefulSet", "visitor").get("readyReplicas") == 1, within=60)
        cls.visitor = stage.cluster.host_of("default", "visitor-0")
        return stage

    @classmethod
    def tearDownClass(cls) -> None:
        cls.ingresses.stopped = True
        cls.ingresses.kill()
        for listener in cls.listeners:
            listener.close()

    def serve(self, *objects: Manifest) -> None:
        for one in objects:
            self.addCleanup(self.stage.wait_gone, "Deployment", f"{one['metadata']['name']}-gateway")
        self.publish(*objects)

    def host(self, name: str) -> str:
        host = eventually(lambda: self.stage.status("RemoteService", name).get("host"), within=40)
        self.lab.set_names({UPLINKS[0]: host})
        return host

    def join_secret(self, name: str) -> dict[str, str]:
        secret = eventually(lambda: self.stage.get("Secret", f"{name}-join"), within=40)
        return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}

    def visit(self, name: str, port: int = 80) -> socket.socket:
        address = self.stage.get("Service", name)["spec"]["clusterIP"]
        return self.visitor.connect(address, port, timeout=20)

    def ask_dns(self, name: str) -> None:
        address = self.stage.get("Service", name)["spec"]["clusterIP"]
        with self.visitor.socket(kind=socket.SOCK_DGRAM) as session:
            session.settimeout(5)
            session.connect((address, 53))
            for _ in range(10):
                sent = os.urandom(1400)
                session.send(sent)
                self.assertEqual(session.recv(65536), sent)

    def join(self, name: str, *, mesh: bool = False, without: str = "") -> subprocess.Popen:
        """The very line of the Secret, or but for something."""
        line = self.join_secret(name)["tidegate"]
        self.assertRegex(line, r"^echo tidegate-remote-1\.\S+ \| uplink join -" + (" --mesh" if mesh else "") + "$")
        line = line.replace(without, "")
        with open(self.lab.folder / f"join-{name}.log", "ab") as log:
            process = self.remote.start(["sh", "-c", f"PATH={programs().folder}:$PATH; {line}"], log=log, env={"LOG_FORMAT": "text"})
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen) -> None:
        try:
            os.killpg(process.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        process.wait(30)

    def test_our_client(self) -> None:
        self.serve(remote_service("job"))
        self.assertEqual(self.host("job"), f"job-default.{_DOMAIN}")
        self.stage.wait("RemoteService", "job", "GatewayReady", within=60)
        waiting = self.stage.wait("RemoteService", "job", "Connected", "False", reason="NoRemote")
        self.assertIn("Secret job-join has the command", waiting["message"])
        with self.assertRaises(OSError):
            self.visit("job")
        self.join("job")
        self.stage.wait("RemoteService", "job", within=60)
        with self.visit("job") as connection:
            conversation(connection, 1 << 20)
        self.ask_dns("job")
        self.assertIn("2/2", self.kubectl("get", "rsvc", "job"))
        # Its pod may do nothing.
        pod = next(pod for pod in self.stage.list("Pod") if pod["metadata"]["name"].startswith("job-gateway-"))
        said = run(["grep", "-E", "CapEff|Uid", f"/proc/{self.stage.cluster.pid('default', pod['metadata']['name'])}/status"])
        self.assertIn("CapEff:\t0000000000000000", said)
        self.assertIn("65532", said)
        # Another port cuts nothing, and comes at once.
        with self.visit("job") as held:
            exchange(held, 1000)
            self.kubectl.apply(remote_service("job", ports=[{"name": "http", "port": 80, "targetPort": _ECHO}, {"name": "more", "port": 8443, "targetPort": _ECHO}]))
            self.stage.wait("RemoteService", "job", within=40)
            with self.visit("job", 8443) as other:
                conversation(other, 1000)
            exchange(held, 1000)
        # The pod is killed, and the Ingress restarted.
        self.stage.cluster.kill("default", pod["metadata"]["name"])
        eventually(lambda: conversation(self.visit("job"), 1000) or True, within=40)
        self.ingresses.kill()
        self.ingresses.start()
        eventually(lambda: conversation(self.visit("job"), 1000) or True, within=60)

    def test_other_keys(self) -> None:
        self.serve(remote_service("keys"))
        self.host("keys")
        self.stage.wait("RemoteService", "keys", "GatewayReady", within=60)
        former = self.join("keys")
        self.stage.wait("RemoteService", "keys", within=60)
        line = self.join_secret("keys")["tidegate"]
        self.kubectl("delete", "secret", "keys-gateway")
        eventually(lambda: self.join_secret("keys")["tidegate"] != line, within=40)
        # By the former keys nobody is in, and the new line works although nobody restarted anything.
        self.stage.wait("RemoteService", "keys", "Connected", "False", within=60)
        self.join("keys")
        self.stage.wait("RemoteService", "keys", within=90)
        self.end(former)
        with self.visit("keys") as connection:
            conversation(connection, 1000)

    def test_a_client_of_wstunnel(self) -> None:
        self.serve(remote_service("ws", clients=["Wstunnel"]))
        host = self.host("ws")
        self.stage.wait("RemoteService", "ws", "GatewayReady", within=60)
        secret = self.join_secret("ws")
        self.assertNotIn("token", secret)
        found = re.fullmatch(r"wstunnel client --http-upgrade-path-prefix (\w{32}) -R tcp://0\.0\.0\.0:80:localhost:8080 "
                             rf"-R udp://0\.0\.0\.0:53:localhost:5353 ws://{re.escape(host)}", secret["wstunnel"])
        assert found is not None, secret["wstunnel"]
        client = Wstunnel(Server(self.remote, UPLINKS[0], 80, name=host), found[1])
        self.addCleanup(client.stop)
        client.reverse(80, ("127.0.0.1", _ECHO), bind="0.0.0.0").reverse(53, ("127.0.0.1", _UDP), bind="0.0.0.0", udp=True)
        self.stage.wait("RemoteService", "ws", within=60)
        with self.visit("ws") as connection:
            exchange(connection, 1 << 20)
        self.ask_dns("ws")
        self.assertEqual({one["client"] for one in self.stage.status("RemoteService", "ws")["ports"]}, {"Wstunnel"})
        # Another's password opens nothing.
        self.serve(remote_service("other", clients=["Wstunnel"]))
        self.stage.wait("RemoteService", "other", "GatewayReady", within=60)
        stranger = Wstunnel(Server(self.remote, UPLINKS[0], 80, name=self.host("other")), found[1])
        with self.assertRaises(ConnectionRefusedError) as refused:
            eventually(lambda: stranger.upgrade({"p": "ReverseTcp", "r": "0.0.0.0", "rp": 80}, 5), within=5)
        self.assertIn("404", str(refused.exception))

    def test_a_client_of_rathole(self) -> None:
        self.publish({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wildcard", "namespace": "default"}, "type": "kubernetes.io/tls",
                      "stringData": {"tls.crt": self.ingresses.certificate.certificate_text, "tls.key": self.ingresses.certificate.key_text}})
        self.serve(remote_service("rat", clients=["Rathole"], gateway={"ingress": {"className": "nginx", "tlsSecretName": "wildcard"}}))
        host = self.host("rat")
        self.stage.wait("RemoteService", "rat", "GatewayReady", within=60)
        self.assertEqual(self.stage.status("RemoteService", "rat")["url"], f"wss://{host}")
        text = self.join_secret("rat")["client.toml"]
        settings = tomllib.loads(text)["client"]
        self.assertEqual(settings["remote_addr"], f"{host}:443")
        self.assertEqual(settings["transport"], {"type": "websocket", "websocket": {"tls": True}, "tls": {"hostname": host}})
        server = Server(self.remote, UPLINKS[0], 443, name=host, authority=str(self.lab.certificates.root.certificate))
        for service, one in settings["services"].items():
            place, port = one["local_addr"].split(":")
            client = Rathole(server, settings["default_token"], service, (place, int(port)), udp=one.get("type") == "udp", webSocket=True)
            self.addCleanup(client.stop)
        self.stage.wait("RemoteService", "rat", within=60)
        with self.visit("rat") as connection:
            exchange(connection, 1 << 20)
        self.ask_dns("rat")

    def test_a_mesh(self) -> None:
        # The lab's own way from the remote to Services.
        self.remote.configure(["route del 10.96.0.0/16"])
        self.addCleanup(self.remote.configure, [f"route add 10.96.0.0/16 via {BACKEND}"])
        self.publish({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
                      "spec": {"selector": {"app": "visitor"}, "ports": [{"name": "web", "port": 80, "targetPort": 8000}]}})
        for host, port in ((self.visitor, 8000), (self.remote, 9000)):
            listener = host.socket()
            self.addCleanup(listener.close)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("0.0.0.0", port))
            listener.listen(16)
            threading.Thread(target=echoes, args=(listener,), daemon=True).start()
        self.serve(remote_service("site", mesh={"clusterCIDRs": ["10.244.0.0/16", "10.96.0.0/16"]}))
        self.host("site")
        self.stage.wait("RemoteService", "site", "GatewayReady", within=60)
        plain = self.join("site", mesh=True, without=" --mesh")
        self.assertIn("--mesh", self.stage.wait("RemoteService", "site", "Connected", "False", reason="NoMesh", within=60)["message"])
        self.end(plain)
        self.stage.wait("RemoteService", "site", "Connected", "False", reason="NoRemote", within=40)
        self.join("site", mesh=True)
        self.assertIn("the mesh is up", self.stage.wait("RemoteService", "site", within=60)["message"])
        # A Service and a pod of the cluster, from outside.
        web = self.stage.get("Service", "web")["spec"]["clusterIP"]
        with self.remote.connect(web, 80, timeout=20) as connection:
            conversation(connection, 1 << 20)
        visitor = self.stage.get("Pod", "visitor-0")["status"]["podIP"]
        self.assertIn("1 received", self.remote.run(["ping", "-c", "1", "-W", "5", visitor]))

        def there() -> bool:
            pods = [pod for pod in self.stage.list("Pod") if pod["metadata"]["name"].startswith("site-gateway-") and pod["status"].get("podIP")]
            with self.visitor.connect(pods[0]["status"]["podIP"], 9000, timeout=5) as connection:
                conversation(connection, 1 << 20)
            return True
        # Any port of the remote, at the gateway's pod; and those of the Service, as ever.
        there()
        with self.visit("site") as connection:
            conversation(connection, 1 << 20)
        pod = next(pod for pod in self.stage.list("Pod") if pod["metadata"]["name"].startswith("site-gateway-"))
        said = run(["grep", "CapEff", f"/proc/{self.stage.cluster.pid('default', pod['metadata']['name'])}/status"])
        self.assertIn("CapEff:\t0000000008001000", said)  # NET_ADMIN, MKNOD
        self.stage.cluster.kill("default", pod["metadata"]["name"])
        eventually(there, within=60)
        self.stage.wait("RemoteService", "site", within=60)

    def test_what_is_in_the_way_is_named(self) -> None:
        self.serve(remote_service("issued", gateway={"ingress": {"className": "nginx", "issuerRef": {"name": "ca"}}}),
                   remote_service("nowhere", gateway={"edgeNodeRef": {"name": "absent", "listenPort": 8443}}))
        for name, reason, words in (("issued", "CertManagerMissing", "install it"), ("nowhere", "EdgeNodeNotFound", "there is no EdgeNode default/absent")):
            self.assertIn(words, self.stage.wait("RemoteService", name, "GatewayReady", "False", reason=reason, within=60)["message"])
        taken = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "taken", "namespace": "default", "labels": {"own": "yes"}},
                 "spec": {"ports": [{"port": 1}]}}
        self.publish(taken, remote_service("taken"))
        self.assertIn("not this RemoteService's", self.stage.wait("RemoteService", "taken", "GatewayReady", "False", reason="NameTaken", within=60)["message"])
        self.assertEqual(self.stage.get("Service", "taken")["metadata"]["labels"], {"own": "yes"})
        # Two that want one host: the older has it, and a name that another may want too is told apart.
        self.serve(remote_service("first", gateway={"ingress": {"host": f"one.{_DOMAIN}"}}))
        self.stage.wait("RemoteService", "first", "GatewayReady", within=60)
        self.serve(remote_service("second", gateway={"ingress": {"host": f"one.{_DOMAIN}"}}))
        self.assertIn("default/first", self.stage.wait("RemoteService", "second", "GatewayReady", "False", reason="HostTaken", within=60)["message"])

    def test_with_cert_manager(self) -> None:
        """After those without it: its definition, and in its place a hand that says what it would."""
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        self.publish({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "certificates.cert-manager.io", "namespace": ""},
                      "spec": {"group": "cert-manager.io", "scope": "Namespaced",
                               "names": {"kind": "Certificate", "listKind": "CertificateList", "plural": "certificates", "singular": "certificate"},
                               "versions": [{"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}, "schema": schema}]}})
        self.serve(remote_service("secure", gateway={"ingress": {"className": "nginx", "issuerRef": {"name": "ca", "kind": "ClusterIssuer"}}}))
        waiting = self.stage.wait("RemoteService", "secure", "GatewayReady", "False", reason="CertificatePending", within=60)
        self.assertIn("cert-manager has said nothing of it yet", waiting["message"])
        certificate = yaml.safe_load(self.kubectl("get", "certificates.cert-manager.io", "secure-gateway-tls", "-o", "yaml"))
        self.assertEqual(certificate["spec"], {"secretName": "secure-gateway-tls", "dnsNames": [f"secure-default.{_DOMAIN}"],
                                               "issuerRef": {"group": "cert-manager.io", "kind": "ClusterIssuer", "name": "ca"}})
        for status, message, reason in (("False", "Issuing certificate as Secret does not exist", "CertificatePending"), ("True", "up to date", "Serving")):
            condition = {"type": "Ready", "status": status, "reason": "x", "message": message, "lastTransitionTime": "2026-01-02T03:04:05Z"}
            self.kubectl("patch", "certificates.cert-manager.io", "secure-gateway-tls", "--subresource", "status", "--type", "merge", "-p",
                         json.dumps({"status": {"conditions": [condition]}}))
            told = self.stage.wait("RemoteService", "secure", "GatewayReady", "True" if status == "True" else "False", reason=reason, within=40)
            if status == "False":
                eventually(lambda: self.assertIn(message, self.stage.condition("RemoteService", "secure", "GatewayReady")["message"]) or True, within=20)
        self.assertIn("wss://", told["message"])
        ingress = self.stage.get("Ingress", "secure-gateway")["spec"]
        self.assertEqual(ingress["tls"], [{"hosts": [f"secure-default.{_DOMAIN}"], "secretName": "secure-gateway-tls"}])
        self.assertIn("wss://", self.join_secret("secure")["url"])

    def test_what_others_change_is_put_back_and_nothing_stays_behind(self) -> None:
        self.serve(remote_service("kept"))
        self.stage.wait("RemoteService", "kept", "GatewayReady", within=60)
        password = self.stage.get("Secret", "kept-gateway")["data"]
        self.kubectl("patch", "service", "kept", "--type=merge", "-p", '{"spec":{"selector":{"app":"mine"}}}')
        self.kubectl("delete", "ingress", "kept-gateway")
        self.kubectl("delete", "secret", "kept-join")
        eventually(lambda: self.stage.get("Ingress", "kept-gateway") and self.stage.get("Secret", "kept-join")
                   and "app" not in self.stage.get("Service", "kept")["spec"]["selector"], within=40)
        self.assertEqual(self.stage.get("Secret", "kept-gateway")["data"], password)
        self.kubectl("delete", "rsvc", "kept")
        for kind, name in (("Service", "kept"), ("Deployment", "kept-gateway"), ("Ingress", "kept-gateway"), ("Secret", "kept-gateway"), ("Secret", "kept-join")):
            self.stage.wait_gone(kind, name)

    # MARK: pods by annotation

    def pod(self, name: str, annotations: dict[str, str] | None = None, ports: list[Manifest] | None = None, node: str = "far") -> Manifest:
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "annotations": annotations or {}},
                "spec": {"nodeName": node, "containers": [{"name": "c", "image": "busybox", "ports": ports if ports is not None else [
                    {"name": "http", "containerPort": 8080}]}]}}

    def exposed(self, name: str) -> dict[tuple[str, int], str]:
        spec = eventually(lambda: (self.stage.get("RemoteService", name) or {}).get("spec"), within=40)
        return {(one["protocol"], one["port"]): one["name"] for one in spec["ports"]}

    def annotations(self, name: str) -> dict[str, str]:
        return self.stage.get("Pod", name)["metadata"].get("annotations", {})

    def make_far(self) -> None:
        self.kubectl.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "far", "labels": {"type": "virtual-kubelet"}}})

    def test_pods_by_annotation(self) -> None:
        self.make_far()
        self.publish(self.pod("train", {"interlink.eu/wstunnel-extra-ports": "8080,9090:metrics:UDP,3000:api"}),
                     self.pod("own", {"tunnel.achetronic.com/expose": "true"}, node="node1-none"), self.pod("vpn", {"interlink.eu/pod-vpn": "x"}),
                     self.pod("here", node="node1-none"), self.pod("silent", ports=[]), self.pod("broken", {"tunnel.achetronic.com/extra-ports": "80:x:y:z"}))
        self.assertEqual(self.exposed("pod-train"), {("TCP", 8080): "http", ("UDP", 9090): "metrics", ("TCP", 3000): "api"})
        self.assertEqual(self.stage.get("RemoteService", "pod-own")["spec"]["clients"], ["Tidegate"])
        written = eventually(lambda: self.annotations("train").get("interlink.eu/wstunnel-client-commands"), within=60)
        self.assertRegex(written, rf"^wstunnel client --http-upgrade-path-prefix \w{{32}} -R tcp://0\.0\.0\.0:8080:localhost:8080 .*ws://pod-train-default\.{_DOMAIN}$")
        self.assertRegex(self.annotations("train")["tunnel.achetronic.com/client-command"], r"\| uplink join -$")
        self.stage.wait_event("ExtraPortsInvalid", regarding="broken")
        for name in ("vpn", "here", "silent", "broken"):
            self.assertIsNone(self.stage.get("RemoteService", f"pod-{name}"), name)
        # Its annotation changes, it opts out, it ends, it goes.
        self.kubectl("annotate", "pod", "train", "--overwrite", "interlink.eu/wstunnel-extra-ports=7777:new")
        eventually(lambda: self.assertEqual(self.exposed("pod-train"), {("TCP", 8080): "http", ("TCP", 7777): "new"}) or True, within=40)
        eventually(lambda: self.assertIn(":7777:", self.annotations("train")["interlink.eu/wstunnel-client-commands"]) or True, within=40)
        self.kubectl("annotate", "pod", "train", "--overwrite", "interlink.eu/pod-vpn=yes")
        self.stage.wait_gone("RemoteService", "pod-train")
        self.stage.wait_gone("Deployment", "pod-train-gateway")
        self.kubectl("annotate", "pod", "train", "interlink.eu/pod-vpn-")
        self.exposed("pod-train")
        self.stage.api.patch("/api/v1/namespaces/default/pods/train/status", {"status": {"phase": "Failed"}})
        self.stage.wait_gone("RemoteService", "pod-train")
        self.kubectl("delete", "pod", "own", "--force", "--grace-period=0")
        self.stage.wait_gone("RemoteService", "pod-own")

    def test_a_hundred_pods_at_once(self) -> None:
        """Their RemoteServices alone: gateways of a hundred are more than this machine runs."""
        self.make_far()
        names = [f"many-{number}" for number in range(100)]
        self.kubectl.apply(*[self.pod(name) for name in names])
        eventually(lambda: all(self.stage.get("Secret", f"pod-{name}-join") for name in names), within=300, every=1)
        hosts = {self.stage.status("RemoteService", f"pod-{name}").get("host") for name in names}
        self.assertEqual(len(hosts), 100)
        self.kubectl("delete", "pods", "--force", "--grace-period=0", *names)
        for name in names:
            self.stage.wait_gone("RemoteService", f"pod-{name}", within=120)

    def test_secrets_are_in_no_log(self) -> None:
        self.serve(remote_service("quiet", clients=["Tidegate", "Wstunnel", "Rathole"]))
        self.stage.wait("RemoteService", "quiet", "GatewayReady", within=60)
        secret = self.join_secret("quiet")
        words = {secret["password"], secret["token"].split(".")[2], base64.b64decode(self.stage.get("Secret", "quiet-gateway")["data"]["path"]).decode()}
        status = yaml.safe_dump(self.stage.get("RemoteService", "quiet")) + yaml.safe_dump(self.stage.list("Event"))
        logs = "".join(one.read_text(errors="replace") for one in [*self.lab.folder.glob("*.log"), *(self.lab.folder / "pods").glob("*/*/log")])
        for word in words:
            self.assertNotIn(word, logs + status)
