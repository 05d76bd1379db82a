"""kube-proxy: what the Services' addresses lead to.

There are no pods behind the lab's Services. Instead of an EndpointSlice a Service says by annotation where its backend is; each of its
ports leads to that address's `targetPort`. One without the annotation answers nobody, as a Service without endpoints.
"""

from __future__ import annotations

from .api import Manifest
from .nodes import Endpoint

BACKEND = "lab.example.test/backend"


def endpoints(services: list[Manifest]) -> dict[Endpoint, Endpoint]:
    """The way from each Service's (protocol, cluster IP, port)."""
    found = {}
    for service in services:
        backend = service["metadata"].get("annotations", {}).get(BACKEND)
        addresses = service["spec"].get("clusterIPs") or [service["spec"].get("clusterIP")]
        for address in addresses:
            if not backend or not address or address == "None" or ":" in address:
                continue
            for port in service["spec"].get("ports", []):
                protocol, target = port.get("protocol", "TCP").lower(), port.get("targetPort", port["port"])
                if isinstance(target, int) and protocol in ("tcp", "udp"):
                    found[Endpoint(protocol, address, port["port"])] = Endpoint(protocol, backend, target)
    return found
