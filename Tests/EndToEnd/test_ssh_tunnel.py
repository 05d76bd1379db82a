"""`tidegate ssh-tunnel` through a real sshd (docs/ssh-tunnel.md): no controller, no VPS of ours."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
from contextlib import closing
from pathlib import Path

from lab.commands import run
from lab.laboratory import Lab
from lab.namespaces import Namespace
from lab.network import UPLINKS
from product.programs import programs
from product.traffic import eventually

import stage as stages

_PORT = 2222
_ECHO = 4000
_HEALTH = 8090
_SECRET = "a passphrase of its own"


class Server:
    """sshd on another host, with a user's key, and behind it programs that echo: at a port of its localhost and at a socket."""

    def __init__(self, host: Namespace, folder: Path):
        self.host, self.folder = host, folder
        folder.chmod(0o711)
        for name, comment in (("user", "user"), ("other", "other")):
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(folder / name)])
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", _SECRET, "-C", "locked", "-f", str(folder / "locked")])
        self.new_host_key()
        (folder / "sshd_config").write_text(f"""
Port {_PORT}
ListenAddress {UPLINKS[0]}
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
PermitRootLogin yes
UsePAM no
PasswordAuthentication no
PidFile none
UseDNS no
MaxStartups 100
LogLevel VERBOSE
""")
        (folder / "shadow").write_text("root:*:19000:0:99999:7:::\nsshd:!:19000::::::\n")
        (folder / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nsshd:x:103:65534::/run/sshd:/usr/sbin/nologin\n")
        (folder / "start.sh").write_text("""set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir /run/sshd
for name in passwd shadow; do mount --bind "$1/$name" "/etc/$name"; done
exec /usr/sbin/sshd -D -e -f "$1/sshd_config"
""")
        self.allow("restrict,port-forwarding")
        self.process: subprocess.Popen | None = None
        self.listeners = [host.socket(), host.socket(socket.AF_UNIX)]
        self.listeners[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listeners[0].bind(("127.0.0.1", _ECHO))
        self.listeners[1].bind(str(folder / "echo.sock"))
        for listener in self.listeners:
            listener.listen(512)
            threading.Thread(target=echoes, args=(listener,), daemon=True).start()
        self.start()

    def allow(self, options: str) -> None:
        keys = [(self.folder / f"{name}.pub").read_text().strip() for name in ("user", "locked")]
        (self.folder / "authorized_keys").write_text("".join(f'{options},command="/bin/false" {key}\n' for key in keys))

    def new_host_key(self) -> None:
        for name in ("host", "host.pub"):
            (self.folder / name).unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(self.folder / "host")])

    def fingerprint(self) -> str:
        return run(["ssh-keygen", "-lf", str(self.folder / "host")]).split()[1]

    def start(self) -> None:
        with open(self.folder / "log", "ab") as log:
            self.process = self.host.start(["unshare", "--mount", "sh", str(self.folder / "start.sh"), str(self.folder)], log=log)
        eventually(lambda: self.host.connect(UPLINKS[0], _PORT).close() or True, within=10)

    def signal(self, number: int) -> None:
        """To it and all its sessions."""
        assert self.process is not None
        sessions = children(self.process.pid)
        for pid in [self.process.pid, *[child for session in sessions for child in children(session)], *sessions]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def stop(self) -> None:
        """With all its sessions."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        self.stop()
        for listener in self.listeners:
            listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()] if Path(f"/proc/{pid}").exists() else []


def echoes(listener: socket.socket) -> None:
    """Sends all back that comes, until the other side ends; then says how much it was, and ends."""
    def serve(connection: socket.socket) -> None:
        with connection:
            count = 0
            while data := connection.recv(65536):
                count += len(data)
                connection.sendall(data)
            connection.sendall(b"=%d" % count)
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_quietly, args=(serve, connection), daemon=True).start()


def _quietly(serve, connection: socket.socket) -> None:
    try:
        serve(connection)
    except OSError:
        pass


def conversation(connection: socket.socket, size: int) -> None:
    """There and back, and the end: what was half-closed still answers."""
    sent = os.urandom(size)
    thread = threading.Thread(target=lambda: (connection.sendall(sent), connection.shutdown(socket.SHUT_WR)))
    thread.start()
    heard = bytearray()
    while data := connection.recv(65536):
        heard += data
    thread.join()
    tail = b"=%d" % size
    assert heard.endswith(tail), f"no end: {len(heard)} of {size}"
    assert hashlib.sha256(heard[:-len(tail)]).digest() == hashlib.sha256(sent).digest(), "other bytes came back"


class SSHTunnel(unittest.TestCase):
    lab: Lab
    server: Server

    @classmethod
    def setUpClass(cls) -> None:
        cls.lab = stages.fresh().lab
        cls.home = cls.lab.home
        for folder in (cls.lab.folder.parent, cls.lab.folder):
            folder.chmod(0o711)
        cls.folder = cls.lab.folder / "tunnel"
        cls.folder.mkdir()
        # Not in the lab's folder, which is below /run: sshd gets a /run of its own.
        cls.server = Server(cls.lab.uplinks[0], Path(tempfile.mkdtemp(prefix="tidegate-sshd-")))
        cls.known = cls.folder / "known_hosts"
        cls.program = programs().tidegate

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.close()

    def setUp(self) -> None:
        self.pin()
        self.local = str(self.folder / "local.sock")
        self.log = self.folder / f"{self._testMethodName}.log"

    def pin(self) -> None:
        self.known.write_text(f"[{UPLINKS[0]}]:{_PORT} {(self.server.folder / 'host.pub').read_text()}")

    def argv(self, *, remote: str = str(_ECHO), key: str = "user", local: str | None = None) -> list[str]:
        return [self.program, "ssh-tunnel", "--server", f"{UPLINKS[0]}:{_PORT}", "--user", "root",
                "--identity", str(self.server.folder / key), "--known-hosts", str(self.known),
                "--local", local or self.local, "--remote", remote]

    def start(self, argv: list[str] | None = None, *, ready: bool = True) -> subprocess.Popen:
        with open(self.log, "ab") as log:
            process = self.home.start(argv or self.argv(), log=log, env={"LOG_FORMAT": "text", "HOME": str(self.folder), "PATH": "/usr/bin:/bin"})
        self.addCleanup(self.end, process)
        if ready:
            eventually(self.says("forwarding"), within=20)
        return process

    def end(self, process: subprocess.Popen) -> int:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            raise

    def says(self, words: str):
        return lambda: self.assertIn(words, self.log.read_text()) or True

    def connect(self, path: str | None = None) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(20)
        connection.connect(path or self.local)
        return connection

    def talk(self, size: int = 1 << 20) -> None:
        with self.connect() as connection:
            conversation(connection, size)

    def test_a_socket_here_to_a_port_there(self) -> None:
        process = self.start()
        self.talk()
        self.assertEqual(os.stat(self.local).st_mode & 0o777, 0o600)
        self.assertEqual(self.end(process), 0)
        self.assertFalse(os.path.exists(self.local), "its socket goes with it")

    def test_a_port_here_to_a_socket_there(self) -> None:
        self.start(self.argv(local="127.0.0.1:4100", remote=str(self.server.folder / "echo.sock")))
        with self.home.connect("127.0.0.1", 4100, timeout=20) as connection:
            conversation(connection, 1 << 20)

    def test_the_reverse(self) -> None:
        """From a port there to a socket here, which another program has."""
        with closing(socket.socket(socket.AF_UNIX)) as listener:
            path = str(self.folder / "target.sock")
            listener.bind(path)
            # A unix socket whose queue is full refuses (unix(7)), and the tunnel hands that on.
            listener.listen(128)
            threading.Thread(target=echoes, args=(listener,), daemon=True).start()
            self.start([*self.argv(local=path, remote="127.0.0.1:4200"), "--reverse"])
            held = [self.server.host.connect("127.0.0.1", 4200, timeout=20) for _ in range(100)]
            for connection in held:
                with connection:
                    conversation(connection, 20_000)

    def test_a_hundred_at_once_and_one_that_reads_nothing(self) -> None:
        process = self.start()
        with self.connect() as stalled:
            stalled.setblocking(False)
            sent = 0
            try:
                while sent < 64 << 20:
                    sent += stalled.send(bytes(65536))
            except BlockingIOError:
                pass
            held = [self.connect() for _ in range(100)]
            for connection in held:
                with connection:
                    conversation(connection, 100_000)
            status = Path(f"/proc/{process.pid}/status").read_text()
            self.assertLess(int(status.split("VmRSS:")[1].split()[0]), 120_000, "KiB resident")

    def test_flags_of_interlinks_program(self) -> None:
        """With one dash, `~` in quotes, and the host's key alone in a file, as text or as its bytes."""
        home = self.folder / ".ssh"
        home.mkdir(exist_ok=True)
        (home / "interlink_key").write_text((self.server.folder / "user").read_text())
        (home / "interlink_key").chmod(0o600)
        text = (self.server.folder / "host.pub").read_text()
        for kind, key in (("text", text.encode()), ("bytes", base64.b64decode(text.split()[1]))):
            (home / "interlink_host_key").write_bytes(key)
            self.log = self.folder / f"flags-{kind}.log"
            tunnel = self.start([self.program, "ssh-tunnel", "-addr", f"{UPLINKS[0]}:{_PORT}", "-user", "root", "-keyfile", "~/.ssh/interlink_key",
                                 "-lsock", self.local, "-rport", str(_ECHO), "-hostkeyfile", "~/.ssh/interlink_host_key"])
            self.talk(1000)
            self.end(tunnel)

    def test_by_the_name_of_interlinks_program_it_does_what_that_does(self) -> None:
        """From the server's localhost to the socket here."""
        link = self.folder / "ssh-tunnel"
        link.unlink(missing_ok=True)
        link.symlink_to(self.program)
        with closing(socket.socket(socket.AF_UNIX)) as listener:
            path = str(self.folder / "interlink.sock")
            listener.bind(path)
            listener.listen(64)
            threading.Thread(target=echoes, args=(listener,), daemon=True).start()
            self.start([str(link), "-addr", f"{UPLINKS[0]}:{_PORT}", "-user", "root", "-keyfile", str(self.server.folder / "user"),
                        "-lsock", path, "-rport", "4300", "-hostkeyfile", str(self.server.folder / "host.pub")])
            with self.server.host.connect("127.0.0.1", 4300, timeout=20) as connection:
                conversation(connection, 1000)

    def test_a_key_with_a_passphrase(self) -> None:
        words = self.folder / "passphrase"
        words.write_text(f"{_SECRET}\n")
        words.chmod(0o600)
        self.start([*self.argv(key="locked"), "--passphrase-file", str(words)])
        self.talk(1000)
        self.assertNotIn(_SECRET, self.log.read_text())
        lines = run(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"])
        self.assertNotIn(_SECRET, lines)

    def test_sshd_restarted(self) -> None:
        self.start([*self.argv(local="4101"), "--health", f"127.0.0.1:{_HEALTH}"])
        self.assertEqual(self.health(), (200, "ok"))
        with self.home.connect("127.0.0.1", 4101, timeout=20) as held:
            held.sendall(b"x")
            self.assertEqual(held.recv(1), b"x")
            self.server.stop()
            # It is cut, and not ended as if all had come.
            with self.assertRaises(ConnectionError):
                if not held.recv(1):
                    raise AssertionError("an end")
        eventually(lambda: self.assertEqual(self.health()[0], 500) or True, within=5)
        with self.home.connect("127.0.0.1", 4101, timeout=20) as waiting:
            self.server.start()
            conversation(waiting, 1000)
        self.assertEqual(self.health(), (200, "ok"))

    def test_sshd_is_frozen(self) -> None:
        """Its kernel goes on taking what comes: only sshd's own signs of life tell. Without a connection, and with one."""
        self.start([*self.argv(local="4102"), "--keepalive", "1s", "--health", f"127.0.0.1:{_HEALTH}"])
        self.addCleanup(self.server.signal, signal.SIGCONT)
        # Where it is merely idle nothing happens.
        time.sleep(10)
        self.assertNotIn("the tunnel is down", self.log.read_text())
        for holds in (False, True):
            with self.subTest(holds=holds):
                self.assertEqual(self.health(), (200, "ok"))
                held = self.home.connect("127.0.0.1", 4102, timeout=20) if holds else None
                if held:
                    held.sendall(b"x")
                    self.assertEqual(held.recv(1), b"x")
                self.server.signal(signal.SIGSTOP)
                eventually(lambda: self.assertEqual(self.health()[0], 500) or True, within=15)
                self.assertIn("nothing came from the peer for 4 s", self.log.read_text())
                if held:
                    with self.assertRaises(ConnectionError):
                        if not held.recv(1):
                            raise AssertionError("an end")
                    held.close()
                self.server.signal(signal.SIGCONT)
                eventually(lambda: self.assertEqual(self.health(), (200, "ok")) or True, within=60)
                with self.home.connect("127.0.0.1", 4102, timeout=20) as connection:
                    conversation(connection, 1000)

    def health(self) -> tuple[int, str]:
        said = self.home.run(["curl", "-s", "-w", "\n%{http_code}", f"http://127.0.0.1:{_HEALTH}/readyz"])
        text, code = said.rsplit("\n", 1)
        return int(code), text

    def test_the_network_is_cut_for_half_a_minute(self) -> None:
        self.start()
        with self.connect() as held:
            held.settimeout(60)
            held.sendall(b"x")
            self.assertEqual(held.recv(1), b"x")
            role = self.server.host.role
            self.lab.nat.run(["ip", "link", "set", role, "down"])
            time.sleep(30)
            held.sendall(b"y")
            self.lab.nat.run(["ip", "link", "set", role, "up"])
            began = time.monotonic()
            self.assertEqual(held.recv(1), b"y", "TCP carries it on")
            # Kernels before 6.15 wait twice as long each time.
            self.assertLess(time.monotonic() - began, 30)
        self.talk(1000)

    def test_another_host_key_is_refused_with_both_fingerprints(self) -> None:
        former = self.server.fingerprint()
        self.server.stop()
        self.server.new_host_key()
        self.server.start()
        self.start(ready=False)
        eventually(self.says(former), within=20)
        eventually(self.says(self.server.fingerprint()), within=20)
        self.assertNotIn("Accepted", (self.server.folder / "log").read_text().split("Server listening")[-1])
        self.pin()
        said = self.log.read_text()
        self.assertIn(f"[{UPLINKS[0]}]:{_PORT} ssh-ed25519", said, "the line to add")

    def test_a_key_for_that_forward_alone(self) -> None:
        self.server.allow(f'restrict,port-forwarding,permitopen="localhost:{_ECHO}"')
        self.addCleanup(self.server.allow, "restrict,port-forwarding")
        self.start()
        self.talk(1000)
        target = f"root@{UPLINKS[0]}"
        ssh = ["ssh", "-p", str(_PORT), "-i", str(self.server.folder / "user"), "-o", f"UserKnownHostsFile={self.known}", "-o", "BatchMode=yes", target]
        said = self.home.run(["sh", "-c", '"$@" id 2>&1; echo "status $?"', "sh", *ssh])
        self.assertIn("status 1", said)
        self.assertNotIn("uid=", said)
        other = self.folder / "other.sock"
        self.log = self.folder / "another.log"
        self.start(self.argv(local=str(other), remote="localhost:4001"))
        with self.connect(str(other)) as connection:
            self.assertEqual(connection.recv(1), b"", "unix sockets know no reset")
        eventually(self.says("a connection was not forwarded"), within=5)

    def test_what_is_wrong_is_said(self) -> None:
        for argv, words in (
            ([*self.argv(remote="70000")], "--remote"), ([*self.argv(local="nowhere")], "--local"),
            ([*self.argv(remote="/a.sock"), "--reverse"], "--reverse"), ([*self.argv(key="user.pub")], "it is a public key"),
            ([*self.argv(key="nothing")], "--identity"), ([*self.argv(), "--keepalive", "0s"], "--keepalive"),
            ([*self.argv(local="/proc/nothing/x.sock")], "cannot listen at /proc/nothing/x.sock"),
        ):
            process = self.home.start(argv, log=subprocess.PIPE, env={"LOG_FORMAT": "text", "PATH": "/usr/bin"})
            said = process.communicate(timeout=20)[0].decode()
            self.assertNotEqual(process.returncode, 0, argv)
            self.assertIn(words, said, argv)

    def test_a_socket_of_another_program_is_left_alone(self) -> None:
        first = self.start()
        second = self.home.start(self.argv(), log=subprocess.PIPE, env={"LOG_FORMAT": "text", "PATH": "/usr/bin"})
        said = second.communicate(timeout=20)[0].decode()
        self.assertIn("is another process there?", said)
        self.talk(1000)
        first.kill()
        first.wait()
        self.assertTrue(os.path.exists(self.local), "it had no time to clean up")
        self.log = self.folder / "again.log"
        self.start()
        self.talk(1000)

    def test_systemd_is_told(self) -> None:
        path = str(self.folder / "notify.sock")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(path)
            listener.settimeout(20)
            with open(self.log, "ab") as log:
                process = self.home.start(self.argv(), log=log, env={"NOTIFY_SOCKET": path, "PATH": "/usr/bin"})
            self.addCleanup(self.end, process)
            self.assertTrue(re.match(rb"READY=1\nSTATUS=forwarding .*local.sock to localhost:4000$", listener.recv(4096)))
            self.end(process)
            self.assertEqual(listener.recv(4096), b"STOPPING=1")
        os.unlink(path)
