"""Somebody on the wire between home and the VPS's sshd, who cuts or silences a connection at a chosen point."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from dataclasses import dataclass
from typing import Sequence

from lab.commands import run
from lab.laboratory import Lab
from lab.network import VPS

_PORT = 2222
_GATEWAY = "198.18.2.1"  # of the namespace `internet`, on the side of the NAT
_RULES = f"""
table ip interceptor {{
  chain prerouting {{
    type nat hook prerouting priority dstnat;
    ip daddr {VPS} tcp dport 22 dnat to {_GATEWAY}:{_PORT}
  }}
}}
"""


@dataclass(frozen=True)
class Strike:
    """When a connection is struck: at its `turn`-th question, or when the client has sent so many `bytes`. `silently`: nothing is cut, and
    no byte passes any more."""

    turn: int | None = None
    bytes: int | None = None
    silently: bool = False

    def meets(self, asked: int, sent: int) -> bool:
        return (self.turn is not None and asked >= self.turn) or (self.bytes is not None and sent >= self.bytes)


class Interceptor:
    """`with Interceptor(lab, strikes) as wire:`. The connections meet the strikes one after the other; those after them pass."""

    def __init__(self, lab: Lab, strikes: Sequence[Strike]):
        self.lab = lab
        self.strikes = list(strikes)
        self.lock = threading.Lock()
        self.struck = 0
        self.connections = 0
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "Interceptor":
        self.listener = self.lab.internet.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((_GATEWAY, _PORT))
        self.listener.listen()
        self.listener.settimeout(0.2)
        run(["ip", "netns", "exec", self.lab.nat.name, "nft", "-f", "-"], input=_RULES)
        self._begin(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        run(["ip", "netns", "exec", self.lab.nat.name, "nft", "delete", "table", "ip", "interceptor"])
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self.listener.close()

    def _begin(self, work, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                client, _ = self.listener.accept()
            except TimeoutError:
                continue
            self.connections += 1
            self._begin(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with self.lock:
            strike = self.strikes.pop(0) if self.strikes else Strike()
        client.settimeout(None)
        server = None
        try:
            server = self.lab.internet.connect(VPS, 22)
            server.settimeout(None)
            self._pass(client, server, strike)
        except OSError:
            pass  # one of them is gone, and so is the other
        finally:
            for one in (client, server):
                if one is not None:
                    one.close()

    def _pass(self, client: socket.socket, server: socket.socket, strike: Strike) -> None:
        asked, sent, was_answer = 0, 0, True
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ)
            selector.register(server, selectors.EVENT_READ)
            while not self._stopping.is_set():
                for key, _ in selector.select(0.2):
                    is_question = key.fileobj is client
                    assert isinstance(key.fileobj, socket.socket)
                    data = key.fileobj.recv(65536)
                    if not data:
                        return
                    if is_question:
                        sent += len(data)
                        asked += 1 if was_answer else 0
                    was_answer = not is_question
                    if strike.meets(asked, sent):
                        self.struck += 1
                        if strike.silently:
                            self._keep_silent(client)
                        else:
                            self._reset(client)
                        return
                    (server if is_question else client).sendall(data)

    def _keep_silent(self, client: socket.socket) -> None:
        """Until the client gives up."""
        client.settimeout(0.2)
        while not self._stopping.is_set():
            try:
                if not client.recv(65536):
                    return
            except TimeoutError:
                continue

    def _reset(self, client: socket.socket) -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
