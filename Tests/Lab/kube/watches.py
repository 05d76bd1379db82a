"""Watches: the changes of a kind since a version, as lines of JSON."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import AsyncIterator, Callable, Optional

from . import decoding
from .errors import ApiError, expired
from .faults import Faults
from .http import Cut
from .jsons import Object, encode
from .lists import Selection
from .objects import Encoder, whole
from .resources import Resource
from .store import Change, Key, Store, Stored

_BOOKMARK_EVERY = 60.0  # seconds; the apiserver's own pace

Line = Callable[[str, Stored], bytes]


class Watch:
    """One client's watch. Changes are queued by the hub and read by the connection."""

    def __init__(self, hub: "Hub", resource: Resource, chosen: Selection, query: dict[str, str], line: Line):
        self._hub, self.resource, self._chosen, self._line = hub, resource, chosen, line
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._bookmarks = query.get("allowWatchBookmarks") in ("true", "1")
        self._initial = query.get("sendInitialEvents") in ("true", "1")
        self._version = query.get("resourceVersion", "")
        timeout = query.get("timeoutSeconds", "")
        self._timeout = float(timeout) if timeout.isdigit() and timeout != "0" else random.uniform(1800, 3600)
        self._started_at = 0
        self.over = False

    def start(self) -> None:
        """What was before; raises what a bad version is answered with. From here on changes are queued."""
        store = self._hub.store
        if self._initial or self._version in ("", "0"):
            for stored in store.all(self.resource.key, self._chosen.namespace):
                if self._chosen.matches(stored.obj):
                    self._queue.append(self._line("ADDED", stored))
            if self._initial and self._bookmarks:
                self._queue.append(self.bookmark(initial=True))
            self._started_at = store.version
        else:
            if not self._version.isdigit():
                raise ApiError(500, "", f'resourceVersion: Invalid value: "{self._version}": strconv.ParseUint: parsing "{self._version}": invalid syntax')
            since = int(self._version)
            if since < store.compacted:
                self._queue.append(encode({"type": "ERROR", "object": expired(f"too old resource version: {since} ({store.compacted})").status()}) + b"\n")
                self.over = True
                return
            self._started_at = since
            for change in store.since(self.resource.key, since):
                self.saw(change)
        self._hub.add(self)

    def saw(self, change: Change) -> None:
        if self._chosen.namespace and change.new.place[0] != self._chosen.namespace:
            return
        if self._chosen.name and change.new.place[1] != self._chosen.name:
            return
        if change.version <= self._started_at or self._hub.faults.only_bookmarks:
            return
        now = change.type != "DELETED" and self._chosen.matches(change.new.obj)
        before = change.old is not None and self._chosen.matches(change.old.obj)
        if not now and not before:
            return
        kind = "ADDED" if now and not before else "MODIFIED" if now else "DELETED"
        shown = change.new
        if kind == "DELETED" and change.type != "DELETED":
            assert change.old is not None
            shown = change.old if change.old.version == change.version else Stored(change.old.key, change.old.place, {
                **change.old.obj, "metadata": {**change.old.obj["metadata"], "resourceVersion": str(change.version)}}, change.version)
        self.push(self._line(kind, shown))

    def push(self, line: bytes) -> None:
        self._queue.append(line)
        self._wake.set()

    def bookmark(self, *, initial: bool = False) -> bytes:
        meta: Object = {"resourceVersion": str(max(self._hub.store.version, self._started_at))}
        if initial:
            meta["annotations"] = {"k8s.io/initial-events-end": "true"}
        obj: Object = {"kind": self.resource.kind, "apiVersion": self.resource.group_version}
        if self.resource.custom is None:
            obj.update(decoding.zero(self.resource.type))
            obj.update(kind=self.resource.kind, apiVersion=self.resource.group_version)
        obj["metadata"] = meta
        return b'{"type":"BOOKMARK","object":' + whole(self.resource, obj) + b"}\n"

    async def lines(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._timeout
        every = self._hub.bookmark_every
        next_bookmark = loop.time() + every
        sent_events = sent_bytes = 0
        cut = self._hub.faults.cut_for(self.resource)
        try:
            while True:
                while self._queue:
                    if self._hub.faults.join_events > 1 and len(self._queue) < self._hub.faults.join_events and not self.over:
                        await asyncio.sleep(self._hub.faults.join_wait)
                    for piece in self._hub.faults.pieces(self._queue):
                        if cut and cut.bytes and sent_bytes + len(piece) >= cut.bytes:
                            yield piece[: cut.bytes - sent_bytes]
                            raise Cut
                        sent_bytes += len(piece)
                        yield piece
                    sent_events = self._hub.faults.count(self)
                    if cut and cut.events and sent_events >= cut.events:
                        raise Cut
                if self.over:
                    return
                self._wake.clear()
                wait = min(end, next_bookmark) - loop.time()
                try:
                    await asyncio.wait_for(self._wake.wait(), max(wait, 0))
                except (asyncio.TimeoutError, TimeoutError):
                    if loop.time() >= end:
                        return
                    next_bookmark = loop.time() + self._hub.bookmark_every
                    if self._bookmarks:
                        self._queue.append(self.bookmark())
        finally:
            self._hub.remove(self)

    def stop(self) -> None:
        self.over = True
        self._wake.set()


class Hub:
    def __init__(self, store: Store, encoder: Encoder, faults: Faults):
        self.store, self.encoder, self.faults = store, encoder, faults
        self.bookmark_every = _BOOKMARK_EVERY
        self._watches: dict[Key, set[Watch]] = {}
        self._last: tuple[Optional[Change], dict[object, bytes]] = (None, {})
        store.listen(self._saw)

    def line(self, resource: Resource) -> Line:
        """How plain objects are written; one change to 300 watches is written once."""
        def write(kind: str, stored: Stored) -> bytes:
            return b'{"type":"' + kind.encode() + b'","object":' + self.encoder.body(resource, stored) + b"}\n"

        return write

    def add(self, watch: Watch) -> None:
        self._watches.setdefault(watch.resource.key, set()).add(watch)

    def remove(self, watch: Watch) -> None:
        self._watches.get(watch.resource.key, set()).discard(watch)

    def all(self) -> list[Watch]:
        return [watch for watches in self._watches.values() for watch in watches]

    def _saw(self, change: Change) -> None:
        for watch in list(self._watches.get(change.new.key, ())):
            watch.saw(change)
