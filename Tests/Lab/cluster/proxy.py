"""kube-proxy: what the Services' addresses lead to.

A Service with a selector leads to one of its pods that are ready, the first by name. There are no pods behind most of the lab's Services: instead
of an EndpointSlice these say by annotation where their backend is; each of its ports leads to that address's `targetPort`. One with neither
answers nobody, as a Service without endpoints.
"""

from __future__ import annotations

from .api import Manifest
from .nodes import Endpoint
from .statefulsets import is_ready, is_terminating

BACKEND = "lab.example.test/backend"


def _pod(service: Manifest, pods: list[Manifest]) -> str | None:
    """The address of the pod that stands for all."""
    selector = service["spec"].get("selector") or {}
    found = [pod for pod in pods if selector and pod["metadata"]["namespace"] == service["metadata"]["namespace"] and is_ready(pod)
             and not is_terminating(pod) and selector.items() <= pod["metadata"].get("labels", {}).items()]
    return min(found, key=lambda pod: pod["metadata"]["name"])["status"].get("podIP") if found else None


def endpoints(services: list[Manifest], pods: list[Manifest]) -> dict[Endpoint, Endpoint]:
    """The way from each Service's (protocol, cluster IP, port)."""
    found = {}
    for service in services:
        backend = service["metadata"].get("annotations", {}).get(BACKEND) or _pod(service, pods)
        addresses = service["spec"].get("clusterIPs") or [service["spec"].get("clusterIP")]
        for address in addresses:
            if not backend or not address or address == "None" or ":" in address:
                continue
            for port in service["spec"].get("ports", []):
                protocol, target = port.get("protocol", "TCP").lower(), port.get("targetPort", port["port"])
                if isinstance(target, int) and protocol in ("tcp", "udp"):
                    found[Endpoint(protocol, address, port["port"])] = Endpoint(protocol, backend, target)
    return found
