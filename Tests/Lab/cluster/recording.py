"""`kubectl get en,pb -w`, recorded, and what traffic says of each of its lines."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Sequence

from lab.namespaces import Namespace

from .api import API, APIError, Manifest

LATE = 5.0  # seconds that a line may be behind traffic
FLAP = 3.0  # seconds: a shorter fall that lost nothing is none
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
_KINDS = ("edgenodes", "portbindings")


@dataclass(frozen=True)
class Line:
    """One line as kubectl prints it, with the time it came (monotonic). `ready` is the condition Ready: True, False, Unknown or empty."""

    at: float
    kind: str
    name: str
    ready: str
    reason: str
    shown: str
    message: str = ""


@dataclass(frozen=True)
class Span:
    """A time in which an object's Ready stayed as it was. `first`: the line that began it."""

    first: Line
    since: float
    until: float

    @property
    def is_ready(self) -> bool:
        return self.first.ready == "True"


Request = tuple[float, bool]  # when it began, and whether it was answered


def spans(lines: Sequence[Line], end: float) -> list[Span]:
    """Of one object's lines, in their order."""
    found: list[Span] = []
    for line in lines:
        if found and found[-1].first.ready == line.ready:
            continue
        if found:
            found[-1] = Span(found[-1].first, found[-1].since, line.at)
        found.append(Span(line, line.at, end))
    return found


def judged(lines: Sequence[Line], requests: Sequence[Request], end: float, *, excused: Callable[[Line], bool] = lambda line: False) -> list[str]:
    """What is not true among one object's lines, by the requests made meanwhile (sorted); empty when all is.

    `excused` are lines that may say False while traffic flows, as they tell of something else.
    """
    wrong = []
    found = spans(lines, end)
    for number, span in enumerate(found):
        what = f"{span.first.kind} {span.first.name} Ready {span.first.ready or 'not said'} ({span.first.reason})"
        if span.is_ready:
            if at := _window(requests, span, lambda here: not here[0] and not here[-1] and here.count(False) * 2 > len(here)):
                wrong.append(f"{what} while most requests failed for {LATE:.0f} s, {at - span.since:.1f} s after the line")
            continue
        if excused(span.first):
            continue
        if at := _window(requests, span, all):
            wrong.append(f"{what} while all requests were answered for {LATE:.0f} s, {at - span.since:.1f} s after the line")
        is_between = 0 < number < len(found) - 1
        if is_between and span.until - span.since < FLAP and not any(
                not answered for began, answered in requests if span.since - FLAP <= began <= span.until + FLAP):
            wrong.append(f"{what} for {span.until - span.since:.1f} s, and nothing was lost")
    return wrong


def _window(requests: Sequence[Request], span: Span, holds: Callable[[list[bool]], bool]) -> float:
    """When the first time of LATE seconds within the span begins for whose requests (answered or not, in order) it holds; 0 for never."""
    times = [began for began, _ in requests]
    for first in range(bisect_left(times, span.since), len(times)):
        if times[first] + LATE > span.until:
            return 0
        here = [answered for _, answered in requests[first:bisect_left(times, times[first] + LATE)]]
        if len(here) >= LATE and holds(here):
            return times[first]
    return 0


def story(lines: Sequence[Line], since: float, end: float) -> str:
    """`True; after 2.1 s False UplinksDown; after 30.0 s True`: where Ready went after `since`."""
    words = []
    for span in spans(lines, end):
        said = span.first.ready if span.is_ready else f"{span.first.ready} {span.first.reason}"
        words.append(said if span.since <= since else f"after {span.since - since:.1f} s {said}")
    return "; ".join(words)


class Recorder:
    """`with Recorder(host, kubeconfig) as recorder:` follows both kinds in all namespaces; `lines` grow meanwhile."""

    def __init__(self, host: Namespace, kubeconfig: Path):
        self.lines: list[Line] = []
        self._host, self._kubeconfig = host, kubeconfig
        self._stopped = threading.Event()

    def __enter__(self) -> "Recorder":
        begun = []
        for kind in _KINDS:
            listed = threading.Event()
            threading.Thread(target=self._follow, args=(kind, listed), daemon=True).start()
            begun.append(listed)
        for one in begun:
            one.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()

    def of(self, kind: str, name: str) -> list[Line]:
        return [line for line in list(self.lines) if (line.kind, line.name) == (kind, name)]

    def text(self, since: float) -> str:
        """All lines as a terminal would have them, each with its time."""
        return "".join(f"{line.at - since:8.2f} s  {line.kind}/{line.name:12} {line.shown}  Ready={line.ready} {line.message}\n"
                       for line in sorted(self.lines, key=lambda line: line.at))

    def _follow(self, kind: str, listed: threading.Event) -> None:
        api = API(self._host, self._kubeconfig, agent="tidegate-lab/recorder")
        api.headers["Accept"] = _TABLE
        path = f"/apis/tunnel.achetronic.com/v1alpha1/{kind}?includeObject=Object"
        version = ""
        while not self._stopped.is_set():
            try:
                if not version:
                    table = api.request("GET", path)
                    version = table["metadata"]["resourceVersion"]
                    self._take(kind, table)
                    listed.set()
                for type, table in api.watch(path, version):
                    if self._stopped.is_set():
                        return
                    for row in table.get("rows") or []:
                        version = row["object"]["metadata"].get("resourceVersion") or version
                    if type in ("ADDED", "MODIFIED"):
                        self._take(kind, table)
            except APIError as error:
                if error.status == 410:
                    version = ""
                self._stopped.wait(0.2)

    def _take(self, kind: str, table: Manifest) -> None:
        for row in table.get("rows") or []:
            status = row["object"].get("status") or {}
            ready = next((one for one in status.get("conditions", []) if one["type"] == "Ready"), {})
            shown = " ".join("<none>" if cell in (None, "") else str(cell) for cell in row["cells"][:6])
            self.lines.append(Line(time.monotonic(), kind, row["object"]["metadata"]["name"], ready.get("status", ""), ready.get("reason", ""),
                                   shown, ready.get("message", "")))
