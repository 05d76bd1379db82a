"""The resources that the double serves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Optional

from .jsons import Object
from .types import Type, document

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Custom:
    """What a CustomResourceDefinition says of one version."""

    schema: Object
    columns: tuple[Object, ...] = ()
    status: bool = False
    scale: Optional[Object] = None
    selectable: tuple[str, ...] = ()
    served_versions: tuple[str, ...] = ()
    storage_version: str = ""


@dataclass(frozen=True)
class Resource:
    group: str
    version: str
    plural: str
    kind: str
    type: Type
    namespaced: bool = True
    singular: str = ""
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    status: bool = False
    scale: bool = False
    generation: bool = False
    unconditional: bool = True  # an update without resourceVersion is taken
    create_on_update: bool = False
    storage: tuple[str, str] = ("", "")  # where its objects are kept: events have two doors
    custom: Optional[Custom] = None
    list_kind: str = ""
    hash: str = ""

    @property
    def group_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def key(self) -> tuple[str, str]:
        return self.storage if self.storage != ("", "") else (self.group, self.plural)

    @property
    def list(self) -> str:
        return self.list_kind or self.kind + "List"

    @property
    def reset(self) -> tuple[tuple[str, ...], ...]:
        """Fields that an update of the main resource does not touch."""
        return (("f:status",),) if self.status else ()

    @property
    def status_reset(self) -> tuple[tuple[str, ...], ...]:
        """Fields that an update of the status does not touch."""
        if self.custom:
            return (("f:metadata",), ("f:spec",))
        return (("f:spec",), ("f:metadata", "f:deletionTimestamp"), ("f:metadata", "f:ownerReferences"))


def _make(group: str, plural: str, kind: str, *, type: str = "", version: str = "v1", **rest: object) -> Resource:
    return Resource(group, version, plural, kind, document(type or kind), singular=kind.lower(), **rest)  # type: ignore[arg-type]


_ADMISSION = "admissionregistration.k8s.io"
_RBAC = "rbac.authorization.k8s.io"
BUILTIN: tuple[Resource, ...] = (
    _make("", "configmaps", "ConfigMap", short=("cm",), hash="qFsyl6wFWjQ="),
    _make("", "events", "Event", short=("ev",), hash="r2yiGXH7wu8="),
    _make("", "namespaces", "Namespace", namespaced=False, short=("ns",), status=True, hash="Q3oi5N2YM8M=",
          verbs=("create", "delete", "get", "list", "patch", "update", "watch")),
    _make("", "nodes", "Node", namespaced=False, short=("no",), status=True, hash="XwShjMxG9Fs="),
    _make("", "pods", "Pod", short=("po",), categories=("all",), status=True, generation=True, hash="xPOwRZ+Yhw8="),
    _make("", "secrets", "Secret", hash="S6u1pOWzb84="),
    _make("", "serviceaccounts", "ServiceAccount", short=("sa",), hash="pbx9ZvyFpBE="),
    _make("", "services", "Service", short=("svc",), categories=("all",), status=True, hash="0/CO1lhkEBI="),
    _make("apps", "controllerrevisions", "ControllerRevision", hash="85nkx63pcBU="),
    _make("apps", "deployments", "Deployment", short=("deploy",), categories=("all",), status=True, scale=True, generation=True, hash="8aSe+NMegvE="),
    _make("apps", "statefulsets", "StatefulSet", short=("sts",), categories=("all",), status=True, scale=True, generation=True, hash="H+vl74LkKdo="),
    _make("policy", "poddisruptionbudgets", "PodDisruptionBudget", short=("pdb",), status=True, generation=True, unconditional=False, hash="EVWiDmWqyJw="),
    _make("networking.k8s.io", "ingresses", "Ingress", short=("ing",), status=True, generation=True, hash="39NQlfNR+bo="),
    _make("networking.k8s.io", "networkpolicies", "NetworkPolicy", short=("netpol",), generation=True, hash="YpfwF18m1G8="),
    _make("coordination.k8s.io", "leases", "Lease", unconditional=False, create_on_update=True, hash="gqkMMb/YqFM="),
    _make("discovery.k8s.io", "endpointslices", "EndpointSlice", hash="Nx3SIv6I0mE="),
    _make("events.k8s.io", "events", "Event", type="EventsEvent", short=("ev",), storage=("", "events"), hash="r2yiGXH7wu8="),
    _make("apiextensions.k8s.io", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False, short=("crd", "crds"),
          categories=("api-extensions",), status=True, generation=True, unconditional=False, hash="jfWCUB31mvA="),
    # Kept, and never asked: requests are not held against them.
    _make(_ADMISSION, "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False, status=True, generation=True),
    _make(_ADMISSION, "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", namespaced=False, generation=True),
    _make(_RBAC, "clusterrolebindings", "ClusterRoleBinding", type="RoleBinding", namespaced=False, hash="48tpQ8gZHFc="),
    _make(_RBAC, "clusterroles", "ClusterRole", namespaced=False, hash="bYE5ZWDrJ44="),
    _make(_RBAC, "rolebindings", "RoleBinding", hash="eGsCzGH6b1g="),
    _make(_RBAC, "roles", "Role", hash="7FuwZcIIItM="),
    _make("authentication.k8s.io", "tokenreviews", "TokenReview", namespaced=False, verbs=("create",)),
    _make("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False, verbs=("create",)),
    _make("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview", namespaced=False, verbs=("create",)),
)


@dataclass
class Registry:
    """Every resource by group, version and plural. `changed` is called when a CRD comes or goes."""

    resources: dict[tuple[str, str, str], Resource] = field(default_factory=lambda: {
        (one.group, one.version, one.plural): one for one in BUILTIN})
    changed: Callable[[], None] = lambda: None

    def find(self, group: str, version: str, plural: str) -> Optional[Resource]:
        return self.resources.get((group, version, plural))

    def stored(self, key: tuple[str, str]) -> Optional[Resource]:
        """The resource that objects under a storage key are written as."""
        for one in self.resources.values():
            if (one.group, one.plural) == key and (one.custom is None or one.version == one.custom.storage_version):
                return one
        return None

    def of_kind(self, group_version: str, kind: str) -> Optional[Resource]:
        for one in self.resources.values():
            if one.group_version == group_version and one.kind == kind:
                return one
        return None

    def groups(self) -> dict[str, list[str]]:
        """Versions by group."""
        found: dict[str, list[str]] = {}
        for one in self.resources.values():
            versions = found.setdefault(one.group, [])
            if one.version not in versions:
                versions.append(one.version)
        return found

    def replace_custom(self, group: str, plural: str, resources: list[Resource]) -> None:
        for key in [key for key in self.resources if key[0] == group and key[2] == plural]:
            del self.resources[key]
        for one in resources:
            self.resources[(one.group, one.version, one.plural)] = one
        self.changed()
