"""What a kube-apiserver refuses about built-in objects, in its words."""

from __future__ import annotations

import re
from typing import Callable, Iterator, Optional

from .errors import FieldError, forbidden_field, invalid_value, required, unsupported
from .jsons import Object, at
from .podchecks import pod_spec, pod_template

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?$")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$")
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]+$")
_SUBDOMAIN_SAYS = ("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with "
                   "an alphanumeric character (e.g. 'example.com', regex used for validation is "
                   "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')")
_LABEL_SAYS = ("a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
               "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')")
_SERVICE_SAYS = ("a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with "
                 "an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')")
_NAME_SAYS = ("name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
              "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')")
_VALUE_SAYS = ("a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
               "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
               "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')")
_MEGABYTE = 1 << 20


def metadata(obj: Object, kind: str) -> Iterator[FieldError]:
    """kind: "" of a custom resource."""
    meta = obj["metadata"]
    name = meta.get("name", "")
    if not name:
        yield required("metadata.name", "name or generateName is required")
    elif kind == "Service":
        if len(name) > 63:
            yield invalid_value("metadata.name", name, "must be no more than 63 characters")
        elif not _SERVICE.match(name):
            yield invalid_value("metadata.name", name, _SERVICE_SAYS)
    elif kind == "Namespace":
        if len(name) > 63:
            yield invalid_value("metadata.name", name, "must be no more than 63 characters")
        elif not _LABEL.match(name):
            yield invalid_value("metadata.name", name, _LABEL_SAYS)
    elif kind not in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"):
        if len(name) > 253:
            yield invalid_value("metadata.name", name, "must be no more than 253 characters")
        elif not _SUBDOMAIN.match(name):
            yield invalid_value("metadata.name", name, _SUBDOMAIN_SAYS)
    yield from labels(meta.get("labels") or {}, "metadata.labels")
    for key in meta.get("annotations") or {}:
        yield from qualified(key.lower(), "metadata.annotations")
    for finalizer in meta.get("finalizers") or ():
        yield from qualified(finalizer, "metadata.finalizers")
        if kind not in ("", "CustomResourceDefinition") and "/" not in finalizer and not finalizer.startswith("kubernetes") and finalizer not in ("orphan", "foregroundDeletion"):
            yield invalid_value("metadata.finalizers", finalizer, "name is neither a standard finalizer name nor is it fully qualified")
    for index, owner in enumerate(meta.get("ownerReferences") or ()):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                yield invalid_value(f"metadata.ownerReferences[{index}].{field}", "", "must not be empty")


def qualified(key: str, field: str) -> Iterator[FieldError]:
    prefix, slash, name = key.rpartition("/")
    if slash and not _SUBDOMAIN.match(prefix):
        yield invalid_value(field, key, "prefix part " + _SUBDOMAIN_SAYS)
    if not name:
        yield invalid_value(field, key, "name part must be non-empty")
    elif len(name) > 63:
        yield invalid_value(field, key, "name part must be no more than 63 characters")
    if not _QUALIFIED.match(name):
        yield invalid_value(field, key, _NAME_SAYS)


def labels(given: dict[str, str], field: str) -> Iterator[FieldError]:
    for key, value in given.items():
        yield from qualified(key, field)
        if len(value) > 63:
            yield invalid_value(field, value, "must be no more than 63 characters")
        elif not _VALUE.match(value):
            yield invalid_value(field, value, _VALUE_SAYS)


def check(kind: str, group: str, obj: Object, old: Optional[Object]) -> list[FieldError]:
    errors = list(metadata(obj, kind))
    if kind == "Event":
        errors += _event(obj, old) if group else ()
    else:
        checker = _CHECKERS.get(kind)
        if checker:
            errors += checker(obj, old)
    return errors


def _data_keys(obj: Object) -> Iterator[FieldError]:
    for field in ("data", "binaryData"):
        for key in obj.get(field) or {}:
            if not _DATA_KEY.match(key):
                yield invalid_value(f"{field}[{key}]", key, "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
                                    "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')")


