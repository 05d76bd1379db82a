"""A small HTTPS server that misbehaves on request: what it does stands in the path. It says on standard output what it sees,
one JSON object a line, the port first, and ends when its standard input does."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import select
import socket
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

lock = threading.Lock()
counts: dict[str, int] = {}


def say(**what: object) -> None:
    with lock:
        print(json.dumps(what), flush=True)


def count(key: str) -> int:
    """How many times this was called with `key` before."""
    with lock:
        counts[key] = counts.get(key, 0) + 1
        return counts[key] - 1


def failure(code: int, reason: str, message: str) -> bytes:
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
              "reason": reason, "code": code}
    return json.dumps(status).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    token_file: str | None = None

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, ssl.SSLError):
            self.close_connection = True

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        say(seen=self.path, method=self.command, connection=self.client_address[1])
        parts = self.path.split("?")[0].strip("/").split("/")
        getattr(self, f"path_{parts[0]}", self.path_echo)(parts[1:], body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_any

    def answer(self, code: int, body: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def path_echo(self, parts: list[str], body: bytes) -> None:
        peer = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
        names = dict(item[0] for item in peer["subject"]) if peer else {}
        seen = {"method": self.command, "path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()},
                "body": body.decode(), "certificate": names.get("commonName")}
        self.answer(200, json.dumps(seen).encode(), Warning='299 - "unknown field \\"spec.x\\""')

    def path_status(self, parts: list[str], body: bytes) -> None:
        self.answer(int(parts[0]), failure(int(parts[0]), parts[1], "as asked for"))

    def path_slow(self, parts: list[str], body: bytes) -> None:
        if parts[0] == "body":
            self.send_response(200)
            self.send_header("Content-Length", "10")
            self.end_headers()
            self.wfile.write(b"12345")
        self.wait_for_close()

    def path_retry(self, parts: list[str], body: bytes) -> None:
        """CODE/N/KEY: the first N requests with KEY are sent away."""
        if count(self.path) < int(parts[1]):
            self.answer(int(parts[0]), failure(int(parts[0]), "TooManyRequests", "too many requests"), Retry_After="0")
        else:
            self.answer(200, body or b"{}")

    def path_later(self, parts: list[str], body: bytes) -> None:
        self.answer(429, failure(429, "TooManyRequests", "much later"), Retry_After=parts[0])

    def path_token(self, parts: list[str], body: bytes) -> None:
        with open(Handler.token_file or os.devnull) as file:
            wanted = f"Bearer {file.read().strip()}"
        if self.headers.get("Authorization") == wanted:
            self.answer(200, b"{}")
        else:
            self.answer(401, failure(401, "Unauthorized", "Unauthorized"))

    def path_gzip(self, parts: list[str], body: bytes) -> None:
        self.answer(200, gzip.compress(b"x" * int(parts[0])), Content_Encoding="gzip")

    def path_large(self, parts: list[str], body: bytes) -> None:
        self.answer(200, b"x" * int(parts[0]))

    def path_redirect(self, parts: list[str], body: bytes) -> None:
        self.answer(302, b"", Location="https://elsewhere.example/login")

    def path_stale(self, parts: list[str], body: bytes) -> None:
        """Answers once on a connection and closes it without a word."""
        self.answer(200, b"{}")
        self.close_connection = True

    def path_dead(self, parts: list[str], body: bytes) -> None:
        """Closes the connection instead of answering, as often as told; then answers."""
        if count(self.path) < int(parts[0]):
            self.close_connection = True
        else:
            self.answer(200, b"{}")

    def chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def path_watch(self, parts: list[str], body: bytes) -> None:
        event = {"type": "ADDED", "object": {"kind": "ConfigMap", "metadata": {"name": "a", "resourceVersion": "7"}}}
        line = json.dumps(event).encode() + b"\n"
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if parts[0] == "flood":
            self.flood(line)
        for piece in ([line] if parts[0] != "split" else [line[i : i + 1] for i in range(len(line))]):
            self.chunk(piece)
        if parts[0] == "cut":
            self.chunk(line[:20])
            self.close_connection = True
        elif parts[0] == "open":
            self.wait_for_close()
        else:
            self.wfile.write(b"0\r\n\r\n")

    def flood(self, line: bytes) -> None:
        """Writes as long as the client takes it, and says how much that was when it did not for half a second."""
        self.connection.settimeout(0.5)
        written = 0
        try:
            while written < 1 << 30:
                self.chunk(line * 400)
                written += len(line) * 400
        except TimeoutError:
            pass
        say(flooded=written)
        self.close_connection = True

    def wait_for_close(self) -> None:
        self.close_connection = True
        select.select([self.connection], [], [], 30)
        try:
            ended = self.connection.recv(1) == b""
        except (ConnectionError, ssl.SSLError):
            ended = True
        say(closed=self.path, by_client=ended)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    context: ssl.SSLContext | None = None

    def finish_request(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        if self.context:
            try:
                request = self.context.wrap_socket(request, server_side=True)
            except (OSError, ssl.SSLError) as error:
                say(handshake=str(error))
                return
        self.RequestHandlerClass(request, client_address, self)
        if isinstance(request, ssl.SSLSocket):
            try:
                request.close()
            except OSError:
                pass


def end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--client-ca")
    parser.add_argument("--token-file")
    parser.add_argument("--address", default="127.0.0.1")
    arguments = parser.parse_args()
    if ":" in arguments.address:
        Server.address_family = socket.AF_INET6
    server = Server((arguments.address, 0), Handler)
    if arguments.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.certificate, arguments.key)
        if arguments.client_ca:
            context.load_verify_locations(arguments.client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
        server.context = context
    Handler.token_file = arguments.token_file
    threading.Thread(target=end_with_parent, daemon=True).start()
    say(port=server.server_address[1])
    server.serve_forever()


if __name__ == "__main__":
    main()
