"""The relay's side: namespaces, Envoy, and the moves that the agent makes with its files."""
import ctypes
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

RELAY = "10.200.0.1"
HERE = Path(__file__).parent
LIBC = ctypes.CDLL(None, use_errno=True)
# linux/sched.h and linux/prctl.h
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def enter(name):
    with open(f"/run/netns/{name}") as namespace:
        if LIBC.setns(namespace.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


def connect_from(source, port, host=RELAY, timeout=3):
    """A connection of an uplink's."""
    enter(f"envoy-{os.getpid()}-u")
    try:
        return socket.create_connection((host, port), timeout, (source, 0))
    finally:
        enter(f"envoy-{os.getpid()}-e")


class Namespaces:
    """`envoy-PID-e` for the relay, which this process enters, and `envoy-PID-u` for the uplinks, joined by a veth."""

    def __init__(self, uplinks):
        self.edge, self.home = f"envoy-{os.getpid()}-e", f"envoy-{os.getpid()}-u"
        try:
            for name in (self.edge, self.home):
                run("ip", "netns", "add", name)
                run("ip", "-n", name, "link", "set", "lo", "up")
            run("ip", "-n", self.edge, "link", "add", "wg-relay", "type", "veth", "peer", "name", "wg-uplink",
                "netns", self.home)
            run("ip", "-n", self.edge, "addr", "add", RELAY + "/24", "dev", "wg-relay")
            for address in uplinks:
                run("ip", "-n", self.home, "addr", "add", address + "/24", "dev", "wg-uplink")
            run("ip", "-n", self.edge, "link", "set", "wg-relay", "up")
            run("ip", "-n", self.home, "link", "set", "wg-uplink", "up")
            enter(self.edge)
        except BaseException:
            self.close()
            raise

    def close(self):
        for name in (self.edge, self.home):
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)


class UnixHTTP(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("admin", timeout=5)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(str(self.path))


class Envoy:
    def __init__(self, binary, agent, root):
        self.binary, self.agent, self.root, self.files = binary, agent, Path(root), Path(root) / "config"
        self.process = self.prober = None

    def start(self, *arguments):
        """Seconds until Envoy says it is live."""
        began = time.monotonic()
        if not self.prober:
            self.start_prober()
        with open(self.root / "envoy.log", "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "-c", "bootstrap.json", "--concurrency", "2", "--disable-hot-restart", *arguments],
                cwd=self.files, stdout=log, stderr=log, preexec_fn=die_with_parent)
        self.wait(lambda: self.admin("/ready")[0] == 200, "Envoy to be live")
        return time.monotonic() - began

    def start_prober(self):
        with open(self.root / "prober.log", "ab") as log:
            self.prober = subprocess.Popen([self.agent, "probe-uplinks"], cwd=self.files, stdout=log, stderr=log,
                                           preexec_fn=die_with_parent)

    def stop_prober(self):
        self.prober.kill()
        self.prober.wait()

    def stop(self):
        for process in (self.process, self.prober):
            if process and process.poll() is None:
                process.kill()
                process.wait()

    def wait(self, condition, what, seconds=10):
        """Seconds that it took."""
        began = time.monotonic()
        while True:
            if self.process.poll() is not None:
                raise SystemExit(f"Envoy ended with {self.process.returncode}: {self.log()[-2000:]}")
            try:
                if condition():
                    return time.monotonic() - began
            except OSError:
                pass
            if time.monotonic() - began > seconds:
                raise SystemExit(f"waited {seconds} s for {what}: {self.log()[-2000:]}")
            time.sleep(0.01)

    def log(self):
        return (self.root / "envoy.log").read_text()

    def admin(self, path, method="GET"):
        connection = UnixHTTP(self.root / "envoy-admin.sock")
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()

    def stats(self, pattern=""):
        return {m["name"]: m["value"] for m in json.loads(self.admin(f"/stats?format=json&filter={pattern}")[1])["stats"]
                if "value" in m}

    def inotify_instances(self):
        count = 0
        for fd in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                count += "inotify" in os.readlink(fd)
            except FileNotFoundError:
                # Closed since the folder was listed.
                continue
        return count

    def healthy(self, cluster):
        return self.stats(f"^cluster.{cluster}.membership_healthy$").get(f"cluster.{cluster}.membership_healthy", 0)

    def put(self, folder, seconds=5):
        """Puts the files of `folder` in place, each atomically, what is referred to before what refers to it; waits until Envoy
        has read the lists."""
        source = self.root / folder
        before = self.updates()
        expected = dict(before)
        for name in ("probes", "limits"):
            self.put_file(source / f"{name}.json", f"{name}.json")
        for kind in ("tls", "sds"):
            for file in sorted((source / kind).glob("*")) if (source / kind).exists() else []:
                self.put_file(file, kind + "/" + file.name)
        for name in ("cds", "lds"):
            if self.put_file(source / f"{name}.pb", f"{name}.pb"):
                expected[name] += 1
        return self.wait(lambda: all(count >= expected[name] for name, count in self.updates().items()), "the update to be read", seconds)

    def put_file(self, file, path):
        target = self.files / path
        if target.exists() and target.read_bytes() == file.read_bytes():
            return False
        temporary = target.with_name("." + target.name)
        shutil.copyfile(file, temporary)
        os.rename(temporary, target)
        return True

    def updates(self):
        stats = self.stats("update_(success|rejected)$")
        return {
            name: stats.get(f"{prefix}.update_success", 0) + stats.get(f"{prefix}.update_rejected", 0)
            for name, prefix in (("lds", "listener_manager.lds"), ("cds", "cluster_manager.cds"))
        }


class Backends:
    def __init__(self, namespaces, root, settings):
        path = Path(root) / "backends.json"
        path.write_text(json.dumps(settings))
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", namespaces.home, "python3", HERE / "backends.py", path], stdout=subprocess.PIPE,
            preexec_fn=die_with_parent)
        if self.process.stdout.readline() != b"up\n":
            raise SystemExit("the backends did not start")

    def stop(self):
        self.process.kill()
        self.process.wait()


def connect(port, host="127.0.0.1", timeout=3):
    return socket.create_connection((host, port), timeout=timeout)


def datagram_socket(port, host="127.0.0.1", timeout=0.5):
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(timeout)
    sock.connect((host, port))
    return sock


def ask(sock, data=b"hello"):
    """What comes back for `data`; the word `closed` when the connection ends instead, `silent` when nothing comes."""
    try:
        sock.sendall(data)
        answer = sock.recv(70000)
        return answer.decode("latin-1") if answer else "closed"
    except TimeoutError:
        return "silent"
    except OSError:
        return "closed"


def echoes(sock, size):
    """Whether `size` bytes come back as they were sent."""
    sent = os.urandom(size)
    if sock.type == socket.SOCK_DGRAM:
        try:
            sock.send(sent)
            return sock.recv(70000) == sent
        except OSError:
            return False
    view, received = memoryview(sent), b""
    sock.settimeout(10)
    while len(received) < size:
        if view:
            view = view[sock.send(view[:32768]):]
        piece = sock.recv(65536)
        if not piece:
            return False
        received += piece
    return received == sent
