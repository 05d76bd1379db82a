"""Clients of wstunnel and rathole, written from ../shared/protocols/ and nothing else: no line of Tidegate's is used here."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import socket
import ssl
import struct
import threading
import time
import uuid
from collections.abc import Callable

from lab.namespaces import Namespace


def quietly(body: Callable, *arguments) -> None:
    threading.Thread(target=_quiet, args=(body, *arguments), daemon=True).start()


def _quiet(body: Callable, *arguments) -> None:
    try:
        body(*arguments)
    except (OSError, EOFError):
        pass


def echo_datagrams(listener: socket.socket) -> None:
    while True:
        data, peer = listener.recvfrom(65536)
        listener.sendto(data, peer)


def _cut(connection: socket.socket) -> None:
    """Whoever is just reading from it sees the end."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token(claims: dict) -> str:
    """wstunnel-protocol.md, section 3."""
    head = b"eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9." + _base64url(json.dumps(claims, separators=(",", ":")).encode())
    return (head + b"." + _base64url(hmac.new(b"champignonfrais", head, hashlib.sha256).digest())).decode()


class Server:
    """Where a client dials: a host and port as seen from a network namespace, perhaps by TLS."""

    def __init__(self, host: Namespace, address: str, port: int, *, name: str | None = None, authority: str | None = None):
        self.host, self.address, self.port, self.name, self.authority = host, address, port, name or address, authority

    def dial(self, timeout: float = 10) -> socket.socket:
        connection = self.host.connect(self.address, self.port, timeout=timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.authority is None:
            return connection
        return ssl.create_default_context(cafile=self.authority).wrap_socket(connection, server_hostname=self.name)


class WebSocket:
    """RFC 6455, as a client; `masks` says whether its frames are masked as the RFC wants, or not as wstunnel's are."""

    def __init__(self, server: Server, path: str, *, headers: dict[str, str] | None = None, masks: bool, patience: float | None = None,
                 dialed: Callable = lambda _: None):
        self.masks = masks
        self.buffer = b""
        self.connection = server.dial()
        dialed(self.connection)
        self.lock = threading.Lock()
        lines = {"Host": server.name, "Upgrade": "websocket", "Connection": "upgrade",
                 "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(), "Sec-WebSocket-Version": "13", **(headers or {})}
        head = f"GET {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
        self.connection.sendall(head.encode())
        self.connection.settimeout(patience)
        try:
            while b"\r\n\r\n" not in self.buffer:
                self._more()
        except BaseException:
            self.connection.close()
            raise
        self.head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        self.status = int(self.head.split()[1])
        if self.status != 101:
            self.connection.close()
            raise ConnectionRefusedError(f"{self.status} {self.head!r} {self.buffer!r}")

    def _more(self) -> None:
        data = self.connection.recv(1 << 16)
        if not data:
            raise EOFError
        self.buffer += data

    def _take(self, count: int) -> bytes:
        while len(self.buffer) < count:
            self._more()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def send(self, data: bytes, opcode: int = 2) -> None:
        length = len(data)
        mark = 0x80 if self.masks else 0
        head = bytes([0x80 | opcode]) + (
            bytes([mark | length]) if length < 126 else bytes([mark | 126]) + struct.pack(">H", length) if length < 65536
            else bytes([mark | 127]) + struct.pack(">Q", length))
        if self.masks:
            key = os.urandom(4)
            repeated = (key * (length // 4 + 1))[:length]
            data = (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(length, "big")
            head += key
        with self.lock:
            self.connection.sendall(head + data)

    def receive(self) -> bytes | None:
        """The payload of the next frame of data; nil at a close."""
        while True:
            first, second = self._take(2)
            assert second & 0x80 == 0, "a server's frame is masked"
            length = second & 0x7F
            if length > 125:
                length = int.from_bytes(self._take(2 if length == 126 else 8), "big")
            payload = self._take(length)
            opcode = first & 15
            if opcode == 8:
                self.send(payload, 8)
                return None
            if opcode == 9:
                self.send(payload, 10)
            elif opcode in (0, 1, 2):
                return payload

    def close(self) -> None:
        try:
            self.send(b"\x03\xe8", 8)
        except OSError:
            pass
        self.connection.close()


class Wstunnel:
    """`wstunnel client -R …` (wstunnel-protocol.md, sections 1 to 6)."""

    def __init__(self, server: Server, prefix: str, *, local: Namespace | None = None):
        self.server, self.prefix, self.local = server, prefix, local or server.host
        self.stopped = False
        self.open: set[socket.socket] = set()
        self.refusals: list[str] = []

    def upgrade(self, claims: dict, patience: float | None = None, dialed: Callable = lambda _: None) -> WebSocket:
        claims = {"id": str(uuid.uuid4()), **claims}
        headers = {"Sec-WebSocket-Protocol": f"v1, authorization.bearer.{token(claims)}"}
        webSocket = WebSocket(self.server, f"/{self.prefix}/events", headers=headers, masks=False, patience=patience,
                              dialed=dialed)
        answers = [line.split(b": ", 1)[1] for line in webSocket.head.split(b"\r\n") if line.lower().startswith(b"connection:")]
        assert [one.lower() for one in answers] == [b"upgrade"], answers
        assert b"sec-websocket-protocol: v1" in webSocket.head.lower()
        webSocket.connection.settimeout(None)
        return webSocket

    def reverse(self, port: int, target: tuple[str, int], *, bind: str = "[::]", udp: bool = False) -> "Wstunnel":
        """`-R tcp://BIND:PORT:HOST:PORT`, or udp."""
        threading.Thread(target=self._reverse, args=(port, target, bind, udp), daemon=True).start()
        return self

    def _reverse(self, port: int, target: tuple[str, int], bind: str, udp: bool) -> None:
        kind = {"ReverseUdp": {"timeout": {"secs": 30, "nanos": 0}}} if udp else "ReverseTcp"
        while not self.stopped:
            try:
                webSocket = self.upgrade({"p": kind, "r": bind, "rp": port}, dialed=self._dialed)
            except (OSError, EOFError) as error:
                self.refusals.append(str(error))
                time.sleep(0.3)
                continue
            if udp:
                connection = self.local.socket(kind=socket.SOCK_DGRAM)
                connection.connect(target)
                quietly(self._datagrams, webSocket, connection)
            else:
                try:
                    connection = self.local.connect(*target)
                except OSError:
                    webSocket.close()
                    continue
                connection.settimeout(None)
                quietly(self._carry, webSocket, connection)
            self.open.add(connection)

    def _dialed(self, connection: socket.socket) -> None:
        self.open.add(connection)
        if self.stopped:
            _cut(connection)

    def _carry(self, webSocket: WebSocket, connection: socket.socket) -> None:
        def upwards() -> None:
            try:
                while data := connection.recv(1 << 20):
                    webSocket.send(data)
            finally:
                webSocket.close()
        quietly(upwards)
        try:
            while (data := webSocket.receive()) is not None:
                connection.sendall(data)
        finally:
            # An end of one direction ends both.
            time.sleep(0.05)
            connection.close()

    def _datagrams(self, webSocket: WebSocket, connection: socket.socket) -> None:
        def upwards() -> None:
            while True:
                webSocket.send(connection.recv(65536))
        quietly(upwards)
        while (data := webSocket.receive()) is not None:
            connection.send(data)
        connection.close()

    def stop(self) -> None:
        self.stopped = True
        for connection in list(self.open):
            _cut(connection)


class _Bytes:
    """A stream of bytes: a TCP connection, or a WebSocket whose frames mean nothing."""

    def __init__(self, server: Server, *, webSocket: bool):
        self.webSocket = WebSocket(server, "/", masks=True) if webSocket else None
        self.connection = self.webSocket.connection if self.webSocket else server.dial()
        self.connection.settimeout(None)
        self.buffer = b""

    def read(self) -> bytes:
        if self.buffer:
            data, self.buffer = self.buffer, b""
            return data
        if self.webSocket:
            return self.webSocket.receive() or b""
        return self.connection.recv(1 << 16)

    def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.read()
            if not more:
                raise EOFError
            data += more
        self.buffer = data[count:] + self.buffer
        return data[:count]

    def write(self, data: bytes) -> None:
        if self.webSocket:
            self.webSocket.send(data)
        else:
            self.connection.sendall(data)

    def end(self) -> None:
        if self.webSocket:
            self.webSocket.send(b"\x03\xe8", 8)
        else:
            self.connection.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.connection.close()


class Rathole:
    """A client of rathole for one service (rathole-protocol.md)."""

    def __init__(self, server: Server, secret: str, service: str, target: tuple[str, int], *, udp: bool = False, webSocket: bool = False,
                 local: Namespace | None = None):
        self.server, self.secret, self.service, self.target, self.udp, self.webSocket = server, secret, service, target, udp, webSocket
        self.local = local or server.host
        self.stopped = False
        self.open: list = []
        self.acks: list[int] = []
        self.heartbeats = 0
        threading.Thread(target=self._control, daemon=True).start()

    def _dial(self) -> _Bytes:
        stream = _Bytes(self.server, webSocket=self.webSocket)
        self.open.append(stream)
        if self.stopped:
            _cut(stream.connection)
        return stream

    def _control(self) -> None:
        while not self.stopped:
            try:
                control = self._dial()
                control.write(struct.pack("<IB", 0, 1) + hashlib.sha256(self.service.encode()).digest())
                hello = control.exactly(37)
                assert hello[:5] == b"\0\0\0\0\1", hello
                session = hashlib.sha256(self.secret.encode() + hello[5:]).digest()
                control.write(session)
                self.acks.append(int.from_bytes(control.exactly(4), "little"))
                if self.acks[-1] != 0:
                    time.sleep(0.3)
                    continue
                while True:
                    command = int.from_bytes(control.exactly(4), "little")
                    if command == 0:
                        quietly(self._data, session)
                    else:
                        assert command == 1
                        self.heartbeats += 1
            except (OSError, EOFError):
                time.sleep(0.3)

    def _data(self, session: bytes) -> None:
        channel = self._dial()
        channel.write(struct.pack("<IB", 1, 1) + session)
        command = int.from_bytes(channel.exactly(4), "little")
        assert command == (1 if self.udp else 0), command
        if self.udp:
            self._datagrams(channel)
        else:
            self._carry(channel)

    def _carry(self, channel: _Bytes) -> None:
        connection = self.local.connect(*self.target)
        connection.settimeout(None)
        self.open.append(connection)

        def upwards() -> None:
            while data := connection.recv(1 << 16):
                channel.write(data)
            channel.end()
        quietly(upwards)
        try:
            while data := channel.read():
                connection.sendall(data)
        finally:
            connection.shutdown(socket.SHUT_WR)

    def _datagrams(self, channel: _Bytes) -> None:
        flows: dict[bytes, socket.socket] = {}

        def upwards(visitor: bytes, flow: socket.socket) -> None:
            while True:
                data = flow.recv(2048)
                channel.write(bytes([len(visitor) + 2]) + visitor + struct.pack("<H", len(data)) + data)
        while True:
            header = channel.exactly(channel.exactly(1)[0])
            visitor, length = header[:-2], int.from_bytes(header[-2:], "little")
            data = channel.exactly(length)
            if visitor not in flows:
                flows[visitor] = self.local.socket(kind=socket.SOCK_DGRAM)
                flows[visitor].connect(self.target)
                quietly(upwards, visitor, flows[visitor])
            flows[visitor].send(data)

    def stop(self) -> None:
        self.stopped = True
        for one in self.open:
            _cut(one if isinstance(one, socket.socket) else one.connection)
