"""HTTP/1.1 as Go's server speaks it, over asyncio's streams."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import uuid
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import AsyncIterator, Awaitable, Callable, Optional
from urllib.parse import parse_qsl, unquote, urlsplit

_LARGEST_BODY = 3 << 20  # apiserver's limit of a request
_LARGEST_HEAD = 1 << 20
_BUFFERED = 2048  # net/http: what a handler wrote up to here goes with a Content-Length
_GZIP_FROM = 128 << 10  # apiserver: answers from here on are compressed for who accepts it


@dataclass
class Request:
    method: str
    target: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes
    secure: bool
    certificate: Optional[dict[str, object]] = None  # ssl's peer certificate
    user: "object" = None
    verb: str = ""
    resource: str = ""


@dataclass
class Response:
    code: int
    body: bytes = b""
    type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    stream: Optional[AsyncIterator[bytes]] = None  # each item is one chunk
    hang_up: bool = False  # close without an answer
    done: Callable[[], None] = lambda: None  # called when the stream ends, begun or not


Handler = Callable[[Request], Awaitable[Response]]


class BadRequest(Exception):
    pass


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, secure: bool,
                peer: Optional[dict[str, object]]) -> Optional[Request]:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError:
        raise BadRequest("431 Request Header Fields Too Large") from None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadRequest("400 Bad Request")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequest("400 Bad Request")
        headers[name.strip().lower()] = value.strip()
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "chunked" in headers.get("transfer-encoding", ""):
        body = await _chunks(reader)
    else:
        length = int(headers.get("content-length") or 0)
        if length > _LARGEST_BODY:
            raise BadRequest("413 Request Entity Too Large")
        body = await reader.readexactly(length)
    url = urlsplit(parts[1])
    return Request(parts[0], parts[1], unquote(url.path), dict(parse_qsl(url.query, keep_blank_values=True)), headers, body, secure, peer)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        body += await reader.readexactly(size)
        await reader.readuntil(b"\r\n")
        if size == 0:
            return body
        if len(body) > _LARGEST_BODY:
            raise BadRequest("413 Request Entity Too Large")


def _head(response: Response, length: Optional[int], close: bool) -> bytes:
    fields = {"Audit-Id": str(uuid.uuid4()), "Cache-Control": "no-cache, private", "Content-Type": response.type, **response.headers}
    lines = [f"HTTP/1.1 {response.code} {HTTPStatus(response.code).phrase}"]
    named = [(name, value) for name, value in fields.items() if value]
    named += [("Warning", f"299 - {_quoted(text)}") for text in response.warnings]
    lines += [f"{name}: {value}" for name, value in sorted(named, key=lambda item: item[0])]
    lines.append("Date: " + formatdate(usegmt=True))
    lines.append("Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}")
    if close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Server:
    """Listens on one or more sockets, keeps track of its connections."""

    def __init__(self, handler: Handler):
        self._handler = handler
        self._servers: list[asyncio.Server] = []
        self._writers: set[asyncio.StreamWriter] = set()

    async def listen(self, host: str, port: int, tls: Optional[ssl.SSLContext] = None) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(reader, writer, tls is not None)

        server = await asyncio.start_server(serve, host, port, ssl=tls, limit=_LARGEST_HEAD, backlog=1024, reuse_address=True)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def close_listeners(self) -> None:
        for server in self._servers:
            server.close()
        self._servers = []

    def hang_up(self) -> None:
        """Ends every connection at once."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, secure: bool) -> None:
        self._writers.add(writer)
        try:
            while await self._one(reader, writer, secure):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, TimeoutError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, secure: bool) -> bool:
        peer = writer.get_extra_info("peercert") or None
        try:
            request = await _read(reader, writer, secure, peer)
        except (BadRequest, ValueError) as error:
            text = str(error) if isinstance(error, BadRequest) else "400 Bad Request"
            writer.write(f"HTTP/1.1 {text}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n{text}".encode())
            await writer.drain()
            return False
        if request is None:
            return False
        response = await self._handler(request)
        if response.hang_up:
            writer.transport.abort()
            return False
        close = request.headers.get("connection", "").lower() == "close"
        if response.stream is not None:
            return await self._stream(reader, writer, response, close)
        body = response.body
        if len(body) > _GZIP_FROM and "gzip" in request.headers.get("accept-encoding", "") and request.method == "GET":
            body = gzip.compress(body, 1, mtime=0)
            response.headers = {**response.headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        if len(body) > _BUFFERED:
            pieces = [body[at : at + (64 << 10)] for at in range(0, len(body), 64 << 10)]
            writer.write(_head(response, None, close) + b"".join(map(_chunk, pieces)) + b"0\r\n\r\n")
        else:
            writer.write(_head(response, len(body), close) + body)
        await writer.drain()
        return not close

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, response: Response, close: bool) -> bool:
        assert response.stream is not None
        writer.write(_head(response, None, close))
        # A client that sends more while it watches is not served further: no client of Kubernetes does.
        gone = asyncio.ensure_future(reader.read(1))
        stream = response.stream.__aiter__()
        following: Optional[asyncio.Future[bytes]] = None
        try:
            await writer.drain()
            while True:
                following = asyncio.ensure_future(anext(stream))  # type: ignore[arg-type]
                await asyncio.wait({following, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    return False
                try:
                    data = following.result()
                except StopAsyncIteration:
                    break
                except Cut:
                    writer.transport.abort()
                    return False
                writer.write(_chunk(data))
                await writer.drain()
        finally:
            spoiled = gone.done()
            waiting = [task for task in (gone, following) if task is not None]
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            close_stream = getattr(stream, "aclose", None)
            if close_stream is not None:
                await close_stream()
            response.done()
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return not close and not spoiled


class Cut(Exception):
    """A stream that is to end without its last chunk."""
