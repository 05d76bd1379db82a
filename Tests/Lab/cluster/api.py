"""A plain client of a Kubernetes API server: a kubeconfig's current context, JSON over HTTP/1.1 from a host of the lab."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import tempfile
import threading
from pathlib import Path
from typing import Any, Iterator
from urllib.parse import urlencode, urlsplit

import yaml

from lab.namespaces import Namespace

Manifest = dict[str, Any]
MERGE_PATCH = "application/merge-patch+json"


class APIError(Exception):
    """The server's word, or that there was none (status 0)."""

    def __init__(self, status: int, reason: str, message: str):
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason


class _Connection(http.client.HTTPConnection):
    """One whose socket is of the host given."""

    def __init__(self, seen_from: Namespace, host: str, port: int, context: ssl.SSLContext | None, timeout: float):
        super().__init__(host, port, timeout=timeout)
        self.seen_from = seen_from
        self.context = context

    def connect(self) -> None:
        self.sock = self.seen_from.connect(self.host, self.port, timeout=self.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context is not None:
            self.sock = self.context.wrap_socket(self.sock, server_hostname=self.host)


class API:
    """Any number of threads may use it; each has a connection of its own."""

    def __init__(self, seen_from: Namespace, kubeconfig: Path, *, agent: str = "tidegate-lab"):
        self.seen_from = seen_from
        config = yaml.safe_load(kubeconfig.read_text())
        def named(section: str, name: str) -> Manifest:
            return next(one for one in config[section] if one["name"] == name)[section.rstrip("s")]
        context = named("contexts", config["current-context"])
        cluster, user = named("clusters", context["cluster"]), named("users", context["user"])
        server = urlsplit(cluster["server"])
        self.host, self.port = server.hostname or "127.0.0.1", server.port or (443 if server.scheme == "https" else 80)
        self.tls = _tls(cluster, user, kubeconfig.parent) if server.scheme == "https" else None
        self.headers = {"Accept": "application/json", "User-Agent": agent}
        if "token" in user:
            self.headers["Authorization"] = f"Bearer {user['token']}"
        self._local = threading.local()

    def request(self, method: str, path: str, body: Any = None, *, content_type: str = "application/json", timeout: float = 15) -> Manifest:
        """The answer's JSON. Raises APIError."""
        data = None if body is None else json.dumps(body).encode()
        headers = {**self.headers, **({"Content-Type": content_type} if data is not None else {})}
        for attempt in (1, 2):
            fresh = getattr(self._local, "connection", None) is None
            if fresh:
                self._local.connection = self._open(timeout)
            connection: _Connection = self._local.connection
            try:
                connection.request(method, path, data, headers)
                answer = connection.getresponse()
                text = answer.read()
                if answer.will_close:
                    self._forget()
                return _checked(answer.status, text)
            except (OSError, http.client.HTTPException) as error:
                self._forget()
                # A connection that was kept may have been closed meanwhile; only what may be done twice is.
                if fresh or attempt == 2 or method != "GET":
                    raise APIError(0, "NoAnswer", f"{method} {path}: {error or type(error).__name__}") from error
        raise AssertionError("unreachable")

    def get(self, path: str) -> Manifest | None:
        """The object; nil when there is none."""
        try:
            return self.request("GET", path)
        except APIError as error:
            if error.status == 404:
                return None
            raise

    def patch(self, path: str, body: Manifest) -> Manifest:
        """A JSON merge patch."""
        return self.request("PATCH", path, body, content_type=MERGE_PATCH)

    def watch(self, path: str, version: str, *, seconds: int = 240) -> Iterator[tuple[str, Manifest]]:
        """(type, object) as they come, until the server ends it. Raises APIError, also for an ERROR event."""
        query = urlencode({"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true", "timeoutSeconds": seconds})
        connection = self._open(seconds + 30)
        try:
            connection.request("GET", f"{path}{'&' if '?' in path else '?'}{query}", headers=self.headers)
            answer = connection.getresponse()
            if answer.status != 200:
                _checked(answer.status, answer.read())
            while line := answer.readline():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise APIError(event["object"].get("code", 0), event["object"].get("reason", ""), event["object"].get("message", ""))
                yield event["type"], event["object"]
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise APIError(0, "NoAnswer", f"watch {path}: {error or type(error).__name__}") from error
        finally:
            connection.close()

    def _open(self, timeout: float) -> _Connection:
        return _Connection(self.seen_from, self.host, self.port, self.tls, timeout)

    def _forget(self) -> None:
        connection = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None:
            connection.close()


def _checked(status: int, text: bytes) -> Manifest:
    try:
        answer = json.loads(text) if text else {}
    except ValueError:
        answer = {"message": text.decode(errors="replace")[:200]}
    if not isinstance(answer, dict):
        answer = {"message": str(answer)}
    if status >= 300:
        raise APIError(status, answer.get("reason", ""), answer.get("message", ""))
    return answer


def _tls(cluster: Manifest, user: Manifest, folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif "certificate-authority-data" in cluster:
        context.load_verify_locations(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    elif "certificate-authority" in cluster:
        context.load_verify_locations(cafile=str(folder / cluster["certificate-authority"]))
    if "client-certificate-data" in user:
        with tempfile.NamedTemporaryFile() as file:  # ssl takes files only
            file.write(base64.b64decode(user["client-certificate-data"]) + b"\n" + base64.b64decode(user["client-key-data"]))
            file.flush()
            context.load_cert_chain(file.name)
    elif "client-certificate" in user:
        context.load_cert_chain(folder / user["client-certificate"], folder / user["client-key"])
    return context
