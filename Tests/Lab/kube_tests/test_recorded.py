"""Every recorded exchange with a real kube-apiserver, asked of the double: the answers must be the same, byte for byte,
but for identifiers, versions, times and addresses."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import threading
import unittest
from dataclasses import dataclass
from pathlib import Path

from kube_tests.standin import DEFINITION, NODES, WithServer, edge_node

RECORDINGS = Path(__file__).resolve().parents[2] / "KubernetesAPITests" / "Recorded"

# What differs from run to run, as it is in JSON.
_VARYING = [
    ("uid", re.compile(r'(?<="uid":")[0-9a-f-]{36}(?=")')),
    ("version", re.compile(r'(?<="resourceVersion":")\d+(?=")')),
    ("time", re.compile(r'(?<=Timestamp":")20[^"]*(?=")|(?<="time":")20[^"]*(?=")')),
    ("token", re.compile(r'(?<="continue":")[A-Za-z0-9_-]+(?=")')),
    ("address", re.compile(r"10\.96\.\d+\.\d+")),
    ("hash", re.compile(r'(?<="storageVersionHash":")[^"]+(?=")')),
    ("record", re.compile(r"(?<=UID in record \()[0-9a-f-]{36}|(?<=too old resource version: )\d+ \(\d+\)")),
]


@dataclass
class Exchange:
    name: str
    method: str
    target: str
    headers: dict[str, str]
    body: str
    status: str
    answer_headers: list[tuple[str, str]]
    answer: str

    @classmethod
    def read(cls, path: Path) -> "Exchange":
        asked, _, answered = path.read_text().partition("\n--- answer ---\n")
        head, _, body = asked.rstrip("\n").partition("\n\n")
        first, *lines = head.split("\n")
        method, target = first.split(" ")
        answer_head, _, answer = answered.partition("\n\n")
        status, *answer_lines = answer_head.split("\n")
        return cls(path.stem, method, target, dict(line.split(": ", 1) for line in lines), body.strip("\n"), status,
                   [tuple(line.split(": ", 1)) for line in answer_lines], answer.strip("\n"))  # type: ignore[misc]


def normal(text: str) -> str:
    for name, pattern in _VARYING:
        text = pattern.sub(f"<{name}>", text)
    return text


class Recorded(WithServer):
    definition = None

    def setUp(self) -> None:
        self.known: dict[str, str] = {}  # what the recording calls it, and what the double does

    def test_every_exchange_in_order(self) -> None:
        # Where answers grow past 2,048 bytes they are sent in chunks: versions need as many digits as the recorded ones.
        self.server.control("version", at_least=1562)
        before = {"03-version": self._definition, "30-list-limit-continue": self._five, "65-pod-annotation-patch": self._pod,
                  "71-watch-too-old-410-event": self.server.forget_history}
        exchanges = [Exchange.read(path) for path in sorted(RECORDINGS.glob("*.http"))]
        self.assertEqual(len(exchanges), 58)
        for exchange in exchanges:
            before.get(exchange.name, lambda: None)()
            with self.subTest(exchange.name):
                self._compare(exchange)

    def _definition(self) -> None:
        self.made("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", DEFINITION)

    def _five(self) -> None:
        for index in range(5):
            self._plainly("POST", NODES, edge_node(f"p{index}"))

    def _plainly(self, method: str, path: str, body: object) -> None:
        _, code, _, said = self._send(method, path, {"Content-Type": "application/json", "Accept": "application/json"}, json.dumps(body))
        self.assertLess(code, 300, said)

    def _pod(self) -> None:
        exchange = Exchange.read(RECORDINGS / "65-pod-annotation-patch.http")
        self.server.control("seed", object=json.loads(exchange.answer))

    def _compare(self, exchange: Exchange) -> None:
        target, body = (self._translated(text) for text in (exchange.target, exchange.body))
        target = target.replace("timeoutSeconds=2", "timeoutSeconds=1")
        changer = None
        if exchange.name.startswith("38-"):
            changer = threading.Timer(0.2, self._change)
            changer.start()
        lines = 3 if changer else 0
        status, _, headers, answer = self._send(exchange.method, target, exchange.headers, body, lines=lines,
                                                secure=exchange.name.startswith("58-"))
        if changer:
            changer.join()
        self.assertEqual(status, exchange.status)
        self._same_headers(exchange, headers, answer)
        answer = answer.strip("\n")
        if exchange.name.startswith("08-"):
            # The order of a Go map: theirs is another one at every run.
            self.assertEqual(self._causes(answer), self._causes(exchange.answer))
        else:
            self.assertEqual(normal(answer), normal(exchange.answer))
        self._learn(exchange.answer, answer)

    def _translated(self, text: str) -> str:
        """Identifiers, versions and tokens of the recording as the double calls them."""
        return re.sub(r"[0-9A-Za-z_-]+(:[0-9:]+Z)?", lambda found: self.known.get(found[0], found[0]), text)

    def _same_headers(self, exchange: Exchange, headers: list[tuple[str, str]], answer: str) -> None:
        ours = [(name, value) for name, value in headers if name != "Audit-Id"]
        self.assertEqual([name for name, _ in ours], [name for name, _ in exchange.answer_headers])
        length = str(len(answer.encode()))
        for (name, mine), (_, theirs) in zip(ours, exchange.answer_headers):
            if name == "Content-Length":
                self.assertEqual(mine, length)
                if "<address>" not in normal(answer) and "<token>" not in normal(answer):
                    self.assertEqual(mine, theirs)
            elif name != "Date":
                self.assertEqual(mine, theirs)

    def _causes(self, text: str) -> tuple[object, list[str]]:
        status = json.loads(text)
        causes = sorted(json.dumps(one) for one in status["details"].pop("causes"))
        said = status.pop("message").partition("[")
        return {**status, "message": said[0], "said": len(said[2])}, causes

    def _learn(self, theirs: str, ours: str) -> None:
        for name, pattern in _VARYING:
            if name in ("uid", "version", "token", "time"):
                self.known.update(zip(pattern.findall(theirs), pattern.findall(ours)))

    def _change(self) -> None:
        """Somebody makes, changes and deletes an EdgeNode while the watch is open."""
        self._plainly("POST", NODES, edge_node("w"))
        self._plainly("PATCH2", f"{NODES}/w", {"spec": {"port": 23}})
        self._plainly("DELETE", f"{NODES}/w", {})

    def _send(self, method: str, target: str, headers: dict[str, str], body: str, *, lines: int = 0,
              secure: bool = False) -> tuple[str, int, list[tuple[str, str]], str]:
        """Status line, code, headers and body; of a watch that does not end by itself so many lines."""
        if method == "PATCH2":
            method, headers = "PATCH", {**headers, "Content-Type": "application/merge-patch+json"}
        if secure:
            trust = ssl.create_default_context(cafile=str(self.server.authority))
            connection: http.client.HTTPConnection = http.client.HTTPSConnection("127.0.0.1", self.server.port, context=trust, timeout=10)
        else:
            assert self.server.plain_port is not None
            connection = http.client.HTTPConnection("127.0.0.1", self.server.plain_port, timeout=10)
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body:
                connection.putheader("Content-Length", str(len(body.encode())))
            connection.endheaders(body.encode() if body else None)
            answer = connection.getresponse()
            read = b"".join(answer.readline() for _ in range(lines)) if lines else answer.read()
            return f"HTTP/1.1 {answer.status} {answer.reason}", answer.status, answer.getheaders(), read.decode()
        finally:
            connection.close()


if __name__ == "__main__":
    unittest.main()
