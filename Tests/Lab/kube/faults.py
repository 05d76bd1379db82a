"""What a test can let go wrong, and what it can ask afterwards."""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Any, Iterator, Optional

from .errors import ApiError
from .resources import Resource


@dataclass
class Cut:
    """Watches of a resource end without a last chunk after so many bytes or events (0: no limit)."""

    resource: str = ".*"
    events: int = 0
    bytes: int = 0
    times: int = 1


@dataclass
class Answer:
    """The next requests that match are answered with an error instead."""

    code: int
    verb: str = ".*"
    resource: str = ".*"
    name: str = ".*"
    user: str = ".*"
    times: int = 1
    retry_after: int = 0
    seconds: float = 0.0  # waits so long first; with code 0 the request is then served
    after: bool = False  # the request is carried out, its answer lost and the connection closed


@dataclass
class Seen:
    verb: str
    resource: str
    namespace: str
    name: str
    user: str
    method: str
    target: str
    code: int = 0
    time: float = 0.0
    agent: str = ""


@dataclass
class Faults:
    chunk: int = 0  # watch events in pieces of so many bytes (0: one piece an event)
    join_events: int = 0  # so many events in one piece, waiting for them a little
    join_wait: float = 0.05
    only_bookmarks: bool = False
    cuts: list[Cut] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    recorded: Optional[deque[Seen]] = None

    def __post_init__(self) -> None:
        self._sent: dict[int, int] = {}

    def cut_for(self, resource: Resource) -> Optional[Cut]:
        for cut in self.cuts:
            if cut.times > 0 and re.fullmatch(cut.resource, resource.plural):
                cut.times -= 1
                return cut
        return None

    def pieces(self, queue: "deque[bytes]") -> Iterator[bytes]:
        """The queued events as the connection is to send them. Takes one event, or all when they are to be joined."""
        data = queue.popleft()
        self._taken = 1
        while self.join_events > 1 and queue:
            data += queue.popleft()
            self._taken += 1
        if self.chunk <= 0:
            yield data
            return
        for start in range(0, len(data), self.chunk):
            yield data[start : start + self.chunk]

    def count(self, watch: object) -> int:
        """So many events a watch was sent by now."""
        sent: int = getattr(watch, "sent", 0) + self._taken
        setattr(watch, "sent", sent)
        return sent

    def answer_for(self, verb: str, resource: str, name: str, user: str) -> Optional[Answer]:
        for answer in self.answers:
            if answer.times and re.fullmatch(answer.verb, verb) and re.fullmatch(answer.resource, resource) \
                    and re.fullmatch(answer.name, name) and re.fullmatch(answer.user, user):
                answer.times -= 1
                if not answer.times:
                    self.answers.remove(answer)
                return answer
        return None

    def saw(self, seen: Seen) -> None:
        self.counts[f"{seen.verb} {seen.resource}"] += 1
        if self.recorded is not None:
            self.recorded.append(seen)

    def records(self) -> list[dict[str, Any]]:
        return [asdict(one) for one in self.recorded or ()]


def error(answer: Answer, plural: str, group: str, name: str) -> ApiError:
    """The words that a kube-apiserver has for a code."""
    from . import errors

    wait = answer.retry_after
    table = {
        401: ("Unauthorized", "Unauthorized"),
        403: ("Forbidden", f"{errors.qualified(plural, group)} is forbidden: by the test"),
        409: ("Conflict", f'Operation cannot be fulfilled on {errors.qualified(plural, group)} "{name}": {errors.MODIFIED}'),
        410: ("Expired", "The resourceVersion for the provided list is too old."),
        429: ("TooManyRequests", "Too many requests, please try again later."),
        500: ("InternalError", "Internal error occurred: etcdserver: request timed out"),
        503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
        504: ("Timeout", "Timeout: request did not complete within the allotted timeout"),
    }
    reason, message = table.get(answer.code, ("", f"the server answers {answer.code} because a test wants it"))
    if answer.code == 409:
        return errors.conflict(plural, group, name, errors.MODIFIED)
    return ApiError(answer.code, reason, message, retry_after=wait)
