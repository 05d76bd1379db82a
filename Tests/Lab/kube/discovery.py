"""/api, /apis and what is under them; aggregated as kubectl asks for it."""

from __future__ import annotations

from typing import Optional

from .jsons import Object
from .resources import Registry, Resource

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
VERSION: Object = {
    "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36", "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
    "gitVersion": "v0.0.0-master+$Format:%H$", "gitCommit": "$Format:%H$", "gitTreeState": "", "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "go1.26.6", "compiler": "gc", "platform": "linux/amd64"}


def _of(registry: Registry, group: str, version: str) -> list[Resource]:
    return [one for (its_group, its_version, _), one in registry.resources.items() if (its_group, its_version) == (group, version)]


def resource_list(registry: Registry, group: str, version: str) -> Optional[Object]:
    found = _of(registry, group, version)
    if not found:
        return None
    entries = []
    for one in sorted(found, key=lambda one: one.plural) if not found[0].custom else found:
        entry: Object = {"name": one.plural, "singularName": one.singular, "namespaced": one.namespaced, "kind": one.kind, "verbs": list(one.verbs)}
        if one.short:
            entry["shortNames"] = list(one.short)
        if one.categories:
            entry["categories"] = list(one.categories)
        if one.hash:
            entry["storageVersionHash"] = one.hash
        entries.append(entry)
        for name, kind, sub in _subresources(one):
            entries.append({"name": f"{one.plural}/{name}", "singularName": "", "namespaced": one.namespaced, **kind, "verbs": sub})
    head = {"kind": "APIResourceList"} | ({"apiVersion": "v1"} if group else {})
    return {**head, "groupVersion": f"{group}/{version}" if group else version, "resources": entries}


def _subresources(one: Resource) -> list[tuple[str, Object, list[str]]]:
    found: list[tuple[str, Object, list[str]]] = []
    if one.scale:
        found.append(("scale", {"group": "autoscaling", "version": "v1", "kind": "Scale"}, ["get", "patch", "update"]))
    if one.status:
        found.append(("status", {"kind": one.kind}, ["get", "patch", "update"]))
    if one.key == ("", "serviceaccounts"):
        found.append(("token", {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"}, ["create"]))
    return found


def group(registry: Registry, name: str) -> Optional[Object]:
    versions = registry.groups().get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)} if versions and name else None


def _group(name: str, versions: list[str]) -> Object:
    shown = [{"groupVersion": f"{name}/{one}", "version": one} for one in versions]
    return {"name": name, "versions": shown, "preferredVersion": shown[0]}


def groups(registry: Registry) -> Object:
    return {"kind": "APIGroupList", "apiVersion": "v1",
            "groups": [_group(name, versions) for name, versions in registry.groups().items() if name]}


def core_versions(address: str) -> Object:
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]}


def aggregated(registry: Registry, core: bool) -> Object:
    items = []
    for name, versions in registry.groups().items():
        if bool(name) == core:
            continue
        shown = []
        for version in versions:
            resources = []
            for one in sorted(_of(registry, name, version), key=lambda one: one.plural):
                entry: Object = {"resource": one.plural, "responseKind": {"group": one.group, "version": one.version, "kind": one.kind},
                                 "scope": "Namespaced" if one.namespaced else "Cluster", "singularResource": one.singular}
                entry["verbs"] = list(one.verbs)
                if one.short:
                    entry["shortNames"] = list(one.short)
                if one.categories:
                    entry["categories"] = list(one.categories)
                below = []
                for sub, kind, verbs in _subresources(one):
                    answer = {"group": kind.get("group", one.group), "version": kind.get("version", one.version), "kind": kind["kind"]}
                    below.append({"subresource": sub, "responseKind": answer, "verbs": verbs})
                if below:
                    entry["subresources"] = below
                resources.append(entry)
            shown.append({"version": version, "resources": resources, "freshness": "Current"})
        items.append({"metadata": {"name": name} if name else {}, "versions": shown})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}
