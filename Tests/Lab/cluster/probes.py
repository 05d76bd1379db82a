"""Probes: httpGet, tcpSocket, to the pod's address from its node, counted as the kubelet counts."""

from __future__ import annotations

import http.client
import threading
from typing import Callable

from lab.namespaces import Namespace

from .api import Manifest


class Probe:
    """One probe of one run of a container. `report(success)` is called when the counted result changes, from a thread of its own."""

    def __init__(self, fields: Manifest, container: Manifest, seen_from: Namespace, address: str, *, initially: bool,
                 report: Callable[[bool, str], None]):
        self.fields = fields
        self.container = container
        self.seen_from = seen_from
        self.address = address
        self.result = initially
        self.report = report
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name=f"probe {address}", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        delay, period = self.fields.get("initialDelaySeconds", 0), self.fields.get("periodSeconds", 10)
        needed = {True: self.fields.get("successThreshold", 1), False: self.fields.get("failureThreshold", 3)}
        last, count = None, 0
        self._stopped.wait(delay)
        while not self._stopped.is_set():
            success, why = self._once()
            count = count + 1 if success == last else 1
            last = success
            if count >= needed[success] and success != self.result and not self._stopped.is_set():
                self.result = success
                self.report(success, why)
            self._stopped.wait(period)

    def _once(self) -> tuple[bool, str]:
        timeout = self.fields.get("timeoutSeconds", 1)
        kind = next((one for one in ("httpGet", "tcpSocket") if one in self.fields), None)
        if kind is None:
            return False, f"the lab emulates no probe of the kind {sorted(self.fields)}"
        port = self._port(self.fields[kind]["port"])
        try:
            with self.seen_from.connect(self.address, port, timeout=timeout) as opened:
                if kind == "tcpSocket":
                    return True, ""
                connection = http.client.HTTPConnection(self.address, port, timeout=timeout)
                connection.sock = opened
                connection.request("GET", self.fields[kind].get("path", "/"), headers={"User-Agent": "kube-probe/1.36", "Connection": "close"})
                answer = connection.getresponse()
                text = answer.read(10240).decode(errors="replace").strip()
                return 200 <= answer.status < 400, f"HTTP probe failed with statuscode: {answer.status}: {text}"
        except (OSError, http.client.HTTPException) as error:
            return False, f"{type(error).__name__}: {error}"

    def _port(self, port: int | str) -> int:
        if isinstance(port, int):
            return port
        return next(one["containerPort"] for one in self.container.get("ports", []) if one.get("name") == port)
