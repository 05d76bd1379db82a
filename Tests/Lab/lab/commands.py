"""Running programs: always as a list of arguments, never through a shell that sees a value."""

from __future__ import annotations

import subprocess
from typing import Sequence


class CommandFailed(RuntimeError):
    """A program ended with a status other than zero; the message holds what it printed."""

    def __init__(self, argv: Sequence[str], status: int, output: str):
        super().__init__(f"{' '.join(argv)}: exit status {status}: {output.strip() or '(no output)'}")
        self.argv = list(argv)
        self.status = status
        self.output = output


def run(argv: Sequence[str], *, input: str | bytes | None = None, timeout: float = 60, cwd: str | None = None) -> str:
    """Runs a program to its end and returns its standard output.

    Raises CommandFailed for a status other than zero, subprocess.TimeoutExpired after ``timeout`` seconds.
    """
    data = input.encode() if isinstance(input, str) else input
    stdin = {"input": data} if data is not None else {"stdin": subprocess.DEVNULL}
    done = subprocess.run(argv, capture_output=True, timeout=timeout, cwd=cwd, **stdin)
    if done.returncode != 0:
        raise CommandFailed(argv, done.returncode, (done.stderr + done.stdout).decode(errors="replace"))
    return done.stdout.decode(errors="replace")


def attempt(argv: Sequence[str], *, timeout: float = 60) -> bool:
    """Runs a program whose failure is an ordinary answer; true when it ended with zero."""
    try:
        run(argv, timeout=timeout)
        return True
    except CommandFailed:
        return False
