"""What a test orders, a client sees on the wire."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import time
import unittest
from typing import Any

from kube.double import ask
from kube_tests.standin import NODES, WithServer, edge_node


def lines_of(answer: http.client.HTTPResponse, count: int) -> list[dict[str, Any]]:
    return [json.loads(answer.readline()) for _ in range(count)]


class Faults(WithServer):
    def setUp(self) -> None:
        self.addCleanup(self.server.clear_faults)
        self.addCleanup(self._empty)

    def _empty(self) -> None:
        ask(self.server, "DELETE", NODES)

    def watch(self, query: str = "", *, since: int = -1) -> http.client.HTTPResponse:
        version = self.server.control("version") if since < 0 else since
        connection = http.client.HTTPConnection("127.0.0.1", self.server.plain_port or 0, timeout=10)
        self.addCleanup(connection.close)
        connection.request("GET", f"{NODES}?watch=true&resourceVersion={version}{query}")
        return connection.getresponse()

    def raw_chunks(self, size: int) -> list[bytes]:
        """The chunks of a watch as they come, until so many bytes."""
        with socket.create_connection(("127.0.0.1", self.server.plain_port or 0), timeout=10) as opened:
            version = self.server.control("version")
            opened.sendall(f"GET {NODES}?watch=true&resourceVersion={version} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            stream = opened.makefile("rb")
            while stream.readline().strip():
                pass
            for name in ("a", "b", "c"):
                self.node(name)
            chunks: list[bytes] = []
            while sum(map(len, chunks)) < size:
                length = int(stream.readline(), 16)
                chunks.append(stream.read(length))
                stream.readline()
            return chunks

    def test_events_split_and_joined(self) -> None:
        self.assertTrue(all(chunk.endswith(b"}\n") for chunk in self.raw_chunks(1000)))
        self._empty()
        self.server.split_events(7)
        chunks = self.raw_chunks(1000)
        self.assertEqual({len(chunk) for chunk in chunks[:50]}, {7})
        self._empty()
        self.server.split_events(0)
        self.server.join_events(3)
        self.assertEqual(self.raw_chunks(1000)[0].count(b"\n"), 3)

    def test_watch_cut_after_events_and_after_bytes(self) -> None:
        self.server.cut_watches("edgenodes", events=1)
        answer = self.watch()
        self.node("a")
        with self.assertRaises((http.client.IncompleteRead, ConnectionResetError)):
            answer.read()
        self.server.cut_watches("edgenodes", bytes=100)
        answer = self.watch()
        self.node("b")
        with self.assertRaises((http.client.IncompleteRead, ConnectionResetError)):
            answer.read()
        self.assertEqual(self.watch("&timeoutSeconds=1").read(), b"", "only so many watches as were ordered")

    def test_answers_in_words_of_the_server(self) -> None:
        for code, reason in ((401, "Unauthorized"), (409, "Conflict"), (410, "Expired"), (429, "TooManyRequests"), (500, "InternalError"),
                             (503, "ServiceUnavailable")):
            self.server.answer(code, verb="list", resource="edgenodes", retry_after=2 if code == 429 else 0)
            said = self.asked("GET", NODES, code=code)
            self.assertEqual((said["reason"], said["code"]), (reason, code))
            self.assertEqual(said.get("details", {}).get("retryAfterSeconds"), 2 if code == 429 else None)
        self.asked("GET", NODES)

    def test_retry_after_is_a_header(self) -> None:
        self.server.answer(429, verb="create", retry_after=3)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.plain_port or 0, timeout=10)
        self.addCleanup(connection.close)
        connection.request("POST", NODES, json.dumps(edge_node("a")), {"Content-Type": "application/json"})
        self.assertEqual(connection.getresponse().getheader("Retry-After"), "3")

    def test_answers_only_what_was_named(self) -> None:
        self.server.answer(500, verb="patch", resource="edgenodes/status", name="a", times=2)
        self.node("a")
        self.asked("GET", f"{NODES}/a")
        body = {"status": {"observedGeneration": 1}}
        for code in (500, 500, 200):
            self.asked("PATCH", f"{NODES}/a/status", body, type="application/merge-patch+json", code=code)

    def test_an_answer_lost_was_carried_out(self) -> None:
        self.server.answer(0, verb="create", resource="edgenodes", after=True)
        with self.assertRaises((ConnectionError, http.client.RemoteDisconnected)):
            ask(self.server, "POST", NODES, edge_node("a"))
        self.asked("GET", f"{NODES}/a")

    def test_a_slow_list_holds_up_nobody_else(self) -> None:
        self.server.delay(0.6, verb="list", resource="edgenodes")
        started = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.server.plain_port or 0, timeout=10)
        self.addCleanup(connection.close)
        connection.request("GET", NODES)
        self.asked("GET", "/api/v1/namespaces")
        self.assertEqual(connection.getresponse().status, 200)
        self.assertGreaterEqual(time.monotonic() - started, 0.6)

    def test_forgotten_history(self) -> None:
        since = self.server.control("version")
        self.node("a")
        self.server.forget_history()
        event = lines_of(self.watch(since=since), 1)[0]
        self.assertEqual((event["type"], event["object"]["code"]), ("ERROR", 410))
        answer = self.watch()
        self.node("b")
        self.assertEqual(lines_of(answer, 1)[0]["type"], "ADDED", "from now on all is well")

    def test_open_watches_told_of_410(self) -> None:
        answer = self.watch()
        self.server.control("expire_watches", resource="edgenodes")
        self.assertEqual(json.loads(answer.read())["object"]["reason"], "Expired")

    def test_bookmarks_and_nothing_but_bookmarks(self) -> None:
        answer = self.watch("&allowWatchBookmarks=true")
        self.server.only_bookmarks()
        self.node("a")
        self.server.control("bookmark")
        event = lines_of(answer, 1)[0]
        self.assertEqual(event["type"], "BOOKMARK")
        self.assertEqual(int(event["object"]["metadata"]["resourceVersion"]), self.server.control("version"))

    def test_token_ends(self) -> None:
        token = self.server.token("alice", ["system:masters"])
        self.asked("GET", NODES, token=token)
        self.assertEqual(self.server.control("expire", token=token), 1)
        self.asked("GET", NODES, token=token, code=401)

    def test_counts_and_records(self) -> None:
        self.server.counts(reset=True)
        self.server.control("record")
        self.node("a")
        self.asked("GET", NODES)
        self.asked("GET", f"{NODES}/zz", code=404)
        self.assertEqual(self.server.counts(), {"create edgenodes": 1, "list edgenodes": 1, "get edgenodes": 1})
        last = self.server.control("records")[-1]
        self.assertEqual((last["verb"], last["resource"], last["namespace"], last["name"], last["code"]), ("get", "edgenodes", "rec", "zz", 404))

    def test_nobody_listens(self) -> None:
        answer = self.watch()
        self.server.control("accept", on=False)
        with self.assertRaises((http.client.IncompleteRead, ConnectionError)):
            answer.read()
        with self.assertRaises(OSError):
            ask(self.server, "GET", NODES)
        self.server.control("accept")
        self.asked("GET", NODES)


class Restart(WithServer):
    def test_objects_and_versions_stay(self) -> None:
        made = self.node("kept", fixed="x")
        token = self.server.token("alice", ["system:masters"])
        version = self.server.control("version")
        port = self.server.port
        self.server.stop()
        self.server.start()
        self.assertEqual(self.server.port, port)
        self.assertEqual(self.asked("GET", f"{NODES}/kept", token=token), made)
        self.assertEqual(self.server.control("version"), version)
        self.assertIn("is immutable", self.asked("PATCH", f"{NODES}/kept", {"spec": {"fixed": "y"}}, type="application/merge-patch+json", code=422)["message"])


class Size(WithServer):
    def test_three_hundred_watches_and_a_thousand_objects(self) -> None:
        """Not a timed test: that it holds them, and that all are told."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.plain_port or 0, timeout=30)
        self.addCleanup(connection.close)
        for index in range(1000):
            connection.request("POST", NODES, json.dumps(edge_node(f"n{index}")), {"Content-Type": "application/json"})
            connection.getresponse().read()
        self.assertEqual(len(self.asked("GET", NODES)["items"]), 1000)
        connection.request("GET", NODES, headers={"Accept-Encoding": "gzip"})
        packed = connection.getresponse()
        self.assertEqual(packed.getheader("Content-Encoding"), "gzip")
        self.assertEqual(len(json.loads(gzip.decompress(packed.read()))["items"]), 1000)
        version = self.server.control("version")
        watches = []
        for _ in range(300):
            one = http.client.HTTPConnection("127.0.0.1", self.server.plain_port or 0, timeout=30)
            self.addCleanup(one.close)
            one.request("GET", f"{NODES}?watch=true&resourceVersion={version}")
            watches.append(one.getresponse())
        self.assertEqual(self.server.control("watches"), {"edgenodes": 300})
        self.asked("PATCH", f"{NODES}/n7", {"spec": {"port": 23}}, type="application/merge-patch+json")
        for watch in watches:
            self.assertEqual(lines_of(watch, 1)[0]["object"]["spec"]["port"], 23)


if __name__ == "__main__":
    unittest.main()