def _config_map(obj: Object, old: Optional[Object]) -> Iterator[FieldError]:
    yield from _data_keys(obj)
    size = sum(len(value.encode()) for value in (obj.get("data") or {}).values())
    size += sum(len(value) * 3 // 4 for value in (obj.get("binaryData") or {}).values())
    if size > _MEGABYTE:
        yield FieldError("FieldValueTooLong", "", f"Too long: may not be more than {_MEGABYTE} bytes")
    if old and old.get("immutable") and any(obj.get(name) != old.get(name) for name in ("data", "binaryData", "immutable")):
        yield forbidden_field("data", "field is immutable when `immutable` is set")


def _secret(obj: Object, old: Optional[Object]) -> Iterator[FieldError]:
    yield from _data_keys(obj)
    if sum(len(value) * 3 // 4 for value in (obj.get("data") or {}).values()) > _MEGABYTE:
        yield FieldError("FieldValueTooLong", "data", f"Too long: may not be more than {_MEGABYTE} bytes")
    if old and old.get("type") != obj.get("type"):
        yield invalid_value("type", obj.get("type"), "field is immutable")
    if obj.get("type") == "kubernetes.io/tls":
        for key in ("tls.crt", "tls.key"):
            if key not in (obj.get("data") or {}):
                yield required(f"data[{key}]")
    if old and old.get("immutable") and obj.get("data") != old.get("data"):
        yield forbidden_field("data", "field is immutable when `immutable` is set")


def _service(obj: Object, old: Optional[Object]) -> Iterator[FieldError]:
    spec = obj["spec"]
    headless = spec.get("clusterIP") == "None"
    ports = spec.get("ports") or []
    if not ports and not headless and spec.get("type") != "ExternalName":
        yield required("spec.ports")
    for index, port in enumerate(ports):
        if len(ports) > 1 and not port.get("name"):
            yield required(f"spec.ports[{index}].name")
        if not 1 <= port["port"] <= 65535:
            yield invalid_value(f"spec.ports[{index}].port", port["port"], "must be between 1 and 65535, inclusive")
        if port.get("protocol") not in ("TCP", "UDP", "SCTP"):
            yield unsupported(f"spec.ports[{index}].protocol", port.get("protocol"), ["SCTP", "TCP", "UDP"])
    yield from labels(spec.get("selector") or {}, "spec.selector")
    if spec.get("type") not in ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"):
        yield unsupported("spec.type", spec.get("type"), ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"])
    before = at(old, "spec", "clusterIP")
    if before and before != spec.get("clusterIP"):
        yield invalid_value("spec.clusterIPs[0]", spec.get("clusterIPs"), "may not change once set")


def _lease(obj: Object, old: Optional[Object]) -> Iterator[FieldError]:
    spec = obj["spec"]
    if spec.get("holderIdentity") == "":
        yield invalid_value("spec.holderIdentity", "", "must not be empty")
    if spec.get("leaseDurationSeconds") is not None and spec["leaseDurationSeconds"] <= 0:
        yield invalid_value("spec.leaseDurationSeconds", spec["leaseDurationSeconds"], "must be greater than 0")
    if spec.get("leaseTransitions") is not None and spec["leaseTransitions"] < 0:
        yield invalid_value("spec.leaseTransitions", spec["leaseTransitions"], "must be greater than or equal to 0")


def _event(obj: Object, old: Optional[Object]) -> Iterator[FieldError]:
    """events.k8s.io/v1; of an update nothing but the series may differ."""
    if not obj.get("eventTime"):
        yield required("eventTime")
    namespace = obj["metadata"].get("namespace", "")
    about = at(obj, "regarding", "namespace") or ""
    if about and about != namespace or not about and namespace not in ("default", "kube-system"):
        yield invalid_value("regarding.namespace", about, "does not match event.namespace")
    if old is None:
        for field in ("reportingController", "reportingInstance", "action", "reason"):
            if not obj.get(field):
                yield required(field)
        if len(obj.get("reportingInstance", "")) > 128:
            yield invalid_value("reportingInstance", "", "can have at most 128 characters")
        if len(obj.get("action", "")) > 128:
            yield invalid_value("action", "", "can have at most 128 characters")
        if len(obj.get("reason", "")) > 128:
            yield invalid_value("reason", "", "can have at most 128 characters")
        if len(obj.get("note", "").encode()) > 1024:
            yield invalid_value("message", "", "can have at most 1024 characters")
        if obj.get("type") not in ("Normal", "Warning"):
            yield invalid_value("type", "", f"has invalid value: {obj.get('type', '')}")
    else:
        for field in ("regarding", "reason", "note", "type", "action", "related", "reportingController", "reportingInstance", "eventTime"):
            if obj.get(field) != old.get(field):
                core = {"regarding": "involvedObject", "note": "message", "reportingController": "reportingComponent"}.get(field, field)
                yield invalid_value(core, obj.get(field), "field is immutable")
    series = obj.get("series")
    if series is not None and series.get("count", 0) < 2:
        yield invalid_value("series.count", "", "should be at least 2")


def _budget(obj: Object, old: Optional[Object]) -> Iterator[FieldError]:
    spec = obj["spec"]
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        yield invalid_value("spec", spec, "minAvailable and maxUnavailable cannot be both set")


_STATEFUL_SAYS = ("updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
                  "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden")
_STATEFUL_OPEN = {"replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy",
                  "minReadySeconds"}


def _stateful_set(obj: Object, old: Optional[Object]) -> Iterator[FieldError]:
    spec = obj["spec"]
    if spec["podManagementPolicy"] not in ("OrderedReady", "Parallel"):
        yield invalid_value("spec.podManagementPolicy", spec["podManagementPolicy"], 'must be "OrderedReady" or "Parallel"')
    if spec["replicas"] < 0:
        yield invalid_value("spec.replicas", spec["replicas"], "must be greater than or equal to 0")
    yield from pod_template(spec)
    if old:
        before = old["spec"]
        if any(spec.get(name) != before.get(name) for name in {*spec, *before} - _STATEFUL_OPEN):
            yield forbidden_field("spec", _STATEFUL_SAYS)


def _deployment(obj: Object, old: Optional[Object]) -> Iterator[FieldError]:
    yield from pod_template(obj["spec"])
    if old and old["spec"]["selector"] != obj["spec"]["selector"]:
        yield invalid_value("spec.selector", obj["spec"]["selector"], "field is immutable")


def _pod(obj: Object, old: Optional[Object]) -> Iterator[FieldError]:
    yield from pod_spec(obj["spec"], "spec")
    if old:
        free = {"activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations", "nodeName", "schedulingGates", "nodeSelector"}
        same = {name: value for name, value in obj["spec"].items() if name not in free}
        before = {name: value for name, value in old["spec"].items() if name not in free}
        for spec in (same, before):
            for field in ("containers", "initContainers"):
                spec[field] = [{**one, "image": ""} for one in spec.get(field) or ()]
        if same != before:
            yield forbidden_field("spec", "pod updates may not change fields other than `spec.containers[*].image`,"
                                  "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
                                  "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)")


def _binding(obj: Object, old: Optional[Object]) -> Iterator[FieldError]:
    if not obj["roleRef"].get("name"):
        yield required("roleRef.name")
    if old and old["roleRef"] != obj["roleRef"]:
        yield invalid_value("roleRef", obj["roleRef"], "cannot change roleRef")


_CHECKERS: dict[str, Callable[[Object, Optional[Object]], Iterator[FieldError]]] = {
    "ConfigMap": _config_map, "Secret": _secret, "Service": _service, "Lease": _lease, "PodDisruptionBudget": _budget,
    "StatefulSet": _stateful_set, "Deployment": _deployment, "Pod": _pod, "RoleBinding": _binding, "ClusterRoleBinding": _binding,
}
