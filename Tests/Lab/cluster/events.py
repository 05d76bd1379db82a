"""What the kubelet tells about a pod: events, the same thing again as a higher count, and not without end.

As client-go's tools/record (events_cache.go: a burst of 25 for each object, then one each five minutes).
"""

from __future__ import annotations

import sys
import threading
import time
import uuid
from datetime import datetime, timezone

from .api import API, APIError, Manifest

_BURST, _REFILL = 25, 300


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Events:
    """Of one pod. Any thread may tell one; what the server does not take is not told."""

    def __init__(self, api: API, pod: Manifest, node: str):
        self._api, self._node = api, node
        meta = pod["metadata"]
        self._path = f"/api/v1/namespaces/{meta['namespace']}/events"
        self._about = {"apiVersion": "v1", "kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}
        self._told: dict[tuple[str, str], tuple[str, int]] = {}
        self._left, self._refilled = float(_BURST), time.monotonic()
        self._lock = threading.Lock()

    def tell(self, reason: str, message: str, *, kind: str = "Normal", container: str = "") -> None:
        with self._lock:
            moment = time.monotonic()
            self._left = min(_BURST, self._left + (moment - self._refilled) / _REFILL)
            self._refilled = moment
            if self._left < 1:
                return
            self._left -= 1
            name, count = self._told.get((reason, message), ("", 0))
            try:
                if count:
                    self._api.patch(f"{self._path}/{name}", {"count": count + 1, "lastTimestamp": now()})
                else:
                    name = f"{self._about['name']}.{uuid.uuid4().hex[:16]}"
                    self._api.request("POST", self._path, self._event(name, reason, message, kind, container))
            except APIError as error:
                if error.status not in (0, 403, 404, 429, 500, 503):
                    print(f"event {reason}: {error}", file=sys.stderr, flush=True)
                self._told.pop((reason, message), None)
                return
            self._told[reason, message] = (name, count + 1)

    def _event(self, name: str, reason: str, message: str, kind: str, container: str) -> Manifest:
        about = {**self._about, **({"fieldPath": f"spec.containers{{{container}}}"} if container else {})}
        return {"apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": self._about["namespace"]}, "involvedObject": about,
                "reason": reason, "message": message[:1024], "type": kind, "source": {"component": "kubelet", "host": self._node},
                "firstTimestamp": now(), "lastTimestamp": now(), "count": 1, "reportingComponent": "kubelet", "reportingInstance": self._node}
