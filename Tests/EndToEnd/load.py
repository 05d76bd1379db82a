"""A steady load of short requests, and a count of what failed."""

from __future__ import annotations

import threading
import time
from collections import Counter

from lab.namespaces import Namespace
from product import traffic


class SteadyLoad:
    """Threads that connect, ask, and close, again and again, until stopped. `with SteadyLoad(...) as load:`"""

    def __init__(self, client: Namespace, address: str, port: int, *, threads: int = 4, pause: float = 0.05):
        self.client, self.address, self.port, self.pause = client, address, port, pause
        self.failures: list[str] = []
        self.peers: Counter[str] = Counter()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> "SteadyLoad":
        self.began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    @property
    def requests(self) -> int:
        return sum(self.peers.values()) + len(self.failures)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.peers[traffic.whoami(self.client, self.address, self.port, timeout=5)["peer"]] += 1
            except (OSError, ValueError, AssertionError) as error:
                self.failures.append(f"{time.monotonic() - self.began:.2f} s: {type(error).__name__}: {error}")
            self._stopped.wait(self.pause)
