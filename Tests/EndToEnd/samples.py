"""The manifests of deploy/samples, for the lab's VPS."""

from __future__ import annotations

import yaml

from lab import paths
from lab.network import VPS

SAMPLES = paths.REPOSITORY / "deploy/samples"
EDGE_NAME = "edge.example.test"


def sample(name: str) -> list[dict]:
    """The objects of one sample file, an EdgeNode's address replaced by the lab's VPS."""
    objects = [one for one in yaml.safe_load_all((SAMPLES / name).read_text()) if one]
    for one in objects:
        if one["kind"] == "EdgeNode":
            one["spec"]["address"] = VPS
    return objects


def high_availability() -> list[dict]:
    """Example 4's EdgeNode under the name of example 1's, for the VPS that has that one's ports."""
    node = next(one for one in sample("4-high-availability.yaml") if one["kind"] == "EdgeNode")
    return [{**node, "metadata": {**node["metadata"], "name": "edge-node"}}]
