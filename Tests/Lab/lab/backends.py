"""The services behind the tunnel, one program: `python3 -m lab.backends CERTIFICATE-FOLDER`, run in the backend namespace.

Every TCP port speaks the same small language, after an optional PROXY header and an optional TLS handshake:

    whoami\\n     answers one line of JSON: the service's name, the peer's address and port, the port asked for, what the PROXY header said
    GET ...      answers an HTTP response with the same JSON as its body, and closes
    else         is echoed, byte for byte, until the end

A UDP port answers a datagram that starts with `whoami` the same way, and echoes any other.
"""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import ssl
import struct
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

PROXY_NEVER, PROXY_REQUIRED, PROXY_OPTIONAL = "never", "required", "optional"
_V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_V1_LONGEST = 107  # haproxy's proxy-protocol.txt, section 2.1
_TLS_HANDSHAKE = 0x16
_IP_PKTINFO = 8  # linux/in.h
_SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h


@dataclass(frozen=True)
class Service:
    """A TCP service. `certificate` names the files of its certificate; with nil it speaks plain only."""

    name: str
    port: int
    address: str = "0.0.0.0"
    proxy: str = PROXY_NEVER
    certificate: str | None = None


# The addresses in 10.96.0.0/16 stand in for Services of a cluster; the names are those of the specification's examples.
TCP_SERVICES = (
    Service("echo", 7000),
    Service("other", 7001),
    Service("proxied", 7010, proxy=PROXY_REQUIRED),
    Service("one", 7443, certificate="one"),
    Service("two", 7444, certificate="two"),
    Service("my-web", 8080, "10.96.0.20"),
    Service("internal-ingress", 443, "10.96.0.30", proxy=PROXY_OPTIONAL, certificate="one"),
    Service("grpc-api", 50051, "10.96.0.40"),
)
UDP_SERVICES = (
    Service("udp-echo", 7000),
    Service("udp-other", 7001),
    Service("dns", 53, "10.96.0.10"),
)


class BadProxyHeader(Exception):
    pass


async def peeked(loop: asyncio.AbstractEventLoop, connection: socket.socket, wanted: int) -> bytes:
    """At least one byte of what waits on the connection, at most `wanted`, left where it is. Empty at the end."""
    readable = loop.create_future()
    descriptor = connection.fileno()
    loop.add_reader(descriptor, lambda: readable.done() or readable.set_result(None))
    try:
        await readable
    finally:
        loop.remove_reader(descriptor)
    return connection.recv(wanted, socket.MSG_PEEK)


