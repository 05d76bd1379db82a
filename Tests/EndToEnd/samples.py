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
