"""A RemoteService's mesh without a cluster, as docs/remote.md has it: WireGuard within the links, with root and without.

The gateway's pod is `uplink1`, the cluster's Services are on `backend`, its DNS and a pod of it are `uplink2`, and the remote is `home`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import signal
import socket
import struct
import subprocess
import threading
import time
import unittest

import yaml

from lab.commands import CommandFailed
from lab.network import UPLINKS
from product.programs import programs
from product.traffic import eventually

import stage as stages
from interlink import rendered
from remotes import echo_datagrams, quietly
from test_gateway import exchange, identity, join_token
from test_ssh_tunnel import echoes

_GATEWAY = UPLINKS[0]
SERVICE = "10.96.0.50"
_DNS = "10.97.0.10"
_DOMAIN = "default.svc.cluster.local"
_HTTP, ECHO, ANY = 8000, 8001, 9000
_USER = 1234

# What a job of an ordinary user does in the mesh: says what it sees, and serves.
_JOB = """
import os, socket, sys, urllib.request
print("user", os.getuid(), os.getgid(), flush=True)
print("address", socket.gethostbyname("web"), flush=True)
print("body", urllib.request.urlopen("http://web.default:8000/", timeout=10).read().decode(), flush=True)
print("variable", os.environ.get("HTTPS_PROXY"), flush=True)
print("run", os.path.exists("/run/netns"), flush=True)
print("capabilities", [line for line in open("/proc/self/status") if line.startswith("CapEff")][0].split()[1], flush=True)
listener = socket.create_server(("0.0.0.0", 9000))
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.close()
"""


def mesh_key(seed: bytes) -> str:
    """The public key of WireGuard that belongs to a link's key."""
    private = bytearray(hashlib.blake2b(b"tidegate mesh key 1", key=seed, digest_size=32).digest())
    private[0] &= 248
    private[31] = private[31] & 127 | 64
    return subprocess.run(["wg", "pubkey"], input=base64.b64encode(private), check=True, capture_output=True).stdout.decode().strip()


def answer_names(server: socket.socket) -> None:
    """A DNS server that knows one name."""
    while True:
        question, peer = server.recvfrom(1500)
        end, labels = 12, []
        while question[end]:
            labels.append(question[end + 1:end + 1 + question[end]].decode().lower())
            end += question[end] + 1
        kind = struct.unpack(">H", question[end + 1:end + 3])[0]
        known = ".".join(labels) == f"web.{_DOMAIN}"
        flags = 0x8580 if known else 0x8583
        answers = known and kind == 1
        head = question[:2] + struct.pack(">HHHHH", flags, 1, int(answers), 0, 0)
        record = b"\xc0\x0c\0\1\0\1\0\0\0\x05\0\x04" + socket.inet_aton(SERVICE) if answers else b""
        server.sendto(head + question[12:end + 5] + record, peer)


def answer_http(listener: socket.socket) -> None:
    while True:
        connection, peer = listener.accept()
        with connection:
            connection.recv(65536)
            body = f"hello {peer[0]}".encode()
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


