"""Cluster addresses of Services, from 10.96.0.0/12, kubeadm's range."""

from __future__ import annotations

import ipaddress
import itertools

from .errors import ApiError, invalid, invalid_value
from .jsons import Object
from .store import Store

_RANGE = ipaddress.ip_network("10.96.0.0/12")


class Pool:
    def __init__(self, store: Store):
        self._used: set[str] = set()
        self._next = itertools.cycle(range(10, _RANGE.num_addresses - 2))
        for stored in store.all(("", "services")):
            self._used.update(stored.obj["spec"].get("clusterIPs") or ())

    def fill(self, obj: Object) -> None:
        spec = obj["spec"]
        if spec.get("type") == "ExternalName":
            return
        wanted = spec.get("clusterIP") or (spec.get("clusterIPs") or [""])[0]
        if wanted and wanted != "None":
            if wanted in self._used:
                raise self._refused(obj, wanted, "failed to allocate IP " + wanted + ": provided IP is already allocated")
            try:
                inside = ipaddress.ip_address(wanted) in _RANGE
            except ValueError:
                raise self._refused(obj, wanted, "must be a valid IP address") from None
            if not inside:
                raise self._refused(obj, wanted, f"failed to allocate IP {wanted}: the provided IP ({wanted}) is not in the valid range. "
                                    f"The range of valid IPs is {_RANGE}")
        elif not wanted:
            wanted = next(text for text in (str(_RANGE[index]) for index in self._next) if text not in self._used)
        if wanted != "None":
            self._used.add(wanted)
        spec.update(clusterIP=wanted, clusterIPs=[wanted], ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")

    def keep(self, obj: Object, old: Object) -> None:
        """An update that does not name the address keeps it."""
        spec, before = obj["spec"], old["spec"]
        if spec.get("type") == "ExternalName":
            for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                spec.pop(field, None)
            return
        if before.get("type") == "ExternalName":
            self.fill(obj)
            return
        for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if not spec.get(field) and field in before:
                spec[field] = before[field]

    def free(self, obj: Object) -> None:
        if obj.get("kind") == "Service":
            self._used.difference_update((obj.get("spec") or {}).get("clusterIPs") or ())

    def _refused(self, obj: Object, wanted: str, why: str) -> ApiError:
        return invalid("Service", "", obj["metadata"]["name"], [invalid_value("spec.clusterIPs", [wanted], why)])
