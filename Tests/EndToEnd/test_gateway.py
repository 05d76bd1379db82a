"""A RemoteService's gateway without a cluster: by our client, by one of wstunnel and by one of rathole, which `remotes.py` has from their pages.

The cluster is the host `backend`, where the gateway listens; before it stands nginx on `uplink1`, as an Ingress; the remote is `home`, and who comes
to the service is `uplink2`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import threading
import time
import unittest
from pathlib import Path

import yaml

from lab import paths
from lab.commands import CommandFailed, run
from lab.network import BACKEND, UPLINKS
from product.programs import programs
from product.traffic import eventually

import stage as stages
from interlink import rendered
from remotes import Rathole, Server, WebSocket, Wstunnel, echo_datagrams, quietly
from test_ssh_tunnel import conversation, echoes

_WEB = 28080
_STATUS = 28081
_ECHO = 8080
_UDP = 5353
_HOST = "remote.example.test"


def identity() -> tuple[bytes, str]:
    """A seed of Ed25519, and the SHA-256 of its public key as certificates hold it."""
    private = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-outform", "DER"], check=True, capture_output=True).stdout
    public = subprocess.run(["openssl", "pkey", "-inform", "DER", "-pubout", "-outform", "DER"], input=private, check=True,
                            capture_output=True).stdout
    return private[-32:], hashlib.sha256(public).hexdigest()


def join_token(url: str, path: str, pin: str, seed: bytes) -> str:
    facts = json.dumps({"path": path, "pin": pin, "service": "batch/job", "url": url}).encode()
    text = f"tidegate-remote-1.{base64.urlsafe_b64encode(facts).rstrip(b'=').decode()}.{seed.hex()}"
    return f"{text}.{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def said(count: int) -> bytes:
    return b"=%d" % count


def exchange(connection: socket.socket, size: int) -> None:
    """There and back, without a half-close."""
    connection.settimeout(20)
    sent = os.urandom(size)
    thread = threading.Thread(target=connection.sendall, args=(sent,))
    thread.start()
    heard = bytearray()
    while len(heard) < size:
        data = connection.recv(1 << 16)
        assert data, f"an end after {len(heard)} of {size}"
        heard += data
    thread.join()
    assert bytes(heard) == sent, "other bytes came back"


class Gateway(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.lab = stages.fresh().lab
        hosts = cls.lab.network.hosts
        cls.cluster, cls.ingress, cls.visitor, cls.remote = hosts["backend"], hosts["uplink1"], hosts["uplink2"], hosts["home"]
        for folder in (cls.lab.folder.parent, cls.lab.folder):
            folder.chmod(0o711)
        cls.folder = cls.lab.folder / "gateway"
        cls.folder.mkdir()
        cls.program = programs().uplink
        cls.seed, cls.pin = identity()
        cls.remote_seed, cls.remote_pin = identity()
        cls.password, cls.path = secrets.token_hex(16), "/" + secrets.token_hex(16)
        cls.config = cls.folder / "config"
        cls.config.mkdir()
        (cls.config / "key").write_bytes(cls.seed)
        (cls.config / "password").write_text(cls.password)
        (cls.config / "path").write_text(cls.path)
        cls.listeners = [cls.remote.socket(), cls.remote.socket(kind=socket.SOCK_DGRAM)]
        cls.listeners[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        cls.listeners[0].bind(("127.0.0.1", _ECHO))
        cls.listeners[0].listen(512)
        threading.Thread(target=echoes, args=(cls.listeners[0],), daemon=True).start()
        cls.listeners[1].bind(("127.0.0.1", _UDP))
        quietly(echo_datagrams, cls.listeners[1])
        cls.nginx = None
        cls.start_nginx()
        cls.document()
        cls.gateway = cls.start_gateway()

    @classmethod
    def tearDownClass(cls) -> None:
        for process in (cls.gateway, cls.nginx):
            if process is not None:
                process.kill()
                process.wait()
        for listener in cls.listeners:
            listener.close()

    @classmethod
    def document(cls, *more: dict, forwards: list[str] | None = None) -> None:
        ports = [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": _ECHO},
                 {"name": "dns", "protocol": "UDP", "port": 1053, "targetPort": _UDP}, *more]
        text = json.dumps({"format": 1, "service": "batch/job", "ports": ports, "clients": ["Tidegate", "Wstunnel", "Rathole"],
                           "pin": cls.remote_pin, **({"forwards": forwards} if forwards else {})})
        (cls.config / "new").write_text(text)
        (cls.config / "new").rename(cls.config / "gateway.json")

    @classmethod
    def start_gateway(cls) -> subprocess.Popen:
        with open(cls.folder / "gateway.log", "ab") as log:
            process = cls.cluster.start([cls.program, "gateway", "--config", str(cls.config)], log=log, env={"LOG_FORMAT": "text"})
        eventually(lambda: cls.page("/ready") == "ready", within=10)
        return process

    @classmethod
    def start_nginx(cls) -> None:
        """As an ingress-nginx has it, with TLS."""
        authority = cls.lab.certificates
        certificate = authority.issue("remote", _HOST)
        folder = cls.folder / "nginx"
        folder.mkdir(exist_ok=True)
        (folder / "nginx.conf").write_text(f"""
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
  server {{
    listen {UPLINKS[0]}:80;
    listen {UPLINKS[0]}:443 ssl;
    server_name {_HOST};
    ssl_certificate {certificate.certificate};
    ssl_certificate_key {certificate.key};
    location / {{
      proxy_pass http://{BACKEND}:{_WEB};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_read_timeout 3600s;
      proxy_send_timeout 3600s;
    }}
  }}
}}
""")
        with open(folder / "log", "ab") as log:
            cls.nginx = cls.ingress.start(["nginx", "-c", str(folder / "nginx.conf")], log=log)
        eventually(lambda: cls.remote.connect(UPLINKS[0], 443).close() or True, within=10)

    @classmethod
    def page(cls, path: str) -> str:
        try:
            return cls.visitor.run(["curl", "-sS", "--max-time", "5", f"http://{BACKEND}:{_STATUS}{path}"]).strip()
        except CommandFailed as failure:
            raise AssertionError(str(failure)) from None

    def client_of(self, name: str) -> str | None:
        return next(one for one in json.loads(self.page("/status"))["ports"] if one["name"] == name).get("client")

    def connected(self, client: str | None, name: str = "http") -> None:
        eventually(lambda: self.assertEqual(self.client_of(name), client) or True, within=30)

    def visit(self, port: int = 80) -> socket.socket:
        return self.visitor.connect(BACKEND, port, timeout=20)

    def ask_dns(self, count: int = 20, size: int = 1400) -> None:
        with self.visitor.socket(kind=socket.SOCK_DGRAM) as session:
            session.settimeout(5)
            session.connect((BACKEND, 1053))
            for _ in range(count):
                sent = os.urandom(size)
                session.send(sent)
                self.assertEqual(session.recv(65536), sent)

    def hundreds(self, talk) -> None:
        held = [self.visit() for _ in range(200)]
        failures: list[BaseException] = []

        def one(connection: socket.socket) -> None:
            try:
                with connection:
                    talk(connection, 20_000)
            except BaseException as error:
                failures.append(error)
        threads = [threading.Thread(target=one, args=(connection,)) for connection in held]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    # MARK: ours

    def join(self, url: str = f"wss://{_HOST}", *options: str) -> subprocess.Popen:
        log = self.folder / f"{self._testMethodName}.log"
        with open(log, "ab") as output:
            process = self.remote.start([self.program, "join", *options, "-"], log=output, stdin=subprocess.PIPE, env={"LOG_FORMAT": "text"})
        process.stdin.write(join_token(url, self.path, self.pin, self.remote_seed).encode())
        process.stdin.close()
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen) -> int:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        return process.wait(25)

    def setUp(self) -> None:
        self.lab.set_names({UPLINKS[0]: _HOST})
        self.secure = Server(self.remote, UPLINKS[0], 443, name=_HOST, authority=str(self.lab.certificates.root.certificate))
        self.plain = Server(self.remote, UPLINKS[0], 80, name=_HOST)
        self.direct = Server(self.remote, BACKEND, _WEB)
        self.connected(None)

    def test_our_client(self) -> None:
        process = self.join()
        self.connected("Tidegate")
        with self.visit() as connection:
            conversation(connection, 1 << 20)
        self.ask_dns()
        self.hundreds(conversation)
        self.assertEqual(self.end(process), 0)
        self.connected(None)
        with self.assertRaises(ConnectionRefusedError):
            self.visit()

    def test_our_client_without_an_ingress(self) -> None:
        """As by a VPS's port: the WebSocket without TLS."""
        self.join(f"ws://{BACKEND}:{_WEB}")
        self.connected("Tidegate")
        with self.visit() as connection:
            conversation(connection, 1 << 20)

    def test_a_remote_leads_to_the_ports_that_it_allows(self) -> None:
        self.join(f"wss://{_HOST}", "--allow-ports", str(_UDP))
        self.connected("Tidegate")
        self.ask_dns()
        with self.visit() as connection, self.assertRaises(ConnectionResetError):
            conversation(connection, 1)
        self.assertIn("--allow-ports", (self.folder / f"{self._testMethodName}.log").read_text())

    def test_our_client_comes_back(self) -> None:
        process = self.join()
        self.connected("Tidegate")
        type(self).gateway.kill()
        type(self).gateway.wait()
        type(self).gateway = self.start_gateway()
        self.connected("Tidegate")
        with self.visit() as connection:
            conversation(connection, 1000)
        type(self).nginx.kill()
        run(["sh", "-c", f"kill -9 $(ip netns pids {self.ingress.name}) 2>/dev/null; true"])
        type(self).nginx.wait()
        self.start_nginx()
        self.connected("Tidegate")
        with self.visit() as connection:
            conversation(connection, 1000)
        process.kill()
        process.wait()
        self.connected(None)
        self.join()
        self.connected("Tidegate")
        with self.visit() as connection:
            conversation(connection, 1000)

    def test_the_gateway_is_replaced(self) -> None:
        """Its successor cannot have its port on this host, so it is only seen that what is open goes on for a while."""
        self.join()
        self.connected("Tidegate")
        with self.visit() as held:
            exchange(held, 1000)
            type(self).gateway.send_signal(signal.SIGTERM)
            time.sleep(3)
            exchange(held, 1000)
        type(self).gateway.wait(40)
        type(self).gateway = self.start_gateway()
        self.connected("Tidegate")

    def test_a_port_more_cuts_no_other(self) -> None:
        self.join()
        self.connected("Tidegate")
        with self.visit() as held:
            exchange(held, 1000)
            self.document({"name": "more", "protocol": "TCP", "port": 8443, "targetPort": _ECHO})
            self.addCleanup(self.document)
            eventually(lambda: self.visit(8443).close() or True, within=15)
            with self.visit(8443) as other:
                conversation(other, 1000)
            exchange(held, 1000)
            self.document()
            eventually(lambda: self.assertRaises(ConnectionRefusedError, self.visit, 8443) or True, within=15)
            exchange(held, 1000)

    def test_a_dead_client_resets_what_was_open(self) -> None:
        process = self.join()
        self.connected("Tidegate")
        with self.visit() as held:
            exchange(held, 1000)
            process.kill()
            process.wait()
            with self.assertRaises(ConnectionResetError):
                if not held.recv(1):
                    raise AssertionError("an end")

    # MARK: wstunnel

    def wstunnel(self, server: Server | None = None) -> Wstunnel:
        client = Wstunnel(server or self.secure, self.password)
        self.addCleanup(client.stop)
        return client

    def test_a_client_of_wstunnel(self) -> None:
        client = self.wstunnel().reverse(80, ("127.0.0.1", _ECHO)).reverse(1053, ("127.0.0.1", _UDP), udp=True)
        self.connected("Wstunnel")
        self.connected("Wstunnel", "dns")
        with self.visit() as connection:
            exchange(connection, 1 << 20)
        self.ask_dns()
        self.hundreds(exchange)
        self.assertEqual(client.refusals, [])

    def test_a_client_of_wstunnel_comes_back(self) -> None:
        self.wstunnel(self.plain).reverse(80, ("127.0.0.1", _ECHO), bind="0.0.0.0")
        self.connected("Wstunnel")
        type(self).gateway.kill()
        type(self).gateway.wait()
        type(self).gateway = self.start_gateway()
        self.connected("Wstunnel")
        with self.visit() as connection:
            exchange(connection, 1000)

    def test_large_frames_of_wstunnel_take_no_memory(self) -> None:
        """Frames of up to 32 MiB; the visitor reads nothing for a while."""
        client = self.wstunnel(self.direct)
        held = []

        def serve() -> None:
            webSocket = client.upgrade({"p": "ReverseTcp", "r": "[::]", "rp": 80})
            for _ in range(8):
                webSocket.send(bytes(32 << 20))
            webSocket.close()
        for _ in range(8):
            quietly(serve)
        self.connected("Wstunnel")
        for _ in range(8):
            held.append(eventually(self.visit, within=10))
        time.sleep(2)
        memory = int(Path(f"/proc/{self.gateway.pid}/status").read_text().split("VmRSS:")[1].split()[0])
        self.assertLess(memory, 120_000, "KiB resident")
        count = 0
        with held[0]:
            while data := held[0].recv(1 << 20):
                count += len(data)
        self.assertEqual(count, 8 * (32 << 20))
        for connection in held:
            connection.close()

    def test_forwards_of_wstunnel_lead_where_they_may(self) -> None:
        """`-L udp://…:127.0.0.1:51820`, as interLink's mesh has it, and nothing else."""
        with self.cluster.socket(kind=socket.SOCK_DGRAM) as there:
            there.bind(("127.0.0.1", 51820))
            quietly(echo_datagrams, there)
            client = self.wstunnel(self.plain)
            with self.assertRaises(ConnectionRefusedError) as refused:
                client.upgrade({"p": {"Udp": {"timeout": None}}, "r": "127.0.0.1", "rp": 51820}, 5)
            self.assertIn("400", str(refused.exception))
            self.document(forwards=["127.0.0.1:51820", "127.0.0.1:4444"])
            self.addCleanup(self.document)
            webSocket = eventually(lambda: client.upgrade({"p": {"Udp": {"timeout": None}}, "r": "127.0.0.1", "rp": 51820}, 5), within=15)
            for size in (1, 1400, 9000):
                sent = os.urandom(size)
                webSocket.send(sent)
                self.assertEqual(webSocket.receive(), sent)
            for claims in ({"p": {"Tcp": {"proxy_protocol": False}}, "r": "127.0.0.1", "rp": 22}, {"p": "Tcp", "r": "127.0.0.1", "rp": 4444},
                           {"p": {"ReverseSocks5": {"timeout": None, "credentials": None}}, "r": "0.0.0.0", "rp": 80}):
                with self.assertRaises(ConnectionRefusedError):
                    client.upgrade(claims, 5)

    def test_an_upload_by_a_forward_of_wstunnel_arrives_whole(self) -> None:
        """Of `-L tcp://`: the client has closed long before its target has read all."""
        size = 8 << 20
        with self.cluster.socket() as listener:
            # Most of it has to wait in the gateway.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
            listener.bind(("127.0.0.1", 4444))
            listener.listen(1)
            listener.settimeout(20)
            self.document(forwards=["127.0.0.1:4444"])
            self.addCleanup(self.document)
            client = self.wstunnel(self.direct)
            webSocket = eventually(
                lambda: client.upgrade({"p": {"Tcp": {"proxy_protocol": False}}, "r": "127.0.0.1", "rp": 4444}, 5), within=15)
            there, _ = listener.accept()
            sent = os.urandom(size)

            def upload() -> None:
                for start in range(0, size, 1 << 20):
                    webSocket.send(sent[start:start + (1 << 20)])
                webSocket.close()
            quietly(upload)
            heard = bytearray()
            with there:
                there.settimeout(20)
                while data := there.recv(256 << 10):
                    heard += data
                    time.sleep(0.05)
            self.assertEqual(hashlib.sha256(heard).digest(), hashlib.sha256(sent).digest(), f"{len(heard)} of {size}")

    def test_a_request_of_a_client_that_is_gone_takes_no_visitor(self) -> None:
        """Nobody told the gateway of its end: the newest request gets the visitor."""
        lost = self.wstunnel(self.direct)
        quietly(lambda: lost.upgrade({"p": "ReverseTcp", "r": "[::]", "rp": 80}, dialed=lost._dialed))
        self.connected("Wstunnel")
        self.wstunnel(self.direct).reverse(80, ("127.0.0.1", _ECHO))
        time.sleep(2)
        with self.visit() as connection:
            exchange(connection, 1000)

    def test_requests_of_clients_that_are_gone_take_no_room(self) -> None:
        lost = self.wstunnel(self.direct)
        for _ in range(64):
            quietly(lambda: lost.upgrade({"p": "ReverseTcp", "r": "[::]", "rp": 80}, dialed=lost._dialed))
        self.connected("Wstunnel")
        time.sleep(2)
        client = self.wstunnel(self.direct).reverse(80, ("127.0.0.1", _ECHO))
        time.sleep(2)
        self.assertEqual(client.refusals, [])
        with self.visit() as connection:
            exchange(connection, 1000)

    def test_another_password_turns_out_who_came_by_the_former(self) -> None:
        self.wstunnel(self.direct).reverse(80, ("127.0.0.1", _ECHO))
        # Rathole is asked before wstunnel: it has the other port.
        self.rathole(self.direct, "u1053", _UDP, udp=True)
        self.connected("Wstunnel")
        self.connected("Rathole", "dns")
        self.ask_dns(1)
        with self.visit() as held:
            exchange(held, 1000)
            (self.config / "password").write_text(secrets.token_hex(16))
            self.addCleanup((self.config / "password").write_text, self.password)
            with self.assertRaises(ConnectionError):
                if not held.recv(1):
                    raise AssertionError("an end")
        self.connected(None)
        self.connected(None, "dns")
        (self.config / "password").write_text(self.password)
        self.connected("Wstunnel")
        self.connected("Rathole", "dns")
        with self.visit() as connection:
            exchange(connection, 1000)
        self.ask_dns(1)

    # MARK: rathole

    def rathole(self, server: Server, service: str = "p80", port: int = _ECHO, **more) -> Rathole:
        client = Rathole(server, self.password, service, ("127.0.0.1", port), **more)
        self.addCleanup(client.stop)
        return client

    def test_a_client_of_rathole(self) -> None:
        self.rathole(self.direct)
        self.rathole(self.direct, "u1053", _UDP, udp=True)
        self.connected("Rathole")
        self.connected("Rathole", "dns")
        with self.visit() as connection:
            conversation(connection, 1 << 20)
        self.ask_dns(size=1400)
        self.hundreds(conversation)

    def test_a_client_of_rathole_through_an_ingress(self) -> None:
        self.rathole(self.secure, webSocket=True)
        self.rathole(self.secure, "u1053", _UDP, udp=True, webSocket=True)
        self.connected("Rathole")
        self.connected("Rathole", "dns")
        with self.visit() as connection:
            exchange(connection, 1 << 20)
        self.ask_dns()
        self.hundreds(exchange)

    def test_datagrams_whose_way_did_not_come_have_it_asked_for_again(self) -> None:
        class Late(Rathole):
            """Whose first data connections do not get through: the pool's, and that for the first visitor."""
            lost = [1, 2, 3]

            def _data(self, session: bytes) -> None:
                try:
                    self.lost.pop()
                except IndexError:
                    super()._data(session)
        client = Late(self.direct, self.password, "u1053", ("127.0.0.1", _UDP), udp=True)
        self.addCleanup(client.stop)
        self.connected("Rathole", "dns")
        with self.visitor.socket(kind=socket.SOCK_DGRAM) as session:
            session.settimeout(15)
            session.connect((BACKEND, 1053))
            session.send(b"early")
            self.assertEqual(session.recv(100), b"early")

    def test_a_client_of_rathole_comes_back(self) -> None:
        self.rathole(self.plain, webSocket=True)
        self.connected("Rathole")
        type(self).gateway.kill()
        type(self).gateway.wait()
        type(self).gateway = self.start_gateway()
        self.connected("Rathole")
        with self.visit() as connection:
            exchange(connection, 1000)

    # MARK: interLink

    def test_interlinks_template(self) -> None:
        """deploy/interlink/wstunnel-template.yaml as interLink fills it in (Go's text/template), its container's line run, and the client's command of the
        contract on it."""
        password = secrets.token_hex(16)
        text = rendered(self.folder, "wstunnel-template.yaml", password)
        deployment, service, ingress = yaml.safe_load_all(text)
        self.assertEqual([one["port"] for one in service["spec"]["ports"]], [8080, 7080, 7053, 7081])
        self.assertEqual([one["host"] for one in ingress["spec"]["rules"]], ["ws-web-default.example.test", "web-default-default-wstunnel.example.test"])
        # With it interLink gives the next one the same password.
        self.assertEqual(deployment["spec"]["template"]["metadata"]["annotations"], {"interlink.eu/wstunnel-path-prefix": password})
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        # The pod's own 8080 is left out.
        self.assertEqual(container["args"][-1], "--expose=7080:http:TCP,7053:dns:UDP,7081::TCP,")
        environment = {one["name"]: one["value"] for one in container["env"]}
        with open(self.folder / "interlink.log", "ab") as log:
            process = self.ingress.start([self.program, *container["args"]], log=log, env={"LOG_FORMAT": "text", **environment})
        self.addCleanup(self.end, process)
        eventually(lambda: self.ingress.connect(UPLINKS[0], 8080).close() or True, within=10)
        # `-R tcp://0.0.0.0:P:localhost:P` for each TCP port.
        client = self.wstunnel(Server(self.remote, UPLINKS[0], 8080))
        client.prefix = password
        client.reverse(7080, ("127.0.0.1", _ECHO), bind="0.0.0.0").reverse(7053, ("127.0.0.1", _UDP), bind="0.0.0.0", udp=True)
        connection = eventually(lambda: self.visitor.connect(UPLINKS[0], 7080, timeout=20), within=10)
        with connection:
            exchange(connection, 100_000)
        with self.visitor.socket(kind=socket.SOCK_DGRAM) as session:
            session.settimeout(5)
            session.connect((UPLINKS[0], 7053))
            session.send(b"x")
            self.assertEqual(session.recv(100), b"x")
        self.assertNotIn(password, (self.folder / "interlink.log").read_text())

    # MARK: strangers

    def test_strangers_are_told_nothing(self) -> None:
        def answer(path: str, *options: str) -> str:
            return self.remote.run(["curl", "-s", "--max-time", "5", "-o", "-", "-w", "%{http_code} %{size_download}", *options,
                                    f"http://{BACKEND}:{_WEB}{path}"])
        upgrade = ("-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13", "-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        other = "f" * 32
        seen = {answer(path, *options) for path in ("/", "/healthz", f"/{other}/events", "/" + other, "/metrics") for options in ((), upgrade)
                if (path, options) != ("/", upgrade)}
        self.assertEqual(seen, {"404 0"})
        self.assertEqual(answer(f"/{self.password}/events"), "404 0")
        # Who has the password, and asks for what is not there, hears as much as from wstunnel's own server.
        with self.assertRaises(ConnectionRefusedError):
            Wstunnel(self.direct, self.password).upgrade({"p": "ReverseTcp", "r": "[::]", "rp": 81}, 5)
        with self.assertRaises(ConnectionRefusedError):
            Wstunnel(self.direct, other).upgrade({"p": "ReverseTcp", "r": "[::]", "rp": 80}, 5)
        # rathole: a wrong token, and a service that is not there, are the same.
        for service, secret in (("p80", other), ("p81", self.password), ("p81", other)):
            client = Rathole(self.direct, secret, service, ("127.0.0.1", _ECHO))
            eventually(lambda: self.assertTrue(client.acks) or True, within=10)
            client.stop()
            self.assertEqual(set(client.acks), {2})
        # A link by another key, and to another gateway's.
        seed, pin = identity()
        for token in (join_token(f"ws://{BACKEND}:{_WEB}", self.path, self.pin, seed), join_token(f"ws://{BACKEND}:{_WEB}", self.path, pin, self.remote_seed)):
            log = self.folder / "stranger.log"
            with open(log, "wb") as output:
                process = self.remote.start([self.program, "join", "-"], log=output, stdin=subprocess.PIPE, env={"LOG_FORMAT": "text"})
            process.stdin.write(token.encode())
            process.stdin.close()
            eventually(lambda: self.assertIn("no link", log.read_text()) or True, within=15)
            self.end(process)
        self.assertIsNone(self.client_of("http"))

    def test_strangers_take_no_room(self) -> None:
        """Connections that say nothing, and random bytes: the client is served all the same."""
        silent = [self.remote.connect(BACKEND, _WEB) for _ in range(900)]
        for connection in silent[:300]:
            connection.sendall(os.urandom(200))
        for connection in silent[300:600]:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        for connection in silent[600:700]:
            connection.sendall(b"\0\0\0\0\1" + os.urandom(31))
        self.join(f"ws://{BACKEND}:{_WEB}")
        self.connected("Tidegate")
        with self.visit() as connection:
            conversation(connection, 100_000)
        time.sleep(14)
        closed = 0
        for connection in silent:
            connection.settimeout(0.05)
            try:
                while connection.recv(1000):
                    pass
                closed += 1
            except ConnectionError:
                closed += 1
            except TimeoutError:
                pass
            connection.close()
        self.assertEqual(closed, 900)

    def test_the_secrets_are_in_no_log(self) -> None:
        words = [self.password, self.path, self.seed.hex(), self.remote_seed.hex()]
        for log in self.folder.glob("*.log"):
            for word in words:
                self.assertNotIn(word, log.read_text(errors="replace"), log.name)


if __name__ == "__main__":
    unittest.main()
