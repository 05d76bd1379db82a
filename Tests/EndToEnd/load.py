"""A steady load of short requests, a crowd of held connections, and what became of them."""

from __future__ import annotations

import math
import random
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self, Sequence

from lab.namespaces import Namespace
from product import traffic


@dataclass(frozen=True)
class Trouble:
    """A request that failed, or took long. Times in seconds: `began` on the monotonic clock."""

    began: float
    took: float
    failure: str | None


class Load:
    """Threads that run until the `with` block ends; a subclass says what they do."""

    client: Namespace
    _threads: list[threading.Thread]

    def __init__(self) -> None:
        self.failures: list[str] = []
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()


class SteadyLoad(Load):
    """Threads that connect, ask, and close, again and again, until stopped. `with SteadyLoad(...) as load:`"""

    def __init__(self, client: Namespace, address: str, port: int, *, threads: int = 4, pause: float = 0.05, timeout: float = 5,
                 slow: float = 1):
        """A request that takes longer than `slow` seconds is kept as trouble too."""
        super().__init__()
        self.client, self.address, self.port, self.pause, self.timeout, self.slow = client, address, port, pause, timeout, slow
        self.troubles: list[Trouble] = []
        self.peers: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    @property
    def requests(self) -> int:
        return sum(self.peers.values()) + len(self.failures)

    def lost(self, *, since: float = 0) -> list[Trouble]:
        """Those that failed and began at that time or later."""
        return [one for one in list(self.troubles) if one.failure is not None and one.began >= since]

    def trouble_ended(self, since: float) -> float:
        """Seconds from `since` until the last request that failed or was slow had begun; 0 when there was none."""
        return max((one.began - since for one in list(self.troubles) if one.began + one.took >= since), default=0)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._one()
            self._stopped.wait(self.pause)

    def _ask(self) -> dict:
        return traffic.whoami(self.client, self.address, self.port, timeout=self.timeout)

    def _one(self) -> None:
        began = time.monotonic()
        failure = None
        try:
            peer = self._ask()["peer"]
            with self._lock:
                self.peers[peer] += 1
        except (OSError, ValueError, AssertionError) as error:
            failure = f"{type(error).__name__}: {error}"
            self.failures.append(f"{began - self.began:.2f} s: {failure}")
        took = time.monotonic() - began
        if failure is not None or took > self.slow:
            self.troubles.append(Trouble(began, took, failure))


class OpenLoad(SteadyLoad):
    """Requests that begin at a steady rate, whatever becomes of those before: what hangs holds up no other."""

    def __init__(self, client: Namespace, address: str, port: int, *, rate: float = 40, timeout: float = 10):
        super().__init__(client, address, port, threads=0, timeout=timeout)
        self.period = 1 / rate
        self._threads = [threading.Thread(target=self._dispatch, daemon=True)]

    def _dispatch(self) -> None:
        with ThreadPoolExecutor(max_workers=math.ceil(self.timeout / self.period)) as workers:
            due = time.monotonic()
            while not self._stopped.wait(max(0, due - time.monotonic())):
                workers.submit(self._one)
                due += self.period


class Crowd:
    """Long-lived connections that must live through what happens meanwhile. `with Crowd(...) as crowd:`"""

    def __init__(self, client: Namespace, address: str, port: int, count: int):
        self.client, self.address, self.port, self.count = client, address, port, count
        self.held: list[socket.socket] = []
        self.renew()

    def renew(self) -> None:
        """Closes all, and opens as many anew."""
        traffic.release(self.held)
        self.held = traffic.hold(self.client, self.address, self.port, self.count)
        self.peers: list[str] = [traffic.ask(one)["peer"] for one in self.held]

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_: object) -> None:
        traffic.release(self.held)

    def broken(self, *, apart_from: str | None = None) -> list[str]:
        """Why connections do not answer one more round trip; those by the peer `apart_from` may be broken."""
        found = []
        for number, (one, peer) in enumerate(zip(self.held, self.peers)):
            if peer == apart_from:
                continue
            sent = f"still {number}\n".encode()
            try:
                one.sendall(sent)
                if (answer := traffic.line(one)) != sent:
                    found.append(f"{number} by {peer}: got {answer!r}")
            except OSError as error:
                found.append(f"{number} by {peer}: {type(error).__name__}: {error}")
        return found


class SpreadLoad(OpenLoad):
    """As OpenLoad, each request to one of many ports, taken at random. A failure tells its port."""

    def __init__(self, client: Namespace, address: str, ports: Sequence[int], *, rate: float = 40, timeout: float = 10, seed: int = 1):
        super().__init__(client, address, 0, rate=rate, timeout=timeout)
        self._ports, self._random = ports, random.Random(seed)

    def _ask(self) -> dict:
        with self._lock:
            port = self._random.choice(self._ports)
        try:
            return traffic.whoami(self.client, self.address, port, timeout=self.timeout)
        except (OSError, ValueError, AssertionError) as error:
            raise ConnectionError(f"port {port}: {type(error).__name__}: {error}") from error


class Pulse(OpenLoad):
    """A few requests a second, and of each whether it was answered: what a status can be held against."""

    def __init__(self, client: Namespace, address: str, port: int, *, rate: float = 10, timeout: float = 2):
        super().__init__(client, address, port, rate=rate, timeout=timeout)
        self._made: list[tuple[float, bool]] = []

    @property
    def made(self) -> list[tuple[float, bool]]:
        """(when it began on the monotonic clock, whether it was answered), in that order."""
        with self._lock:
            return sorted(self._made)

    def _ask(self) -> dict:
        began, answered = time.monotonic(), False
        try:
            answer = super()._ask()
            answered = True
            return answer
        finally:
            with self._lock:
                self._made.append((began, answered))
