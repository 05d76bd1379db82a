"""Helm's own engine on charts and on an API server: lint, render, and releases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Optional

from . import packages
from .jsons import Object

_sdk: Any = packages.load("helm_python", Path(__file__).with_name("helm-requirements.txt"))
# Any failure of Helm; its text is what the command would have printed.
HelmError: type[Exception] = _sdk.HelmError


def render(chart: Path, values: Object, *, release: str = "tunnel", namespace: str = "tunnel") -> dict[str, str]:
    """`helm template`: text by the template's path in the chart. Raises HelmError, also for values that the schema refuses."""
    with _sdk.Chart.load(chart) as loaded:
        loaded.validate_schema(values)
        rendered: dict[str, str] = loaded.render(values, name=release, namespace=namespace)
        return {path.partition("/")[2]: text for path, text in rendered.items()}


def lint(chart: Path, values: Object) -> list[str]:
    """`helm lint --strict`: its findings of the severities warning and error."""
    report = _sdk.lint(chart, values, strict=True)
    found = [f"{one['path']}: {one['error']}" for one in report["messages"] if one["severity"] >= 2]
    return found + [one for one in report["errors"] if one not in found]


def package(chart: Path, folder: Path) -> Path:
    """`helm package`: the archive."""
    return Path(_sdk.package(chart, destination=folder))


class Releases:
    """Releases in one namespace of a cluster, by a kubeconfig. To be closed."""

    def __init__(self, kubeconfig: Path, namespace: str = "tunnel"):
        self._config = _sdk.Config(kubeconfig_path=kubeconfig, namespace=namespace)
        self._namespace = namespace

    def close(self) -> None:
        self._config.close()

    def install(self, chart: Path, values: Optional[Object] = None, *, name: str = "tunnel", **options: Any) -> Object:
        """`helm install --create-namespace`. Options as the library has them: take_ownership, force_conflicts, server_side_apply …"""
        return self._call("helm_install", chart, name, values, {"create_namespace": True, **options})

    def upgrade(self, chart: Path, values: Optional[Object] = None, *, name: str = "tunnel", **options: Any) -> Object:
        """`helm upgrade`; also reuse_values."""
        return self._call("helm_upgrade", chart, name, values, options)

    def _call(self, function: str, chart: Path, name: str, values: Optional[Object], options: Object) -> Object:
        # By hand: the package's own methods lack half of the library's options.
        native = _sdk._native
        with _sdk.Chart.load(chart) as loaded:
            said = native.call_string(function, self._config._raw(), native.HANDLE(0), loaded._raw(), None, name, json.dumps(values or {}),
                                      json.dumps({"namespace": self._namespace, "timeout_seconds": 60, **options}))
        return dict(json.loads(said))

    def uninstall(self, name: str = "tunnel") -> Object:
        return dict(self._config.uninstall(name))

    def history(self, name: str = "tunnel") -> list[Object]:
        return list(self._config.history(name))

    def notes(self, name: str = "tunnel") -> str:
        return str(self._config.get_all(name)["info"].get("notes", ""))
