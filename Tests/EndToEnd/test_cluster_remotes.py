"""A RemoteService whose remote comes in by a port of an EdgeNode (docs/remote.md): VPS, uplink, Service, gateway."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import threading
import tomllib

import yaml

from cluster_stage import ClusterStage, ClusterTest, shared
from lab import paths
from lab.network import VPS
from product.programs import programs
from product.traffic import eventually
from remotes import Rathole, Server
from test_ssh_tunnel import conversation, echoes

_PORT, _ECHO = 8444, 8080


class RemoteByEdgeNode(ClusterTest):
    @classmethod
    def make_stage(cls) -> ClusterStage:
        stage = shared()
        rights = yaml.safe_load_all(stage.kubectl("kustomize", str(paths.REPOSITORY / "deploy/kubernetes/remote-services")))
        stage.kubectl.apply(*[one for one in rights if not one["kind"].startswith("ValidatingAdmission")])
        cls.remote = stage.lab.client
        cls.listener = cls.remote.socket()
        cls.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        cls.listener.bind(("127.0.0.1", _ECHO))
        cls.listener.listen(512)
        threading.Thread(target=echoes, args=(cls.listener,), daemon=True).start()
        return stage

    @classmethod
    def tearDownClass(cls) -> None:
        cls.listener.close()

    def test_a_remote_on_the_internet(self) -> None:
        self.addCleanup(self.stage.wait_gone, "PortBinding", "afar-gateway")
        self.publish({"apiVersion": "tunnel.achetronic.com/v1alpha1", "kind": "RemoteService", "metadata": {"name": "afar", "namespace": "default"},
                      "spec": {"ports": [{"name": "http", "port": 80, "targetPort": _ECHO}], "clients": ["Tidegate", "Rathole"],
                               "gateway": {"edgeNodeRef": {"name": "edge", "listenPort": _PORT}}}})
        self.stage.wait("RemoteService", "afar", "GatewayReady", within=90)
        self.assertEqual(self.stage.status("RemoteService", "afar")["url"], f"ws://{VPS}:{_PORT}")
        self.stage.wait("PortBinding", "afar-gateway")
        secret = {key: base64.b64decode(value).decode() for key, value in self.stage.get("Secret", "afar-join")["data"].items()}
        with open(self.lab.folder / "join-afar.log", "ab") as log:
            process = self.remote.start([programs().uplink, "join", "-"], log=log, stdin=subprocess.PIPE, env={"LOG_FORMAT": "text"})
        process.stdin.write(secret["token"].encode())
        process.stdin.close()
        self.stage.wait("RemoteService", "afar", within=60)
        self.assertEqual(self.stage.status("RemoteService", "afar")["ports"][0]["client"], "Tidegate")
        self.talk()
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(25)
        self.stage.wait("RemoteService", "afar", "Connected", "False", reason="NoRemote", within=40)
        settings = tomllib.loads(secret["client.toml"])["client"]
        self.assertEqual((settings["remote_addr"], settings["transport"]), (f"{VPS}:{_PORT}", {"type": "tcp"}))
        client = Rathole(Server(self.remote, VPS, _PORT), settings["default_token"], "p80", ("127.0.0.1", _ECHO))
        self.addCleanup(client.stop)
        self.stage.wait("RemoteService", "afar", within=60)
        self.talk()

    def talk(self) -> None:
        """From a node to the gateway's pod, which is what the Service leads to."""
        pod = next(pod for pod in self.stage.list("Pod") if pod["metadata"]["name"].startswith("afar-gateway-"))
        address = pod["status"]["podIP"]

        def once() -> bool:
            with self.lab.home.connect(address, 80, timeout=20) as connection:
                conversation(connection, 1 << 20)
            return True
        eventually(once, within=10)
