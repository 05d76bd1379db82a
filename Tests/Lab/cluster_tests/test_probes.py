"""Probes: how they count, and that no peer holds one up for longer than its timeout."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from typing import Any, Callable

from cluster.probes import Answer, Count, Probe, Target, run_in


class Counting(unittest.TestCase):
    def results(self, answers: str, first: bool | None, **fields: int) -> str:
        """`+` and `-`: what counts after each of these answers; `?` while nothing does."""
        count, found = Count(first), ""
        for one in answers:
            count = count.after(one == "+", fields)
            found += {True: "+", False: "-", None: "?"}[count.result]
        return found

    def test_it_takes_failures_in_a_row(self) -> None:
        self.assertEqual(self.results("--+---+", True, failureThreshold=3), "+++++-+")

    def test_it_takes_successes_in_a_row(self) -> None:
        self.assertEqual(self.results("++-+++-", False, successThreshold=3, failureThreshold=1), "-----+-")

    def test_by_itself_three_and_one(self) -> None:
        self.assertEqual(self.results("---+", True), "++-+")
        self.assertEqual(self.results("-+", None), "?+")


class Here:
    """This machine as the node."""

    def connect(self, address: str, port: int, *, source: str | None = None, timeout: float = 5) -> socket.socket:
        return socket.create_connection((address, port), timeout, (source, 0) if source else None)


class Asking(unittest.TestCase):
    def serve(self, answer: Callable[[socket.socket], None], backlog: int = 8) -> int:
        """A server that hands each connection to `answer`; its port."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.addCleanup(listener.close)

        def loop() -> None:
            while True:
                try:
                    opened, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(opened,), daemon=True).start()
        threading.Thread(target=loop, daemon=True).start()
        return listener.getsockname()[1]

    def ask(self, port: int, kind: str = "httpGet", **fields: Any) -> str:
        """Why it failed; empty for a success."""
        probe = object.__new__(Probe)
        probe.fields = {kind: {"port": port, "path": "/x"}, **fields}
        probe.target = Target({}, Here(), "127.0.0.1", "127.0.0.1", Path())  # type: ignore[arg-type]
        try:
            probe._once(time.monotonic() + fields.get("timeoutSeconds", 1))
        except Answer as answer:
            return str(answer)
        return ""

    def test_statuses(self) -> None:
        def answering(text: bytes) -> int:
            def answer(opened: socket.socket) -> None:
                opened.recv(1000)
                opened.sendall(text)
                opened.close()
            return self.serve(answer)
        self.assertEqual(self.ask(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")), "")
        self.assertEqual(self.ask(answering(b"HTTP/1.1 302 Found\r\n\r\n")), "")
        self.assertEqual(self.ask(answering(b"HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\nnever")), "HTTP probe failed with statuscode: 503: never")
        self.assertIn("EOF", self.ask(answering(b"")))

    def test_silence_and_drops_end_in_time(self) -> None:
        def drop_by_drop(opened: socket.socket) -> None:
            try:
                for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000:
                    opened.sendall(bytes([byte]))
                    time.sleep(0.05)
            except OSError:
                pass
        for answer in (lambda opened: time.sleep(30), drop_by_drop):
            began = time.monotonic()
            self.assertIn("context deadline exceeded", self.ask(self.serve(answer)))
            self.assertLess(time.monotonic() - began, 1.5)

    def test_a_full_backlog_is_a_failure(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.addCleanup(listener.close)
        crowd = [socket.socket() for _ in range(4)]
        for one in crowd:
            self.addCleanup(one.close)
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        time.sleep(0.1)
        self.assertIn("deadline exceeded", self.ask(listener.getsockname()[1]))
        self.assertIn("i/o timeout", self.ask(listener.getsockname()[1], "tcpSocket"))

    def test_slow_ones_add_no_threads(self) -> None:
        port = self.serve(lambda opened: time.sleep(30))
        target = Target({}, Here(), "127.0.0.1", "127.0.0.1", Path())  # type: ignore[arg-type]
        told: list[str] = []
        before = threading.active_count()
        fields = {"tcpSocket": {"port": 1}, "periodSeconds": 0.05, "failureThreshold": 3}
        probes = [Probe(fields | {"tcpSocket": {"port": port}}, target, initially=False, report=lambda *_: None),
                  Probe(fields, target, initially=True, report=lambda result, why: told.append(f"{result}: {why}"))]
        time.sleep(0.5)
        self.assertLessEqual(threading.active_count(), before + 2 + 20)  # the server's own, one a connection
        for one in probes:
            one.stop()
        self.assertEqual(len(told), 1)
        self.assertIn("False: dial tcp 127.0.0.1:1", told[0])


class Executed(unittest.TestCase):
    """In the namespaces of another process, which stands for the container's first one. As root."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.process = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "--mount", "--uts", "sh", "-c",
                                         f"hostname contained; echo > {self.folder}/go; sleep 60"])
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        while not (self.folder / "go").exists():
            time.sleep(0.01)
        child = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0]
        (self.folder / "pid").write_text(child)
        (self.folder / "sandbox.json").write_text(json.dumps({
            "pid": str(self.folder / "pid"), "workingDir": "/", "env": {"PATH": os.environ["PATH"], "WORD": "one"}, "groups": [], "gid": 0,
            "uid": 0, "capabilities": [], "noNewPrivileges": True}))

    def why(self, *command: str, within: float = 5) -> str:
        try:
            run_in(self.folder, list(command), time.monotonic() + within)
        except Answer as answer:
            return str(answer)
        return ""

    def test_its_status_and_its_words_count(self) -> None:
        self.assertEqual(self.why("true"), "")
        self.assertEqual(self.why("sh", "-c", "echo $WORD $(hostname); exit 3"), "one contained")
        self.assertIn("no-such-program", self.why("no-such-program"))
        self.assertEqual(self.why("sh", "-c", "grep -q 'CapBnd:.0000000000000000' /proc/self/status && grep -q 'NoNewPrivs:.1' /proc/self/status"), "")

    def test_one_that_hangs_is_ended(self) -> None:
        began = time.monotonic()
        mark = f"60.{os.getpid()}"
        self.assertIn("timed out", self.why("sleep", mark, within=0.7))
        self.assertLess(time.monotonic() - began, 2)
        time.sleep(0.1)
        running = subprocess.run(["pgrep", "-f", f"^sleep {mark}"], capture_output=True).stdout
        self.assertEqual(running, b"", "and leaves nothing behind")