async def proxy_header(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> dict | None:
    """Takes the PROXY header off the connection. Nil when there is none. Raises BadProxyHeader."""
    for _ in range(200):
        start = await peeked(loop, connection, 232)
        if not start:
            return None
        if start.startswith(_V2_SIGNATURE[: len(start)]):
            if len(start) >= 16:
                length = struct.unpack("!H", start[14:16])[0]
                if len(start) >= 16 + length:
                    return _parsed_v2(connection.recv(16 + length))
        elif start.startswith(b"PROXY "[: len(start)]):
            end = start.find(b"\r\n")
            if end >= 0:
                return _parsed_v1(connection.recv(end + 2))
            if len(start) > _V1_LONGEST:
                raise BadProxyHeader("version 1 without an end of line")
        else:
            return None
        await asyncio.sleep(0.01)
    raise BadProxyHeader("incomplete after 2 s")


def _parsed_v1(line: bytes) -> dict:
    words = line.decode("ascii", "replace").split()
    if len(words) == 6 and words[1] in ("TCP4", "TCP6"):
        return {"version": 1, "address": words[2], "port": int(words[4])}
    if len(words) >= 2 and words[1] == "UNKNOWN":
        return {"version": 1, "address": None, "port": None}
    raise BadProxyHeader(f"version 1: {line!r}")


def _parsed_v2(header: bytes) -> dict:
    command, family = header[12], header[13]
    if command == 0x20:
        return {"version": 2, "address": None, "port": None}
    if command == 0x21 and family == 0x11:
        return {"version": 2, "address": socket.inet_ntop(socket.AF_INET, header[16:20]), "port": struct.unpack("!H", header[24:26])[0]}
    if command == 0x21 and family == 0x21:
        return {"version": 2, "address": socket.inet_ntop(socket.AF_INET6, header[16:32]), "port": struct.unpack("!H", header[48:50])[0]}
    raise BadProxyHeader(f"version 2: command {command:#x}, family {family:#x}")


def asked_port(connection: socket.socket) -> int:
    """The port that was asked for, before a redirection on this host."""
    try:
        original = connection.getsockopt(socket.IPPROTO_IP, _SO_ORIGINAL_DST, 16)
    except OSError:  # no connection tracking here
        return connection.getsockname()[1]
    return struct.unpack_from("!H", original, 2)[0]


class Backend:
    """One TCP service at work."""

    def __init__(self, service: Service, certificates: Path):
        self.service = service
        self.context: ssl.SSLContext | None = None
        if service.certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificates / f"{service.certificate}.crt", certificates / f"{service.certificate}.key")
        # A connection's task is kept here, or the loop might forget it.
        self.tasks: set[asyncio.Task] = set()

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.service.address, self.service.port))
        listener.listen(4096)
        listener.setblocking(False)
        while True:
            connection, peer = await loop.sock_accept(listener)
            task = loop.create_task(self._served(connection, peer))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _served(self, connection: socket.socket, peer: tuple) -> None:
        loop = asyncio.get_running_loop()
        connection.setblocking(False)
        writer = None
        try:
            proxied = await proxy_header(loop, connection) if self.service.proxy != PROXY_NEVER else None
            if proxied is None and self.service.proxy == PROXY_REQUIRED:
                raise BadProxyHeader("none came")
            first = await peeked(loop, connection, 1) if self.context else b""
            secure = self.context if first and first[0] == _TLS_HANDSHAKE else None
            reader = asyncio.StreamReader(limit=1 << 18)
            transport, protocol = await loop.connect_accepted_socket(lambda: asyncio.StreamReaderProtocol(reader), connection, ssl=secure)
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            seen = {"name": self.service.name, "peer": peer[0], "port": peer[1], "asked": asked_port(connection),
                    "tls": secure is not None, "proxy": proxied}
            await self._speak(reader, writer, json.dumps(seen).encode() + b"\n")
        except BadProxyHeader as error:
            try:
                connection.send(f"error: PROXY header: {error}\n".encode())
            except OSError:
                pass
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
            pass  # the peer went away, or refused our certificate: its business
        finally:
            if writer is not None:
                writer.close()
            else:
                connection.close()

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: bytes) -> None:
        while data := await reader.read(1 << 18):
            if data == b"whoami\n":
                data = seen
            elif data.startswith(b"GET "):
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(seen)}\r\nConnection: close\r\n\r\n"
                writer.write(head.encode() + seen)
                await writer.drain()
                return
            writer.write(data)
            await writer.drain()


def serve_udp(service: Service) -> None:
    """Answers datagrams from the very address they were sent to, which the wildcard address alone would not."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    opened.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    opened.bind((service.address, service.port))
    while True:
        data, ancillary, _, peer = opened.recvmsg(65536, socket.CMSG_SPACE(12))
        if data.startswith(b"whoami"):
            data = json.dumps({"name": service.name, "peer": peer[0], "port": peer[1]}).encode()
        local = next((value[4:8] for _, kind, value in ancillary if kind == _IP_PKTINFO), b"\0\0\0\0")
        try:
            opened.sendmsg([data], [(socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("=I4s4s", 0, local, b"\0\0\0\0"))], 0, peer)
        except OSError:
            pass  # the peer is gone; UDP tells nobody else


async def main(certificates: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65536, limit), limit))
    for service in UDP_SERVICES:
        threading.Thread(target=serve_udp, args=(service,), daemon=True).start()
    await asyncio.gather(*(Backend(service, certificates).serve() for service in TCP_SERVICES))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