class Mesh(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.lab = stages.fresh().lab
        hosts = cls.lab.network.hosts
        cls.pod, cls.services, cls.visitor, cls.remote, cls.router = (hosts[name] for name in ("uplink1", "backend", "uplink2", "home", "nat"))
        for folder in (cls.lab.folder.parent, cls.lab.folder):
            folder.chmod(0o711)
        cls.folder = cls.lab.folder / "mesh"
        cls.folder.mkdir()
        cls.folder.chmod(0o755)
        cls.program = cls.folder / "uplink"
        for source, name in ((programs().uplink, "uplink"), (programs().wireguard_go, "wireguard-go")):
            subprocess.run(["cp", str(source), str(cls.folder / name)], check=True)
        cls.seed, cls.pin = identity()
        cls.remote_seed, cls.remote_pin = identity()
        cls.config = cls.folder / "config"
        cls.config.mkdir()
        (cls.config / "key").write_bytes(cls.seed)
        (cls.config / "password").write_text(secrets.token_hex(16))
        cls.path = "/" + secrets.token_hex(16)
        (cls.config / "path").write_text(cls.path)
        (cls.folder / "resolv.conf").write_text(f"search {_DOMAIN} svc.cluster.local cluster.local\nnameserver {_DNS}\noptions ndots:5\n")
        cls.sockets: list[socket.socket] = []
        cls.serve(cls.services, SERVICE, _HTTP, answer_http)
        cls.serve(cls.services, SERVICE, ECHO, echoes)
        cls.serve(cls.services, SERVICE, ECHO, echo_datagrams, datagrams=True)
        # The lab's own way there.
        cls.remote.configure(["route del 10.96.0.0/16"])
        cls.visitor.configure([f"addr add {_DNS}/32 dev lo"])
        cls.pod.configure([f"route add 10.97.0.0/16 via {UPLINKS[1]}"])
        cls.serve(cls.visitor, _DNS, 53, answer_names, datagrams=True)
        cls.serve(cls.remote, "0.0.0.0", ANY, echoes)
        cls.serve(cls.remote, "0.0.0.0", ANY, echo_datagrams, datagrams=True)
        cls.serve(cls.remote, "127.0.0.1", 8080, echoes)
        cls.document()
        cls.gateway = cls.start_gateway()

    @classmethod
    def serve(cls, host, address: str, port: int, body, *, datagrams: bool = False) -> None:
        opened = host.socket(kind=socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address, port))
        if not datagrams:
            opened.listen(64)
        cls.sockets.append(opened)
        quietly(body, opened)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.gateway.kill()
        cls.gateway.wait()
        for opened in cls.sockets:
            opened.close()

    @classmethod
    def document(cls, *networks: str, **more) -> None:
        mesh = {"peer": mesh_key(cls.remote_seed), "network": "10.7.0.0/30", "clusterCIDRs": list(networks) or ["10.96.0.0/16", "10.97.0.0/16"], "mtu": 1500, **more}
        text = json.dumps({"format": 1, "service": "batch/job", "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}],
                           "clients": ["Tidegate"], "pin": cls.remote_pin, "mesh": mesh})
        (cls.config / "new").write_text(text)
        (cls.config / "new").rename(cls.config / "gateway.json")

    @classmethod
    def start_gateway(cls) -> subprocess.Popen:
        script = 'mount --bind "$1" /etc/resolv.conf; shift; exec "$@"'
        with open(cls.folder / "gateway.log", "ab") as log:
            process = cls.pod.start(["unshare", "--mount", "sh", "-c", script, "sh", str(cls.folder / "resolv.conf"), str(cls.program), "gateway",
                                     "--config", str(cls.config)], log=log, env={"LOG_FORMAT": "text"})
        eventually(lambda: cls.status()["ports"] is not None, within=10)
        return process

    @classmethod
    def status(cls) -> dict:
        try:
            return json.loads(cls.visitor.run(["curl", "-sS", "--max-time", "5", f"http://{_GATEWAY}:28081/status"]))
        except CommandFailed as failure:
            raise AssertionError(str(failure)) from None

    def up(self, wanted: bool = True, within: float = 30) -> None:
        eventually(lambda: self.assertEqual(self.status()["mesh"]["isUp"], wanted, self.status()) or True, within=within)

    def setUp(self) -> None:
        self.up(False)
        self.log = self.folder / f"{self._testMethodName}.log"
        self.log.write_bytes(b"")

    def words(self) -> str:
        return self.log.read_text()

    def join(self, *options: str, command: list[str] | None = None, user: int | None = None, env: dict[str, str] | None = None,
             is_argument: bool = False) -> subprocess.Popen:
        token = join_token(f"ws://{_GATEWAY}:28080", self.path, self.pin, self.remote_seed)
        words = [str(self.program), "join", token if is_argument else "-", "--mesh", *options, *(["--", *command] if command else [])]
        if user is not None:
            # A host's /dev/net/tun is everybody's.
            script = 'mount -t tmpfs dev /dev/net && mknod -m 666 /dev/net/tun c 10 200 && exec setpriv --reuid "$1" --regid "$1" --clear-groups -- "${@:2}"'
            words = ["unshare", "--mount", "bash", "-c", script, "bash", str(user), *words]
        with open(self.log, "ab") as output:
            process = self.remote.start(words, log=output, stdin=subprocess.PIPE, env={"LOG_FORMAT": "text", **(env or {})})
        process.stdin.write(b"words for the command\n" if is_argument else token.encode())
        process.stdin.close()
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen) -> int:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        return process.wait(35)

    def datagrams(self, host, address: str, port: int, size: int, count: int = 20) -> None:
        with host.socket(kind=socket.SOCK_DGRAM) as session:
            session.settimeout(5)
            session.connect((address, port))
            for _ in range(count):
                sent = os.urandom(size)
                session.send(sent)
                self.assertEqual(session.recv(65536), sent)

    # MARK: with root

    def test_both_ways_with_root(self) -> None:
        process = self.join()
        self.up()
        # The remote to the cluster, as the gateway's pod.
        self.assertIn("hello " + _GATEWAY, self.remote.run(["curl", "-sS", "--max-time", "5", f"http://{SERVICE}:{_HTTP}/"]))
        self.assertIn("1 received", self.remote.run(["ping", "-c", "1", "-W", "3", SERVICE]))
        with self.remote.connect(SERVICE, ECHO) as connection:
            exchange(connection, 1 << 20)
        for size in (1, 1400, 1472, 8000):
            self.datagrams(self.remote, SERVICE, ECHO, size)
        # The cluster to any port of the remote.
        with self.visitor.connect(_GATEWAY, ANY) as connection:
            exchange(connection, 1 << 20)
        for size in (1, 1400, 1472):
            self.datagrams(self.visitor, _GATEWAY, ANY, size)
        # A port of the service is a stream of the link, and may be of the remote's loopback.
        with self.visitor.connect(_GATEWAY, 80) as connection:
            exchange(connection, 1 << 20)
        with self.assertRaises(ConnectionRefusedError):
            self.visitor.connect(_GATEWAY, 9001)
        self.assertEqual(self.status()["mesh"], {"isUp": True})
        self.assertIn("tidegate_gateway_mesh_up 1", self.visitor.run(["curl", "-sS", f"http://{_GATEWAY}:28081/metrics"]))
        # Nothing of it is left.
        self.assertEqual(self.end(process), 0)
        self.assertNotIn("tidegate", self.remote.run(["ip", "link"]) + self.remote.run(["nft", "list", "ruleset"]))
        self.up(False)

    def test_the_remote_reaches_nothing_else(self) -> None:
        self.join()
        self.up()
        # Neither the gateway's own ports, nor by it what is no network of the cluster's.
        for address, port in (("10.7.0.1", 28081), ("10.7.0.1", 28080)):
            with self.assertRaises(OSError):
                self.remote.connect(address, port, timeout=2).close()
        self.remote.configure(["route add 198.51.100.0/24 dev tidegate-mesh"])
        self.addCleanup(lambda: self.remote.run(["sh", "-c", "ip route del 198.51.100.0/24 || true"]))
        with self.assertRaises(OSError):
            self.remote.connect("198.51.100.10", 80, timeout=2).close()
        # Nor does the cluster reach through the remote what is behind it, were it a router.
        self.remote.sysctl({"net.ipv4.ip_forward": "1"})
        self.addCleanup(self.remote.sysctl, {"net.ipv4.ip_forward": "0"})
        self.pod.configure(["route add 203.0.113.0/24 dev tidegate-mesh"])
        rules = self.remote.run(["nft", "list", "table", "ip", "tidegate_mesh"])
        self.assertIn("nothing behind the remote", rules)

    def test_only_the_ports_that_are_allowed(self) -> None:
        self.join("--allow-ports", str(ANY))
        self.up()
        self.serve(self.remote, "0.0.0.0", 9100, echoes)
        with self.visitor.connect(_GATEWAY, ANY) as connection:
            exchange(connection, 1000)
        with self.assertRaises(OSError):
            self.visitor.connect(_GATEWAY, 9100, timeout=2)

    def test_a_command_has_the_clusters_names(self) -> None:
        ready = self.folder / "ready"
        process = self.join("--ready-file", str(ready), "--resolv-conf", str(self.folder / "written"),
                            command=["sh", "-c", f"getent ahostsv4 web && curl -sS http://web.{_DOMAIN}:{_HTTP}/; cat /etc/resolv.conf; exit 7"])
        self.assertEqual(process.wait(60), 7)
        self.assertIn(SERVICE, self.words())
        self.assertIn("hello " + _GATEWAY, self.words())
        self.assertTrue(ready.exists())
        self.assertEqual((self.folder / "written").read_text(), (self.folder / "resolv.conf").read_text())
        # The host's own is as it was.
        self.assertNotIn(_DNS, self.remote.run(["cat", "/etc/resolv.conf"]))

    def test_a_second_one_on_a_host_is_refused(self) -> None:
        ready, kept = self.folder / "second-ready", self.folder / "second-kept"
        ready.write_text("of a former run")
        os.link(ready, kept)
        first = self.join("--ready-file", str(ready))
        self.up()
        eventually(ready.exists, within=10)
        # What was there was taken away, and not written over.
        self.assertEqual(kept.read_text(), "of a former run")
        second = self.join()
        self.assertNotEqual(second.wait(20), 0)
        self.assertIn(f"process {first.pid} is in a mesh", self.words())
        with self.visitor.connect(_GATEWAY, ANY) as connection:
            exchange(connection, 1000)
        self.assertEqual(self.end(first), 0)

    def test_beside_a_remote_without_a_mesh(self) -> None:
        """Of one token: its links take the ports, and nothing of the mesh."""
        with open(self.folder / "plain.log", "ab") as output:
            plain = self.remote.start([str(self.program), "join", "-"], log=output, stdin=subprocess.PIPE, env={"LOG_FORMAT": "text"})
        self.addCleanup(self.end, plain)
        plain.stdin.write(join_token(f"ws://{_GATEWAY}:28080", self.path, self.pin, self.remote_seed).encode())
        plain.stdin.close()
        eventually(lambda: self.assertEqual(self.status()["ports"][0].get("client"), "Tidegate") or True, within=30)
        self.join()
        self.up()
        with self.visitor.connect(_GATEWAY, ANY) as connection:
            exchange(connection, 100_000)

    def test_a_cut_of_twenty_seconds(self) -> None:
        self.join()
        self.up()
        with self.visitor.connect(_GATEWAY, ANY, timeout=60) as held, self.remote.connect(SERVICE, ECHO, timeout=60) as other:
            for one in (held, other):
                exchange(one, 1000)
            self.router.configure(["link set home down"])
            time.sleep(20)
            self.assertFalse(self.status()["mesh"]["isUp"])
            self.router.configure(["link set home up"])
            begun = time.monotonic()
            self.up(within=20)
            print(f"    up again {time.monotonic() - begun:.1f} s after the cut")
            for one in (held, other):
                one.settimeout(60)
                exchange(one, 1 << 20)

    def test_the_gateway_is_started_again(self) -> None:
        self.join()
        self.up()
        self.gateway.send_signal(signal.SIGTERM)
        self.gateway.wait(40)
        type(self).gateway = self.start_gateway()
        self.up()
        with self.visitor.connect(_GATEWAY, ANY) as connection:
            exchange(connection, 1 << 20)

    def test_what_is_taken_away_comes_back(self) -> None:
        self.join()
        self.up()
        for host in (self.pod, self.remote):
            host.run(["nft", "delete", "table", "ip", "tidegate_mesh"])
            host.configure(["link del tidegate-mesh"])
        eventually(lambda: self.assertIn("tidegate-mesh", self.pod.run(["ip", "link"]) + self.pod.run(["nft", "list", "ruleset"])) or True, within=30)

        def works() -> bool:
            for host, address, port in ((self.visitor, _GATEWAY, ANY), (self.remote, SERVICE, ECHO)):
                with host.connect(address, port, timeout=5) as connection:
                    exchange(connection, 100_000)
            return True
        eventually(works, within=40)
        self.up()

    def test_networks_that_are_changed(self) -> None:
        self.join()
        self.up()
        self.document("10.96.0.0/16", "10.97.0.0/16", "10.244.0.0/16", "192.168.77.0/25", mtu=1400)
        self.addCleanup(self.document)
        eventually(lambda: self.assertIn("10.244.0.0/16 dev tidegate-mesh", self.remote.run(["ip", "route"])) or True, within=30)
        self.assertIn("mtu 1400", self.remote.run(["ip", "link", "show", "tidegate-mesh"]))
        # One that this host is in itself stays its own.
        self.assertNotIn("192.168.77.0/25", self.remote.run(["ip", "route"]))
        self.assertIn("192.168.77.0/25", self.words())
        self.document("10.96.0.0/16", "0.0.0.0/0")
        eventually(lambda: self.assertIn("too wide", (self.folder / "gateway.log").read_text()) or True, within=30)
        self.up()

    # MARK: without root

    def test_an_ordinary_user(self) -> None:
        job = self.folder / "job.py"
        job.write_text(_JOB)
        process = self.join(command=["/usr/bin/python3", str(job)], user=_USER, env={"NO_PROXY": "*", "HTTPS_PROXY": "http://user:pass@proxy.invalid:1"})
        eventually(lambda: self.assertIn("listening", self.words()) or True, within=60)
        words = self.words()
        self.assertIn(f"user {_USER} {_USER}\n", words)
        self.assertIn(f"address {SERVICE}\n", words)
        self.assertIn(f"body hello {_GATEWAY}\n", words)
        self.assertIn("variable http://user:pass@proxy.invalid:1\n", words)
        self.assertIn("run True\n", words)
        self.assertIn("capabilities 0000000000000000\n", words)
        self.up()
        with self.visitor.connect(_GATEWAY, ANY) as connection:
            exchange(connection, 1 << 20)
        processes = self.remote.run(["ps", "-e", "-o", "args"])
        self.assertNotIn("tidegate-remote-1", processes)
        # The host has none of it.
        self.assertNotIn("tidegate", self.remote.run(["ip", "link"]) + self.remote.run(["ip", "route"]))
        self.assertEqual(self.end(process), 128 + signal.SIGTERM)
        self.none_left()

    def test_a_token_among_the_arguments(self) -> None:
        for user in (None, _USER):
            with self.subTest(user=user):
                process = self.join(command=["sh", "-c", "cat; sleep 1000"], user=user, is_argument=True)
                eventually(lambda: self.assertIn("the command runs", self.words()) or True, within=30)
                self.assertNotIn("tidegate-remote-1.", self.remote.run(["ps", "-e", "-o", "args"]) + self.words())
                if user is None:
                    eventually(lambda: self.assertIn("words for the command", self.words()) or True, within=10)
                self.end(process)
                self.log.write_bytes(b"")
                self.up(False)

    def test_an_ordinary_user_that_is_killed(self) -> None:
        process = self.join(command=["/usr/bin/sleep", "1000"], user=_USER)
        self.up()
        eventually(lambda: self.assertIn("the command runs", self.words()) or True, within=20)
        process.kill()
        self.none_left()

    def test_interlinks_mesh(self) -> None:
        """deploy/interlink's template and script, rendered as interLink does: the container's line on another pod, and the job's script as an ordinary
        user with a command and, as the Kubernetes plugin runs it, as root without one."""
        password = secrets.token_hex(16)
        files = {name: f"file://{self.folder}/{name}" for name in ("uplink", "wireguard-go")}
        deployment = next(yaml.safe_load_all(rendered(self.folder, "mesh-template.yaml", password)))
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        environment = {one["name"]: one["value"] for one in container["env"]}
        log = self.folder / "interlink.log"
        arguments = [word.replace("10.105.0.0/16", "10.96.0.0/16") for word in container["args"]]
        self.assertNotEqual(arguments, container["args"])
        with open(log, "ab") as output:
            process = self.visitor.start([str(self.program), *arguments, "--port=80"], log=output, env={"LOG_FORMAT": "text", **environment})
        self.addCleanup(self.end, process)
        eventually(lambda: self.visitor.connect(UPLINKS[1], 80).close() or True, within=10)
        script = rendered(self.folder, "mesh.sh", password, WSTunnelExecutableURL=files["uplink"], WireguardGoURL=files["wireguard-go"],
                          Slirp4netnsURL="file:///usr/bin/slirp4netns", IngressEndpoint=UPLINKS[1])
        self.assertRegex(script, r"^cat <<'EOFMESH' > \$TMPDIR/mesh.sh\n")
        self.assertIn("\nEOFMESH\n", script)
        # A job.
        work = self.folder / "job"
        work.mkdir()
        os.chown(work, _USER, _USER)
        user = 'mount -t tmpfs dev /dev/net && mknod -m 666 /dev/net/tun c 10 200 && exec setpriv --reuid 1234 --regid 1234 --clear-groups -- "$@"'
        run = f"{script}\n$TMPDIR/mesh.sh curl -sS --max-time 10 http://{SERVICE}:{_HTTP}/"
        said = self.remote.run(["unshare", "--mount", "env", f"TMPDIR={work}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "bash", "-c", user, "bash", "bash", "-c", run])
        self.assertIn("hello " + UPLINKS[1], said)
        self.assertTrue((work / "mesh-ready").exists())
        # The sidecar.
        side = self.folder / "side"
        side.mkdir()
        with open(self.log, "ab") as output:
            sidecar = self.remote.start(["env", f"TMPDIR={side}", "LOG_FORMAT=text", "bash", "-c", f"{script}\nexec $TMPDIR/mesh.sh"], log=output)
        self.addCleanup(self.end, sidecar)
        eventually(lambda: (side / "mesh-ready").exists(), within=30)
        with self.pod.connect(UPLINKS[1], ANY) as connection:
            exchange(connection, 1 << 20)
        self.assertNotIn(password, log.read_text() + self.words() + self.remote.run(["ps", "-e", "-o", "args"]).replace(script, ""))

    def none_left(self) -> None:
        def gone() -> bool:
            listed = subprocess.run(["ps", "-U", str(_USER), "-o", "args="], capture_output=True, text=True).stdout
            self.assertEqual([line for line in listed.splitlines() if "<defunct>" not in line], [])
            return True
        eventually(gone, within=45)

    def test_an_ordinary_user_whose_inner_process_is_killed(self) -> None:
        process = self.join(command=["/usr/bin/sleep", "1000"], user=_USER)
        eventually(lambda: self.assertIn("the command runs", self.words()) or True, within=30)
        inner = subprocess.run(["pgrep", "-U", str(_USER), "-f", "^/proc/self/exe inside"], capture_output=True, text=True).stdout.split()
        os.kill(int(inner[0]), signal.SIGKILL)
        self.assertEqual(process.wait(20), 128 + signal.SIGKILL)
        self.none_left()

    def test_an_ordinary_user_whose_way_out_is_killed(self) -> None:
        job = self.folder / "job.py"
        job.write_text(_JOB)
        self.join(command=["/usr/bin/python3", str(job)], user=_USER)
        eventually(lambda: self.assertIn("listening", self.words()) or True, within=60)
        slirp = subprocess.run(["pgrep", "-U", str(_USER), "-x", "slirp4netns"], capture_output=True, text=True).stdout.split()
        os.kill(int(slirp[0]), signal.SIGKILL)
        eventually(lambda: self.assertIn("slirp4netns ended, and is started again", self.words()) or True, within=10)

        def works() -> bool:
            with self.visitor.connect(_GATEWAY, ANY, timeout=5) as connection:
                exchange(connection, 100_000)
            return True
        eventually(works, within=60)

    def test_an_ordinary_user_without_a_command(self) -> None:
        process = self.join(user=_USER)
        self.assertNotEqual(process.wait(20), 0)
        self.assertIn("give a command behind --", self.words())

    def test_a_program_that_is_not_there(self) -> None:
        process = self.join(command=["/nowhere"], user=_USER)
        self.assertEqual(process.wait(60), 127)
        self.assertIn("/nowhere cannot be run", self.words())
        self.none_left()


if __name__ == "__main__":
    unittest.main()
