"""Which node a pod goes to: nodeSelector, and anti-affinity by host name, required or preferred."""

from __future__ import annotations

from .api import Manifest
from .nodes import Node


def choose(pod: Manifest, nodes: list[Node], others: list[Manifest]) -> Node | None:
    """The fitting node with the fewest pods like it; nil when none fits."""
    selector = pod["spec"].get("nodeSelector") or {}
    fitting = [node for node in nodes if selector.items() <= node.labels.items()]
    anti = (pod["spec"].get("affinity") or {}).get("podAntiAffinity") or {}
    required = anti.get("requiredDuringSchedulingIgnoredDuringExecution") or []
    preferred = [one["podAffinityTerm"] for one in anti.get("preferredDuringSchedulingIgnoredDuringExecution") or []]
    def crowd(node: Node, terms: list[Manifest]) -> int:
        here = [one for one in others if one["spec"].get("nodeName") == node.name
                and one["metadata"]["namespace"] == pod["metadata"]["namespace"]]
        return sum(1 for one in here if any(_matches(term, one) for term in terms))
    fitting = [node for node in fitting if crowd(node, required) == 0]
    def load(node: Node) -> tuple[int, int, str]:
        return crowd(node, preferred), sum(1 for one in others if one["spec"].get("nodeName") == node.name), node.name
    return min(fitting, key=load, default=None)


def _matches(term: Manifest, pod: Manifest) -> bool:
    labels, selector = pod["metadata"].get("labels", {}), term.get("labelSelector") or {}
    if not (selector.get("matchLabels") or {}).items() <= labels.items():
        return False
    for one in selector.get("matchExpressions") or []:
        value, values = labels.get(one["key"]), one.get("values", [])
        holds = {"In": value in values, "NotIn": value not in values, "Exists": value is not None, "DoesNotExist": value is None}
        if not holds[one["operator"]]:
            return False
    return True
