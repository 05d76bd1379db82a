"""How a test talks to the double: a unix socket, one JSON object a line, one answer a line."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter, deque
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Callable, Optional

from .app import App
from .faults import Answer, Cut, Faults
from .http import Server
from .users import User

_LARGEST_LINE = 64 << 20


class Control:
    def __init__(self, app: App, server: Server, listeners: list[tuple[str, int, Optional[ssl.SSLContext]]], stopped: asyncio.Event):
        self._app, self._server, self._listeners, self._stopped = app, server, listeners, stopped

    async def listen(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        await asyncio.start_unix_server(self._serve, path, limit=_LARGEST_LINE)
        path.chmod(0o600)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                try:
                    asked = json.loads(line)
                    work: Callable[..., Any] = getattr(self, "do_" + asked.pop("do"))
                    answer = work(**asked)
                    if asyncio.iscoroutine(answer):
                        answer = await answer
                    said: dict[str, Any] = {"answer": answer}
                except Exception as error:  # noqa: BLE001 - the test is told, whatever it was
                    said = {"error": f"{type(error).__name__}: {error}"}
                writer.write(json.dumps(said).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def do_ping(self) -> str:
        return "pong"

    def do_set(self, **values: Any) -> None:
        """chunk, join_events, join_wait, only_bookmarks"""
        known = {one.name for one in fields(Faults)}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"no fault {name}")
            setattr(self._app.faults, name, value)

    def do_release(self, name: str) -> None:
        """The release that /version names; the recorded server was built from no release."""
        self._app.version = {**self._app.version, "gitVersion": name}

    def do_answer(self, **values: Any) -> None:
        self._app.faults.answers.append(Answer(**values))

    def do_cut(self, **values: Any) -> None:
        self._app.faults.cuts.append(Cut(**values))

    def do_clear(self) -> None:
        """No faults from here on. What was counted and recorded stays."""
        faults = self._app.faults
        faults.answers.clear()
        faults.cuts.clear()
        faults.chunk = faults.join_events = 0
        faults.only_bookmarks = False

    def do_pending(self) -> list[dict[str, Any]]:
        """Answers that no request took yet."""
        return [asdict(one) for one in self._app.faults.answers]

    def do_forget(self) -> int:
        self._app.store.forget()
        return self._app.store.version

    def do_end_watches(self, resource: str = "", cut: bool = False) -> int:
        """Ends watches as a server that stops does; with `cut` every connection is dropped."""
        if cut:
            self._server.hang_up()
        watches = [one for one in self._app.hub.all() if not resource or one.resource.plural == resource]
        for watch in watches:
            watch.stop()
        return len(watches)

    def do_expire_watches(self, resource: str = "") -> int:
        """Every watch gets a 410 as an event, now."""
        from .errors import expired
        from .jsons import encode

        self._app.store.forget()
        version = self._app.store.version
        watches = [one for one in self._app.hub.all() if not resource or one.resource.plural == resource]
        for watch in watches:
            watch.push(encode({"type": "ERROR", "object": expired(f"too old resource version: {version - 1} ({version})").status()}) + b"\n")
            watch.stop()
        return len(watches)

    def do_bookmark(self, every: float = 0) -> None:
        """A bookmark to every watch that allows them; and from here on at another pace, in seconds."""
        if every:
            self._app.hub.bookmark_every = every
        for watch in self._app.hub.all():
            if watch._bookmarks:
                watch.push(watch.bookmark())

    def do_token(self, user: str, groups: list[str] = [], token: str = "", seconds: float = 0) -> str:  # noqa: B006
        wanted = [*groups, "system:authenticated"]
        if user.startswith("system:serviceaccount:"):
            namespace = user.split(":")[2]
            wanted += ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
        return self._app.tokens.add(User(user, tuple(wanted)), token, seconds)

    def do_expire(self, token: str = "", user: str = "") -> int:
        return self._app.tokens.expire(token, user)

    def do_counts(self, reset: bool = False) -> dict[str, int]:
        """Requests by `verb resource`."""
        counts = dict(self._app.faults.counts)
        if reset:
            self._app.faults.counts = Counter()
        return counts

    def do_record(self, on: bool = True, last: int = 100_000) -> None:
        self._app.faults.recorded = deque(maxlen=last) if on else None

    def do_records(self) -> list[dict[str, Any]]:
        return self._app.faults.records()

    def do_watches(self) -> dict[str, int]:
        """Open watches by resource."""
        return dict(Counter(one.resource.plural for one in self._app.hub.all()))

    def do_version(self, at_least: int = 0) -> int:
        """The resourceVersion now; raised when asked to."""
        self._app.store.version = max(self._app.store.version, at_least)
        return self._app.store.version

    def do_seed(self, object: dict[str, Any]) -> None:
        """Stores an object as it is, past every rule: what another server left."""
        resource = self._app.registry.of_kind(object["apiVersion"], object["kind"])
        if resource is None:
            raise ValueError(f"no kind {object['kind']}")
        meta = object["metadata"]
        self._app.store.put(resource.key, (meta.get("namespace", ""), meta["name"]), object)

    async def do_accept(self, on: bool = True) -> None:
        """Off: nobody listens on the ports any more, and every connection is dropped."""
        if on:
            for host, port, context in self._listeners:
                await self._server.listen(host, port, context)
        else:
            await self._server.close_listeners()
            self._server.hang_up()

    def do_save(self) -> None:
        self._app.save()

    def do_stop(self) -> None:
        self._stopped.set()
