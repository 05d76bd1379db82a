"""Takes the lab down when its owner is gone, however it went: `python3 -m lab.warden INSTANCE`.

The owner holds the other end of standard input. SIGKILL closes that too.
"""

from __future__ import annotations

import signal
import sys

from .leftovers import reap


def main(instance: str) -> None:
    # Ctrl-C and a terminal's end are the owner's to answer; the warden comes after it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.buffer.read() == b"":
        reap(instance)


if __name__ == "__main__":
    main(sys.argv[1])
