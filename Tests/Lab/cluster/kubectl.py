"""kubectl at home, with a kubeconfig of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from lab.commands import CommandFailed
from lab.namespaces import Namespace

Manifest = dict[str, Any]


class Kubectl:
    def __init__(self, host: Namespace, kubeconfig: Path):
        self.host = host
        self.base = ["kubectl", "--kubeconfig", str(kubeconfig), "--cache-dir", str(kubeconfig.parent / "kubectl-cache"),
                     "--request-timeout", "20s"]

    def __call__(self, *arguments: str, input: str | None = None, timeout: float = 60) -> str:
        """Runs it to its end and returns its standard output. Raises CommandFailed with what it said."""
        return self.host.run([*self.base, *arguments], input=input, timeout=timeout)

    def apply(self, *objects: Manifest) -> str:
        return self("apply", "-f", "-", input=yaml.safe_dump_all(objects, sort_keys=False, width=10_000))

    def refusal(self, *objects: Manifest) -> str:
        """What the server says against these objects. Raises AssertionError when it says nothing."""
        try:
            said = self.apply(*objects)
        except CommandFailed as error:
            return error.output
        raise AssertionError(f"was not refused: {said}")

    def json(self, *arguments: str) -> Manifest:
        return json.loads(self(*arguments, "-o", "json"))
