"""What a client does with a public port: each helper is one thing to be seen, and raises when it is not seen."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Callable, TypeVar

from lab.certificates import Certificate
from lab.namespaces import Namespace

Result = TypeVar("Result")


class NotIntact(AssertionError):
    """What came back is not what was sent."""


def eventually(check: Callable[[], Result], *, within: float, every: float = 0.05) -> Result:
    """The check's result, once it neither raises nor answers None or False; its last failure after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        try:
            result = check()
            if result is not None and result is not False:
                return result
            failure: Exception = AssertionError(f"not so within {within} s: {getattr(check, '__doc__', None) or check}")
        # A status may lack what it will say: the API server leaves a zero out.
        except (OSError, AssertionError, ValueError, LookupError) as error:
            failure = error
        if time.monotonic() > deadline:
            raise failure
        time.sleep(every)


def line(connection: socket.socket) -> bytes:
    """What the peer sends up to and with the end of a line. Raises ConnectionError when it ends before."""
    got = b""
    while not got.endswith(b"\n"):
        data = connection.recv(65536)
        if not data:
            raise ConnectionError(f"closed by the peer after {got!r}")
        got += data
    return got


def ask(connection: socket.socket) -> dict:
    """What the backend says of this connection: name, peer, port, tls, proxy."""
    connection.sendall(b"whoami\n")
    answer = line(connection)
    if answer.startswith(b"error"):
        raise NotIntact(answer.decode().strip())
    return json.loads(answer)


def whoami(client: Namespace, address: str, port: int, *, source: str | None = None, timeout: float = 3) -> dict:
    """One TCP connection, asked who it is."""
    with client.connect(address, port, source=source, timeout=timeout) as connection:
        return ask(connection)


def echo(connection: socket.socket, size: int) -> None:
    """Sends `size` random bytes and reads them back at the same time. Raises NotIntact."""
    sent = os.urandom(size)
    failures: list[OSError] = []

    def send() -> None:
        try:
            connection.sendall(sent)
        except OSError as error:
            failures.append(error)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    got = bytearray()
    while len(got) < size:
        data = connection.recv(1 << 16)
        if not data:
            raise NotIntact(f"closed by the peer after {len(got)} of {size} bytes")
        got += data
    sender.join()
    if failures:
        raise failures[0]
    if bytes(got) != sent:
        raise NotIntact(f"{size} bytes came back changed")


def echo_once(client: Namespace, address: str, port: int, size: int, *, timeout: float = 20) -> None:
    with client.connect(address, port, timeout=timeout) as connection:
        echo(connection, size)


class Datagrams:
    """One UDP client: its source port stays the same, so it is one session."""

    def __init__(self, client: Namespace, address: str, port: int, *, source: str | None = None, timeout: float = 2):
        self.socket = client.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(timeout)
        if source is not None:
            self.socket.bind((source, 0))
        self.socket.connect((address, port))

    def __enter__(self) -> "Datagrams":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def echo(self, size: int) -> None:
        """One datagram there and back. Raises NotIntact, or TimeoutError when nothing comes."""
        sent = os.urandom(size)
        self.socket.send(sent)
        got = self.socket.recv(65536)
        if got != sent:
            raise NotIntact(f"a datagram of {size} bytes came back as {len(got)} other bytes")

    def lost(self, count: int, *, pause: float) -> int:
        """How many of `count` datagrams, begun that many seconds apart, have no answer."""
        sent = {b"datagram %d" % number for number in range(count)}
        for one in sent:
            self.socket.send(one)
            time.sleep(pause)
        try:
            while sent:
                sent.discard(self.socket.recv(65536))
        except TimeoutError:
            pass
        return len(sent)

    def whoami(self) -> dict:
        self.socket.send(b"whoami")
        return json.loads(self.socket.recv(65536))


@dataclass(frozen=True)
class Secured:
    """A TLS connection that was made: the server's certificate (DER), and the backend's word."""

    certificate: bytes
    seen: dict


def secure(connection: socket.socket, name: str, authority: str, *, client: Certificate | None = None) -> ssl.SSLSocket:
    """TLS over an open connection, the server's certificate checked against PEM `authority` and `name`."""
    context = ssl.create_default_context(cadata=authority)
    if client is not None:
        context.load_cert_chain(client.certificate, client.key)
    return context.wrap_socket(connection, server_hostname=name)


def tls(client: Namespace, address: str, port: int, name: str, authority: str, *, certificate: Certificate | None = None,
        timeout: float = 3) -> Secured:
    """One TLS connection, asked who it is. Raises ssl.SSLError or ConnectionError when refused."""
    with client.connect(address, port, timeout=timeout) as plain, secure(plain, name, authority, client=certificate) as secured:
        return Secured(secured.getpeercert(binary_form=True) or b"", ask(secured))


def hold(client: Namespace, address: str, port: int, count: int) -> list[socket.socket]:
    """Opens `count` connections, each proven by an echo, and keeps them all. Close them with `release`."""
    held: list[socket.socket] = []
    try:
        for _ in range(count):
            held.append(client.connect(address, port, timeout=10))
        for number, connection in enumerate(held):
            connection.sendall(f"{number}\n".encode())
        for number, connection in enumerate(held):
            if (answer := line(connection)) != f"{number}\n".encode():
                raise NotIntact(f"connection {number} of {count} got {answer!r}")
        return held
    except BaseException:
        release(held)
        raise


def release(held: list[socket.socket]) -> None:
    for connection in held:
        connection.close()


def finish(held: list[socket.socket], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Ends connections all at once, and waits until the other side ended each of them too."""
    for connection in held:
        connection.shutdown(socket.SHUT_WR)
    meanwhile()
    for connection in held:
        if rest := connection.recv(1):
            raise NotIntact(f"got {rest!r} where the end should be")
    release(held)


class HeldConnection:
    """A TCP connection that must live through what the test does meanwhile."""

    def __init__(self, client: Namespace, address: str, port: int):
        self.connection = client.connect(address, port, timeout=5)
        self.rounds = 0
        self.check()

    def check(self) -> None:
        """One more round trip on the same connection. Raises when it broke."""
        self.rounds += 1
        sent = f"round {self.rounds}\n".encode()
        self.connection.sendall(sent)
        if (answer := line(self.connection)) != sent:
            raise NotIntact(f"sent {sent!r}, got {answer!r}")

    def close(self) -> None:
        self.connection.close()
