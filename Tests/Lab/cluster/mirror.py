"""A collection at the API server, kept in step by list and watch."""

from __future__ import annotations

import random
import sys
import threading
from typing import Callable

from .api import API, APIError, Manifest

Key = tuple[str, str]


def key_of(object: Manifest) -> Key:
    return object["metadata"].get("namespace", ""), object["metadata"]["name"]


class Mirror:
    """What is there of one kind. `changed(key)` is called after each change, from the mirror's own thread: it must be quick."""

    def __init__(self, api: API, path: str, changed: Callable[[Key], None]):
        self.api = api
        self.path = path
        self.changed = changed
        self.synced = threading.Event()
        self._objects: dict[Key, Manifest] = {}
        self._lock = threading.Lock()

    def start(self) -> "Mirror":
        threading.Thread(target=self._run, name=f"mirror {self.path}", daemon=True).start()
        return self

    def get(self, key: Key) -> Manifest | None:
        with self._lock:
            return self._objects.get(key)

    def all(self) -> list[Manifest]:
        with self._lock:
            return list(self._objects.values())

    def learn(self, object: Manifest) -> None:
        """An answer to a write of our own, which the watch will only tell later: nothing is decided on what is known to be old."""
        with self._lock:
            known = self._objects.get(key_of(object))
            if known is None or _version(object) > _version(known):
                self._objects[key_of(object)] = object

    def _run(self) -> None:
        version, wait = "", 0.05
        while True:
            try:
                if not version:
                    version = self._list()
                for kind, object in self.api.watch(self.path, version):
                    version, wait = object["metadata"]["resourceVersion"], 0.05
                    if kind != "BOOKMARK":
                        self._take(kind, object)
            except APIError as error:
                if error.status == 410:
                    version = ""
                else:
                    print(f"mirror {self.path}: {error}", file=sys.stderr, flush=True)
                threading.Event().wait(wait * random.uniform(0.8, 1.2))
                wait = min(wait * 2, 2)

    def _list(self) -> str:
        listed = self.api.request("GET", self.path, timeout=30)
        fresh = {}
        for item in listed.get("items") or []:
            fresh[key_of(item)] = item
        with self._lock:
            old, self._objects = self._objects, fresh
        for key in {*old, *fresh}:
            if old.get(key) != fresh.get(key):
                self.changed(key)
        self.synced.set()
        return listed["metadata"]["resourceVersion"]

    def _take(self, kind: str, object: Manifest) -> None:
        key = key_of(object)
        with self._lock:
            if kind == "DELETED":
                self._objects.pop(key, None)
            elif key not in self._objects or _version(object) >= _version(self._objects[key]) \
                    or object["metadata"]["uid"] != self._objects[key]["metadata"]["uid"]:
                self._objects[key] = object
        self.changed(key)


def _version(object: Manifest) -> int:
    # Opaque to clients by the API's word, but comparable since Kubernetes 1.35 (KEP-5504).
    return int(object["metadata"]["resourceVersion"])
