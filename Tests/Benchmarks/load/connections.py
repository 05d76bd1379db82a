"""New connections, one after the other, as fast as they go: a service that answers each, and a client that opens them.

    connections.py serve ADDRESS PORT
    connections.py open ADDRESS PORT SECONDS [SOURCE…]     one line of JSON: for each second [answered, failed]

The client closes first, so that the local ports of whoever connects for it rest for a minute after each connection (TIME_WAIT).
"""

import json
import resource
import selectors
import socket
import sys
import time

PARALLEL = 64
PATIENCE = 5  # seconds


def serve(address: str, port: int) -> None:
    listener = socket.create_server((address, port), backlog=4096)
    listener.setblocking(False)
    watch = selectors.EpollSelector()
    watch.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in watch.select():
            if key.fileobj is listener:
                try:
                    while True:
                        watch.register(listener.accept()[0], selectors.EVENT_READ)
                except BlockingIOError:
                    continue
            try:
                said = key.fileobj.recv(64)
                if said:
                    key.fileobj.send(said)
                    continue
            except OSError:
                pass  # reset: the end all the same
            watch.unregister(key.fileobj)
            key.fileobj.close()


class Client:
    def __init__(self, address: str, port: int, sources: list[str]):
        self.target, self.sources = (address, port), sources or ["0.0.0.0"]
        self.watch = selectors.EpollSelector()
        self.begun = 0
        self.since: dict[socket.socket, float] = {}
        self.seconds: list[list[int]] = []

    def run(self, seconds: int) -> list[list[int]]:
        start = time.monotonic()
        self.seconds = [[0, 0] for _ in range(seconds)]
        looked = start
        while (now := time.monotonic()) < start + seconds:
            second = self.seconds[int(now - start)]
            while len(self.since) < PARALLEL:
                self._begin(now, second)
            for key, _ in self.watch.select(0.1):
                self._go_on(key.fileobj, key.data, second)
            if now - looked > 0.5:
                looked = now
                for one in [one for one, since in self.since.items() if now - since > PATIENCE]:
                    self._end(one, second, 1)
        return self.seconds

    def _begin(self, now: float, second: list[int]) -> None:
        one = socket.socket()
        one.setblocking(False)
        self.begun += 1
        try:
            # The port is chosen when it connects, so that a resting one may be taken again.
            one.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT of linux/in.h
            one.bind((self.sources[self.begun % len(self.sources)], 0))
            one.connect(self.target)
        except BlockingIOError:
            pass
        except OSError:
            one.close()
            second[1] += 1
            time.sleep(0.001)
            return
        self.since[one] = now
        self.watch.register(one, selectors.EVENT_WRITE, "connecting")

    def _go_on(self, one: socket.socket, state: str, second: list[int]) -> None:
        try:
            if state == "connecting":
                one.send(b"x")
                self.watch.modify(one, selectors.EVENT_READ, "asked")
                return
            self._end(one, second, 0 if one.recv(64) == b"x" else 1)
        except OSError:
            self._end(one, second, 1)

    def _end(self, one: socket.socket, second: list[int], place: int) -> None:
        second[place] += 1
        del self.since[one]
        self.watch.unregister(one)
        one.close()


if __name__ == "__main__":
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(files, 65536), files))
    if sys.argv[1] == "serve":
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        print(json.dumps(Client(sys.argv[2], int(sys.argv[3]), sys.argv[5:]).run(int(sys.argv[4]))))
