"""One HTTP request from a host of the lab."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass

from lab.namespaces import Namespace


@dataclass(frozen=True)
class Fetched:
    status: int
    body: str


def fetch(host: Namespace, address: str, port: int, path: str, *, method: str = "GET", tls: bool = False, token: str | None = None,
          timeout: float = 10) -> Fetched:
    """With `tls` whatever certificate comes is taken. Raises OSError."""
    with host.connect(address, port, timeout=timeout) as opened:
        connection = http.client.HTTPConnection(address, port, timeout=timeout)
        connection.sock = _secured(opened) if tls else opened
        headers = {"Connection": "close", **({"Authorization": f"Bearer {token}"} if token else {})}
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return Fetched(answer.status, answer.read().decode(errors="replace"))


def _secured(opened) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(opened)
