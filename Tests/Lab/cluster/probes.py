"""Probes: httpGet, tcpSocket and exec, from the pod's node, timed and counted as the kubelet does (pkg/kubelet/prober).

A probe has one thread and one connection or process at a time, however long its peer takes: what is not answered within
`timeoutSeconds`, to the last byte, has failed.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from lab import paths
from lab.namespaces import Namespace

from .api import Manifest

_LONGEST_ANSWER = 10 << 10  # bytes that the kubelet reads of one (pkg/probe/http)


@dataclass(frozen=True)
class Count:
    """`result`: what counts, nil while nothing does; `last` and `times`: the latest answer, and how often it came in a row."""

    result: bool | None
    last: bool | None = None
    times: int = 0

    def after(self, success: bool, fields: Manifest) -> "Count":
        times = self.times + 1 if success == self.last else 1
        needed = fields.get("successThreshold", 1) if success else fields.get("failureThreshold", 3)
        return Count(success if times >= needed else self.result, success, times)


class Answer(Exception):
    """Why a probe failed, in the kubelet's words."""


@dataclass(frozen=True)
class Target:
    """Whom probes ask: a container of a pod, its ports seen from `node` at `source`, its process by the folder of its files."""

    container: Manifest
    node: Namespace
    source: str
    address: str
    folder: Path


class Probe:
    """One probe of one run of a container. `report(result, why)` is called when the counted result changes, and `failed(why)` for each
    failure, from a thread of its own."""

    def __init__(self, fields: Manifest, target: Target, *, initially: bool | None, report: Callable[[bool, str], None],
                 failed: Callable[[str], None] = lambda why: None):
        self.fields, self.target, self.report, self.failed = fields, target, report, failed
        self.count = Count(initially)
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name=f"probe {target.address}", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        period = self.fields.get("periodSeconds", 10)
        self._stopped.wait(self.fields.get("initialDelaySeconds", 0))
        due = time.monotonic()
        while not self._stopped.is_set():
            why = ""
            try:
                self._once(time.monotonic() + self.fields.get("timeoutSeconds", 1))
            except Answer as answer:
                why = str(answer)
            if self._stopped.is_set():
                return
            if why:
                self.failed(why)
            before, self.count = self.count, self.count.after(not why, self.fields)
            if self.count.result != before.result:
                self.report(bool(self.count.result), why)
            # A ticker: a slow probe delays none after it, and those it ran into are left out.
            due += period * max(1, -(-(time.monotonic() - due) // period))
            self._stopped.wait(due - time.monotonic())

    def _once(self, deadline: float) -> None:
        """Raises Answer when it fails."""
        if "exec" in self.fields:
            return run_in(self.target.folder, self.fields["exec"]["command"], deadline)
        kind = next((one for one in ("httpGet", "tcpSocket") if one in self.fields), None)
        if kind is None:
            raise Answer(f"the lab emulates no probe of the kind {sorted(self.fields)}")
        host = self.fields[kind].get("host") or self.target.address
        port = self._port(self.fields[kind]["port"])
        try:
            with self.target.node.connect(host, port, source=self.target.source, timeout=left(deadline)) as opened:
                if kind == "httpGet":
                    http_get(opened, host, port, self.fields[kind], deadline)
        except TimeoutError:
            if kind == "tcpSocket":
                raise Answer(f"dial tcp {host}:{port}: i/o timeout") from None
            raise Answer(f'Get "http://{host}:{port}{self.fields[kind].get("path", "/")}": context deadline exceeded '
                         "(Client.Timeout exceeded while awaiting headers)") from None
        except OSError as error:
            raise Answer(f"dial tcp {host}:{port}: {error}") from None

    def _port(self, port: int | str) -> int:
        if isinstance(port, int):
            return port
        return next(one["containerPort"] for one in self.target.container.get("ports", []) if one.get("name") == port)


def left(deadline: float) -> float:
    """Seconds until then. Raises TimeoutError when there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def http_get(opened: socket.socket, host: str, port: int, fields: Manifest, deadline: float) -> None:
    """Raises Answer for a status that is no success, and TimeoutError when the last byte does not come in time."""
    headers = {"Host": f"{host}:{port}", "User-Agent": "kube-probe/1.36", "Accept": "*/*", "Connection": "close",
               **{one["name"]: one["value"] for one in fields.get("httpHeaders", [])}}
    lines = [f"GET {fields.get('path', '/')} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    opened.settimeout(left(deadline))
    opened.sendall("\r\n".join([*lines, "", ""]).encode())
    data = b""
    while len(data) < _LONGEST_ANSWER and not _is_whole(data):
        opened.settimeout(left(deadline))
        if not (more := opened.recv(4096)):
            break
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.[01] (\d{3})", head)
    if not found:
        raise Answer(f'Get "http://{host}:{port}{fields.get("path", "/")}": EOF')
    if not 200 <= int(found[1]) < 400:
        raise Answer(f"HTTP probe failed with statuscode: {found[1].decode()}: {body.decode(errors='replace').strip()}".rstrip(": "))


def _is_whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return bool(end and length and len(body) >= int(length[1]))


def run_in(folder: Path, command: list[str], deadline: float) -> None:
    """Runs a command beside the container whose files are in `folder`. Raises Answer when it fails or takes too long."""
    while not (folder / "pid").exists():  # it is only just beginning
        if time.monotonic() > deadline:
            raise Answer("container not running")
        time.sleep(0.02)
    started = subprocess.Popen([sys.executable, "-m", "cluster.beside", str(folder / "sandbox.json"), *command], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, cwd=paths.PACKAGE.parent)
    try:
        said, _ = started.communicate(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        started.kill()  # and with it what it started (beside.py)
        started.communicate()
        raise Answer(f"command timed out: {command!r}") from None
    if started.returncode != 0:
        raise Answer(said[:_LONGEST_ANSWER].decode(errors="replace").strip() or f"exit status {started.returncode}")
