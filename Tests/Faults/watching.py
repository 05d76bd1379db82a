"""`kubectl get en,pb -w` beside a steady probe of the bindings it speaks of, through whatever happens meanwhile."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Callable, Sequence

from cluster.recording import Line, Recorder, Request, judged, story
from lab import paths
from lab.network import VPS
from load import Pulse
from scenes import WEB, ClusterScene

NODE, WEB_BINDING = ("edgenodes", "edge"), ("portbindings", "web")


@dataclass
class Watched:
    """What was seen. `began`: when the change was made; `lines` and `requests` by (kind, name); `lost` of all requests."""

    began: float
    end: float
    lines: dict[tuple[str, str], list[Line]]
    requests: dict[tuple[str, str], list[Request]]
    wrong: list[str]

    @property
    def lost(self) -> int:
        return sum(1 for _, answered in self.requests[WEB_BINDING] if not answered)

    @property
    def made(self) -> int:
        return len(self.requests[WEB_BINDING])

    def story(self, object: tuple[str, str] = NODE) -> str:
        return story(self.lines[object], self.began, self.end)

    def check(self) -> None:
        assert not self.wrong, "; ".join(self.wrong)

    def first_failure(self) -> float:
        """Seconds from the change to the first request that failed; raises AssertionError when none did."""
        for began, answered in self.requests[WEB_BINDING]:
            if not answered and began >= self.began - 2:
                return began - self.began
        raise AssertionError("no request failed, so this shows nothing")

    def fell(self, object: tuple[str, str]) -> float:
        """Seconds from the change to the line that is not Ready any more."""
        for line in self.lines[object]:
            if line.at >= self.began and line.ready != "True":
                return line.at - self.began
        raise AssertionError(f"{' '.join(object)} stayed Ready")


def watched(scene: ClusterScene, name: str, change: Callable[[], object], *, tail: float = 8, also: dict[str, int] | None = None,
            excused: Callable[[Line], bool] = lambda line: False) -> Watched:
    """Makes the change under the recorder and goes on for `tail` seconds. `also`: more PortBindings and their ports, judged too.

    The EdgeNode is held against the requests to `web`. What was recorded is kept in .build/faults/NAME.txt.
    """
    ports = {"web": WEB, **(also or {})}
    with ExitStack() as stack:
        recorder = stack.enter_context(Recorder(scene.lab.home, scene.stage.cluster.kubeconfig))
        pulses = {one: stack.enter_context(Pulse(scene.lab.client, VPS, port)) for one, port in ports.items()}
        time.sleep(2)
        began = time.monotonic()
        change()
        time.sleep(tail)
        end = time.monotonic()
    requests = {("portbindings", one): pulse.made for one, pulse in pulses.items()}
    requests[NODE] = requests[WEB_BINDING]
    lines = {object: recorder.of(*object) for object in requests}
    wrong = [word for object in requests for word in judged(lines[object], requests[object], end, excused=excused)]
    folder = paths.REPOSITORY / ".build/faults"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name.replace(' ', '-')}.txt").write_text(recorder.text(began) + _failures(requests[WEB_BINDING], began) + "\n".join(wrong) + "\n")
    return Watched(began, end, lines, requests, wrong)


def _failures(requests: Sequence[Request], began: float) -> str:
    return "".join(f"{at - began:8.2f} s  a request to web failed\n" for at, answered in requests if not answered)
