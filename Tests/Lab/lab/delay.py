"""A wire with a length: hands frames on between two devices after a fixed time, both ways.

The kernels this lab runs on have no netem, so a program does it. Meant for round-trip-time tests, not for throughput.
Run inside the namespace that has both devices: `python3 -m lab.delay DEVICE DEVICE MILLISECONDS-ONE-WAY [BITS-A-SECOND]`. A wire that is
narrow too has a queue of one second, as the routers of such wires do; what comes to a full one is lost.
"""

from __future__ import annotations

import collections
import socket
import sys
import threading
import time

_ETH_P_ALL = 0x0003  # linux/if_ether.h
_QUEUE = 1  # seconds
_PACKET_OUTGOING = 4  # linux/if_packet.h: what this host itself sent comes back to a packet socket marked so


def open_device(name: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    opened.bind((name, _ETH_P_ALL))
    return opened


class Direction:
    """One direction of the wire: a thread that takes frames in, and one that lets them out when they are due."""

    def __init__(self, source: socket.socket, sink: socket.socket, seconds: float, rate: float):
        self.source = source
        self.sink = sink
        self.seconds, self.rate, self.free = seconds, rate, 0.0
        self.frames: collections.deque[tuple[float, bytes]] = collections.deque()
        self.arrived = threading.Event()

    def start(self) -> list[threading.Thread]:
        threads = [threading.Thread(target=self._take, daemon=True), threading.Thread(target=self._give, daemon=True)]
        for thread in threads:
            thread.start()
        return threads

    def _take(self) -> None:
        while True:
            frame, address = self.source.recvfrom(65536)
            if address[2] != _PACKET_OUTGOING:
                now = time.monotonic()
                begin = max(now, self.free)
                if begin > now + _QUEUE:
                    continue
                self.free = begin + len(frame) * 8 / self.rate
                self.frames.append((self.free + self.seconds, frame))
                self.arrived.set()

    def _give(self) -> None:
        while True:
            if not self.frames:
                self.arrived.wait()
                self.arrived.clear()
                continue
            due, frame = self.frames[0]
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            self.frames.popleft()
            try:
                self.sink.send(frame)
            except OSError:
                pass  # like any wire: a frame that does not fit is lost


def main(first: str, second: str, milliseconds: str, bits: str = "inf") -> None:
    left, right = open_device(first), open_device(second)
    seconds, rate = float(milliseconds) / 1000, float(bits)
    threads = Direction(left, right, seconds, rate).start() + Direction(right, left, seconds, rate).start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
