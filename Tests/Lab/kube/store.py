"""Objects in memory with one resourceVersion for all, a history for watches, and a file to come back from."""

from __future__ import annotations

import json
import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, Optional

from .jsons import Object, encode

Key = tuple[str, str]  # group, plural
Place = tuple[str, str]  # namespace ("" for none), name
HISTORY = 20_000


@dataclass(frozen=True, eq=False)
class Stored:
    """One version of one object. It is never changed: what reads it may keep it."""

    key: Key
    place: Place
    obj: Object
    version: int


@dataclass(frozen=True, eq=False)
class Change:
    version: int
    type: str  # ADDED, MODIFIED, DELETED
    new: Stored  # for DELETED: the last state with the version of the deletion
    old: Optional[Stored]


class Store:
    def __init__(self, state: Optional[Path] = None):
        self.version = 1
        self.compacted = 0  # changes up to this version are forgotten
        self.history: deque[Change] = deque()
        self._objects: dict[Key, dict[Place, Stored]] = {}
        self._listeners: list[Callable[[Change], None]] = []
        self._state = state
        if state is not None and state.exists():
            self._load(state)

    def listen(self, listener: Callable[[Change], None]) -> None:
        self._listeners.append(listener)

    def get(self, key: Key, place: Place) -> Optional[Stored]:
        return self._objects.get(key, {}).get(place)

    def all(self, key: Key, namespace: str = "") -> list[Stored]:
        """In the order of their names, as etcd has them."""
        kept = self._objects.get(key, {})
        return [kept[place] for place in sorted(kept) if not namespace or place[0] == namespace]

    def keys(self) -> list[Key]:
        return list(self._objects)

    def everything(self) -> Iterator[Stored]:
        for kept in list(self._objects.values()):
            yield from list(kept.values())

    def put(self, key: Key, place: Place, obj: Object) -> Stored:
        """Writes a new version. The object is the store's from here on."""
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        old = self.get(key, place)
        new = Stored(key, place, obj, self.version)
        self._objects.setdefault(key, {})[place] = new
        self._record(Change(self.version, "MODIFIED" if old else "ADDED", new, old))
        return new

    def delete(self, key: Key, place: Place) -> Stored:
        old = self._objects[key].pop(place)
        self.version += 1
        last = {**old.obj, "metadata": {**old.obj["metadata"], "resourceVersion": str(self.version)}}
        self._record(Change(self.version, "DELETED", Stored(key, place, last, self.version), old))
        return old

    def drop(self, key: Key) -> list[Stored]:
        """Deletes all of a kind."""
        return [self.delete(key, place) for place in sorted(self._objects.get(key, {}))]

    def at(self, key: Key, namespace: str, version: int) -> list[Stored]:
        """What `all` answered at a version that is not forgotten."""
        kept = dict(self._objects.get(key, {}))
        for change in reversed(self.history):
            if change.version <= version:
                break
            if change.new.key == key:
                if change.old is None:
                    kept.pop(change.new.place, None)
                else:
                    kept[change.new.place] = change.old
        return [kept[place] for place in sorted(kept) if not namespace or place[0] == namespace]

    def since(self, key: Key, version: int) -> list[Change]:
        found = []
        for change in reversed(self.history):
            if change.version <= version:
                break
            if change.new.key == key:
                found.append(change)
        return found[::-1]

    def forget(self) -> None:
        """Compaction: no watch resumes from before now."""
        self.history.clear()
        self.compacted = self.version

    def _record(self, change: Change) -> None:
        self.history.append(change)
        if len(self.history) > HISTORY:
            self.compacted = self.history.popleft().version
        for listener in list(self._listeners):
            listener(change)

    def save(self) -> None:
        """Leaves the objects in the state file, if there is one; not the history: as an etcd that was compacted."""
        if self._state is None:
            return
        lines = [encode({"version": self.version})]
        for one in self.everything():
            lines.append(encode({"key": list(one.key), "place": list(one.place), "version": one.version, "object": one.obj}))
        scratch = self._state.with_suffix(".new")
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(b"\n".join(lines) + b"\n")
        scratch.replace(self._state)

    def _load(self, state: Path) -> None:
        with state.open() as file:
            self.version = json.loads(next(file))["version"]
            for line in file:
                entry = json.loads(line)
                key, place = tuple(entry["key"]), tuple(entry["place"])
                self._objects.setdefault(key, {})[place] = Stored(key, place, entry["object"], entry["version"])
        self.compacted = self.version
