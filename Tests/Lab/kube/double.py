"""An API server for tests: answers as a kube-apiserver 1.36, in memory, with faults to order.

    from kube.double import ApiServer

    with ApiServer(folder) as server:
        server.kubectl("apply", "-f", "crds/")
        config = server.kubeconfig("controller", user="system:serviceaccount:tidegate-system:tidegate")
"""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Optional, Sequence

from lab.commands import CommandFailed
from lab.namespaces import Namespace

from . import certificates

_LAB = Path(__file__).resolve().parents[1]
_START_WITHIN = 30.0  # seconds; the first start installs a package


class ApiServer:
    """One double. Its folder keeps certificates, kubeconfigs, the log and, over restarts, the objects.

    namespace: where it runs; plainly on this machine when None.
    host: the address it listens on, and that its kubeconfigs name.
    port, plain_port: 0 takes a free port, kept over restarts; plain_port None: TLS only.
    keep: whether objects outlive `stop`.
    anonymous: who sends no credentials without TLS is system:anonymous, not the administrator.
    attached: it ends with the calling process, even one killed.
    """

    def __init__(self, folder: Path, *, namespace: Optional[Namespace] = None, host: str = "127.0.0.1", port: int = 0,
                 plain_port: Optional[int] = 0, anonymous: bool = False, keep: bool = True, attached: bool = True, names: Sequence[str] = ()):
        self.folder, self.namespace, self.host, self._anonymous, self._keep = folder, namespace, host, anonymous, keep
        self.port, self.plain_port = port, plain_port
        self._names = list(names)
        self._attached = attached
        self._process: Optional[subprocess.Popen[bytes]] = None

    def __enter__(self) -> "ApiServer":
        return self.start()

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self.stop()

    # Life

    def start(self) -> "ApiServer":
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        certificates.make_authority(self.folder)
        if not (self.folder / "server.crt").exists():
            wanted = {"127.0.0.1", "10.96.0.1", self.host} - {"0.0.0.0", "::"}
            certificates.make_server(self.folder, sorted(wanted), ["localhost", "kubernetes", "kubernetes.default.svc", *self._names])
            certificates.make_user(self.folder, "admin", "kubernetes-admin", ["system:masters"])
        (self.folder / "ports").unlink(missing_ok=True)
        command = [sys.executable, "-m", "kube.serve", "--folder", str(self.folder), "--host", self.host, "--port", str(self.port),
                   "--plain-port", str(-1 if self.plain_port is None else self.plain_port), "--parent", str(os.getpid() if self._attached else 0)]
        command += ["--anonymous"] if self._anonymous else []
        command += ["--state", str(self.folder / "objects")] if self._keep else []
        with (self.folder / "log").open("ab") as log:
            if self.namespace is None:
                self._process = subprocess.Popen(command, cwd=_LAB, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            else:
                self._process = self.namespace.start(command, log=log.fileno(), cwd=str(_LAB))
        self._wait()
        return self

    def _wait(self) -> None:
        assert self._process is not None
        end = time.monotonic() + _START_WITHIN
        while not (self.folder / "ports").exists():
            if self._process.poll() is not None or time.monotonic() > end:
                said = (self.folder / "log").read_text(errors="replace")[-2000:]
                self.kill()
                raise RuntimeError(f"the double of the API server did not start; its log in {self.folder}/log ends with:\n{said}")
            time.sleep(0.02)
        ports = json.loads((self.folder / "ports").read_text())
        self.port = ports.get("https", -1)
        self.plain_port = ports.get("http")

    def stop(self) -> None:
        """Ends it; connections drop, objects are kept for the next start."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once; what was written since the last `stop` or `save` is lost."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    @property
    def pid(self) -> int:
        """To pause it with SIGSTOP."""
        assert self._process is not None
        return self._process.pid

    # Clients

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    @property
    def plain_url(self) -> str:
        """Without TLS; who sends no credentials is the administrator here."""
        return f"http://{self.host}:{self.plain_port}"

    @property
    def authority(self) -> Path:
        return self.folder / "ca.crt"

    def token(self, user: str, groups: Sequence[str] = (), *, seconds: float = 0) -> str:
        """A bearer token of a user; a service account is system:serviceaccount:NAMESPACE:NAME. 0 seconds: for ever."""
        return str(self.control("token", user=user, groups=list(groups), seconds=seconds))

    def kubeconfig(self, file: str = "admin", *, user: str = "", groups: Sequence[str] = (), seconds: float = 0, certificate: bool = False,
                   server: str = "") -> Path:
        """A kubeconfig of a user: by token, or by certificate. Without a user: of the administrator, by certificate."""
        path = self.folder / f"{file}.kubeconfig"
        if not user or certificate:
            if user:
                certificates.make_user(self.folder, file, user, groups)
            base = self.folder / (file if user else "admin")
            credentials = {"client-certificate-data": _base64(base.with_suffix(".crt")), "client-key-data": _base64(base.with_suffix(".key"))}
        else:
            credentials = {"token": self.token(user, groups, seconds=seconds)}
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "double",
                  "clusters": [{"name": "double", "cluster": {"server": server or self.url, "certificate-authority-data": _base64(self.authority)}}],
                  "users": [{"name": user or "admin", "user": credentials}],
                  "contexts": [{"name": "double", "context": {"cluster": "double", "user": user or "admin"}}]}
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
            json.dump(config, opened)
        return path

    def kubectl(self, *arguments: str, input: str | bytes | None = None, config: Optional[Path] = None, timeout: float = 60) -> str:
        """kubectl's standard output, as the administrator or whom the kubeconfig names. Raises CommandFailed."""
        argv = ["kubectl", "--kubeconfig", str(config or self.kubeconfig()), "--cache-dir", str(self.folder / "cache"), *arguments]
        where = self.namespace.argv(argv) if self.namespace else argv
        data = input.encode() if isinstance(input, str) else input
        stdin: dict[str, Any] = {"input": data} if data is not None else {"stdin": subprocess.DEVNULL}
        done = subprocess.run(where, capture_output=True, timeout=timeout, **stdin)
        if done.returncode != 0:
            raise CommandFailed(argv[0:1] + list(arguments), done.returncode, (done.stderr + done.stdout).decode(errors="replace"))
        return done.stdout.decode()

    # Faults and questions; see control.py for what each does

    def control(self, do: str, **values: Any) -> Any:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.settimeout(10)
            opened.connect(str(self.folder / "control.sock"))
            opened.sendall(json.dumps({"do": do, **values}).encode() + b"\n")
            said = json.loads(opened.makefile("rb").readline())
        if "error" in said:
            raise RuntimeError(f"{do}: {said['error']}")
        return said["answer"]

    def split_events(self, size: int) -> None:
        """Watch events in pieces of so many bytes; 0: whole."""
        self.control("set", chunk=size)

    def join_events(self, count: int) -> None:
        """So many watch events in one piece; 0: each by itself."""
        self.control("set", join_events=count)

    def only_bookmarks(self, on: bool = True) -> None:
        """Watches are told of no change (it is lost for them, as behind a broken cache)."""
        self.control("set", only_bookmarks=on)

    def cut_watches(self, resource: str = ".*", *, events: int = 0, bytes: int = 0, times: int = 1) -> None:
        """The next `times` watches of a resource (regular expression over the plural) end in the middle."""
        self.control("cut", resource=resource, events=events, bytes=bytes, times=times)

    def answer(self, code: int, *, verb: str = ".*", resource: str = ".*", name: str = ".*", user: str = ".*", times: int = 1,
               retry_after: int = 0, seconds: float = 0, after: bool = False) -> None:
        """The next `times` requests that match (regular expressions; a subresource is `plural/sub`) are answered with a code.

        code 0 with seconds: served, but later. after: carried out, but the answer is lost with the connection.
        """
        self.control("answer", code=code, verb=verb, resource=resource, name=name, user=user, times=times, retry_after=retry_after,
                     seconds=seconds, after=after)

    def delay(self, seconds: float, *, verb: str = "list", resource: str = ".*", times: int = 1) -> None:
        self.answer(0, verb=verb, resource=resource, seconds=seconds, times=times)

    def clear_faults(self) -> None:
        self.control("clear")

    def forget_history(self) -> None:
        """Compaction: a watch or an exact list from before gets its 410."""
        self.control("forget")

    def counts(self, *, reset: bool = False) -> dict[str, int]:
        """Requests by `verb resource`, as "list edgenodes"."""
        return dict(self.control("counts", reset=reset))

    def __repr__(self) -> str:
        return f"ApiServer({self.url})"


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def ask(server: ApiServer, method: str, path: str, body: Any = None, *, type: str = "application/json", token: str = "") -> tuple[int, Any]:
    """One plain request: code and decoded answer, for tests and emulated controllers on this machine."""
    request = urllib.request.Request(server.plain_url + path, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Accept", "application/json")
    if body is not None:
        request.add_header("Content-Type", type)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        said = error.read()
        return error.code, json.loads(said) if said.startswith(b"{") else said.decode()
