"""The register of faults. A fault is a function with what it does and what must follow written beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable


@dataclass(frozen=True)
class Seen:
    """What a fault did. `recovery`: seconds until all was well again, nil where nothing was to recover from."""

    text: str
    recovery: float | None = None
    lost: int | None = None
    requests: int | None = None


@dataclass(frozen=True)
class Fault:
    """`stage` names the scene that the function gets (scenes.py); nil for a fault that cannot be made here, with `why`."""

    name: str
    group: str
    injected: str
    expected: str
    stage: str | None
    quick: bool = False
    run: Callable[[Any], Seen] | None = None
    why: str = ""


FAULTS: list[Fault] = []
HOSTS, CHANGE, UPLINKS, LINKS, REMOTE, HOST, DRIFT, ENROLLMENT, OUTSIDE, RIGHTS, BESIDE, CLUSTER, STATUS, SCALE, CHURN = (
    "Hosts", "Traffic through change", "Uplinks and the way to them", "Links", "Remote services", "The VPS", "Drift", "Enrollment", "From the internet",
    "Rights and secrets", "From whom nobody expects it", "On a cluster", "What the status says", "Scale", "Long run")
GROUPS = (HOSTS, CHANGE, UPLINKS, LINKS, REMOTE, HOST, DRIFT, ENROLLMENT, OUTSIDE, RIGHTS, BESIDE, CLUSTER, STATUS, SCALE, CHURN)


def fault(name: str, group: str, *, injected: str, expected: str, stage: str, quick: bool = False):
    """Registers the function below it. It raises AssertionError for what is not as expected."""
    def register(function: Callable[[Any], Seen]) -> Callable[[Any], Seen]:
        FAULTS.append(Fault(name, group, injected, expected, stage, quick, function))
        return function
    return register


def untested(name: str, group: str, *, expected: str, why: str) -> None:
    FAULTS.append(Fault(name, group, "", expected, None, why=why))
