"""What a kube-apiserver refuses about pods and their templates."""

from __future__ import annotations

import re
from typing import Iterator

from .errors import FieldError, invalid_value, required, unsupported
from .jsons import Object, at, quoted

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_LABEL_SAYS = ("a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
               "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')")


def pod_template(spec: Object) -> Iterator[FieldError]:
    """The template and the selector of a StatefulSet or a Deployment."""
    selector = spec.get("selector")
    carried = at(spec, "template", "metadata", "labels") or {}
    if not selector:
        yield required("spec.selector")
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield invalid_value("spec.selector", selector, "empty selector is invalid for statefulset")
    elif any(carried.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        yield invalid_value("spec.template.metadata.labels", carried, "`selector` does not match template `labels`")
    if spec["template"]["spec"].get("restartPolicy") != "Always":
        yield unsupported("spec.template.spec.restartPolicy", spec["template"]["spec"].get("restartPolicy"), ["Always"])
    yield from pod_spec(spec["template"]["spec"], "spec.template.spec")


def pod_spec(spec: Object, path: str) -> Iterator[FieldError]:
    volumes = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        yield from _label(volume["name"], f"{path}.volumes[{index}].name")
        if volume["name"] in volumes:
            yield FieldError("FieldValueDuplicate", f"{path}.volumes[{index}].name", f"Duplicate value: {quoted(volume['name'])}")
        volumes.add(volume["name"])
        if len(volume) > 2:
            second = [name for name in volume if name != "name"][1]
            yield FieldError("FieldValueForbidden", f"{path}.volumes[{index}].{second}", "Forbidden: may not specify more than 1 volume type")
        if volume.get("secret") is not None and not volume["secret"].get("secretName"):
            yield required(f"{path}.volumes[{index}].secret.secretName")
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    names: set[str] = set()
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield from _container(container, f"{path}.{field}[{index}]", volumes, names)


def _label(name: str, field: str) -> Iterator[FieldError]:
    if not name:
        yield required(field)
    elif len(name) > 63:
        yield invalid_value(field, name, "must be no more than 63 characters")
    elif not _LABEL.match(name):
        yield invalid_value(field, name, _LABEL_SAYS)


def _container(container: Object, path: str, volumes: set[str], names: set[str]) -> Iterator[FieldError]:
    yield from _label(container["name"], f"{path}.name")
    if container["name"] in names:
        yield FieldError("FieldValueDuplicate", f"{path}.name", f"Duplicate value: {quoted(container['name'])}")
    names.add(container["name"])
    if not container.get("image"):
        yield required(f"{path}.image")
    if container.get("imagePullPolicy") not in ("Always", "IfNotPresent", "Never"):
        yield unsupported(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), ["Always", "IfNotPresent", "Never"])
    for index, port in enumerate(container.get("ports") or ()):
        if not 1 <= port["containerPort"] <= 65535:
            yield invalid_value(f"{path}.ports[{index}].containerPort", port["containerPort"], "must be between 1 and 65535, inclusive")
        name = port.get("name", "")
        if len(name) > 15:
            yield invalid_value(f"{path}.ports[{index}].name", name, "must be no more than 15 characters")
    mounted = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if mount["name"] not in volumes:
            yield FieldError("FieldValueNotFound", f"{path}.volumeMounts[{index}].name", f"Not found: {quoted(mount['name'])}")
        if not mount["mountPath"]:
            yield required(f"{path}.volumeMounts[{index}].mountPath")
        if mount["mountPath"] in mounted:
            yield invalid_value(f"{path}.volumeMounts[{index}].mountPath", mount["mountPath"], "must be unique")
        mounted.add(mount["mountPath"])
    resources = container["resources"]
    for name, requested in (resources.get("requests") or {}).items():
        limit = (resources.get("limits") or {}).get(name)
        if limit is not None and _amount(requested) > _amount(limit):
            yield invalid_value(f"{path}.resources.requests", requested, f"must be less than or equal to {name} limit of {limit}")
    context = container.get("securityContext") or {}
    if context.get("allowPrivilegeEscalation") is False and (
            context.get("privileged") or "SYS_ADMIN" in (at(context, "capabilities", "add") or ())):
        what = "`privileged` to true" if context.get("privileged") else "`capabilities.Add` to CAP_SYS_ADMIN"
        yield invalid_value(f"{path}.securityContext", context, f"cannot set `allowPrivilegeEscalation` to false and {what}")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe and not any(probe.get(handler) for handler in ("exec", "httpGet", "tcpSocket", "grpc")):
            yield required(f"{path}.{name}", "must specify a handler type")
        if probe and name != "readinessProbe" and probe.get("successThreshold") != 1:
            yield invalid_value(f"{path}.{name}.successThreshold", probe.get("successThreshold"), "must be 1")


def _amount(text: str) -> float:
    for suffix, factor in (("Ki", 2**10), ("Mi", 2**20), ("Gi", 2**30), ("Ti", 2**40), ("m", 1e-3), ("k", 1e3), ("M", 1e6), ("G", 1e9),
                           ("T", 1e12), ("u", 1e-6), ("n", 1e-9)):
        if text.endswith(suffix):
            return float(text[: -len(suffix)]) * factor
    return float(text)
