"""The one table of what is served: a further kind is a row here.

A resource is named by its plural with the group after a dot (`pods`, `leases.coordination.k8s.io`), everywhere. The
rows say what Kubernetes' discovery says of them (reference/discovery.json); what a kind *does* hangs on its name in
the rooms that do it (defaults, validation, tables, controllers).

Only what is stored and has its effect stands here: a kind that would do nothing is refused by kubectl itself ("no
matches for kind"), which is honest.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]

STORED_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
STATUS_VERBS = ("get", "patch", "update")


@dataclass(frozen=True, slots=True)
class Subresource:
    """What hangs below an object: `pods/log`. Group and version are given where they differ from the parent's."""

    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object, and how it is asked for.

    `stored` is False for what is answered at once and kept nowhere (reviews, bindings, metrics). `alias_of` names the
    resource whose objects this one shows in another group's form (events of events.k8s.io).
    """

    plural: str
    kind: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = STORED_VERBS
    subresources: Mapping[str, Subresource] = field(default_factory=dict)
    stored: bool = True
    alias_of: str = ""
    deprecation: str = ""
    """What every answer warns of, where Kubernetes wants clients to leave the kind."""

    @property
    def resource(self) -> str:
        """The plural with its group: the key of the store and the name in messages."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        """The kind with its group, as refusals spell it: `Lease.coordination.k8s.io`."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def api_version(self) -> str:
        """`v1` or `coordination.k8s.io/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def list_kind(self) -> str:
        return f"{self.kind}List"

    @property
    def singular_name(self) -> str:
        return self.singular or self.kind.lower()

    @property
    def has_status(self) -> bool:
        """Whether the status is written through its own subresource and ignored elsewhere."""
        return "status" in self.subresources

    @property
    def storage_version_hash(self) -> str:
        """What discovery shows so that clients see when a kind's stored form changes (apiserver's own formula)."""
        text = f"{self.group}/{self.version}/{self.kind}" if not self.alias_of else f"/v1/{self.kind}"
        return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def _status(kind: str) -> Subresource:
    return Subresource(kind, STATUS_VERBS)


_NODE = {
    "proxy": Subresource("NodeProxyOptions", ("get",)),
    "status": _status("Node"),
}
_POD = {
    "attach": Subresource("PodAttachOptions", ("create", "get")),
    "binding": Subresource("Binding", ("create",)),
    "ephemeralcontainers": _status("Pod"),
    "eviction": Subresource("Eviction", ("create",), group="policy", version="v1"),
    "exec": Subresource("PodExecOptions", ("create", "get")),
    "log": Subresource("Pod", ("get",)),
    "portforward": Subresource("PodPortForwardOptions", ("create", "get")),
    "resize": _status("Pod"),
    "status": _status("Pod"),
}
_NAMESPACE = {
    "finalize": Subresource("Namespace", ("update",)),
    "status": _status("Namespace"),
}
_SERVICE_ACCOUNT = {
    "token": Subresource("TokenRequest", ("create",), group="authentication.k8s.io", version="v1"),
}
_SERVICE = {"status": _status("Service")}
_ENDPOINTS_DEPRECATED = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
_NAMESPACE_VERBS = tuple(verb for verb in STORED_VERBS if verb != "deletecollection")
_AUTHENTICATION = "authentication.k8s.io"
_AUTHORIZATION = "authorization.k8s.io"
_RBAC = "rbac.authorization.k8s.io"


def _review(plural: str, kind: str, group: str, *, namespaced: bool = False) -> Kind:
    return Kind(plural, kind, group, namespaced=namespaced, verbs=("create",), stored=False)


def _measured(plural: str, kind: str, *, namespaced: bool) -> Kind:
    return Kind(plural, kind, "metrics.k8s.io", "v1beta1", namespaced=namespaced, verbs=("get", "list"), stored=False)


_ROWS = (
    Kind("bindings", "Binding", verbs=("create",), stored=False),
    Kind("configmaps", "ConfigMap", short_names=("cm",)),
    Kind("endpoints", "Endpoints", short_names=("ep",), deprecation=_ENDPOINTS_DEPRECATED),
    Kind("events", "Event", short_names=("ev",)),
    Kind(
        "namespaces",
        "Namespace",
        namespaced=False,
        short_names=("ns",),
        verbs=_NAMESPACE_VERBS,
        subresources=_NAMESPACE,
    ),
    Kind("nodes", "Node", namespaced=False, short_names=("no",), subresources=_NODE),
    Kind("pods", "Pod", short_names=("po",), categories=("all",), subresources=_POD),
    Kind("podtemplates", "PodTemplate"),
    Kind("secrets", "Secret"),
    Kind("serviceaccounts", "ServiceAccount", short_names=("sa",), subresources=_SERVICE_ACCOUNT),
    Kind("services", "Service", short_names=("svc",), categories=("all",), subresources=_SERVICE),
    Kind("events", "Event", "events.k8s.io", short_names=("ev",), alias_of="events"),
    _review("selfsubjectreviews", "SelfSubjectReview", _AUTHENTICATION),
    _review("tokenreviews", "TokenReview", _AUTHENTICATION),
    _review("localsubjectaccessreviews", "LocalSubjectAccessReview", _AUTHORIZATION, namespaced=True),
    _review("selfsubjectaccessreviews", "SelfSubjectAccessReview", _AUTHORIZATION),
    _review("selfsubjectrulesreviews", "SelfSubjectRulesReview", _AUTHORIZATION),
    _review("subjectaccessreviews", "SubjectAccessReview", _AUTHORIZATION),
    Kind("clusterrolebindings", "ClusterRoleBinding", _RBAC, namespaced=False),
    Kind("clusterroles", "ClusterRole", _RBAC, namespaced=False),
    Kind("rolebindings", "RoleBinding", _RBAC),
    Kind("roles", "Role", _RBAC),
    Kind("leases", "Lease", "coordination.k8s.io"),
    Kind("endpointslices", "EndpointSlice", "discovery.k8s.io"),
    # Clients look whether there are any (k9s does at its start); none can be made.
    Kind(
        "customresourcedefinitions",
        "CustomResourceDefinition",
        "apiextensions.k8s.io",
        namespaced=False,
        short_names=("crd", "crds"),
        categories=("api-extensions",),
        verbs=("get", "list", "watch"),
    ),
    Kind("runtimeclasses", "RuntimeClass", "node.k8s.io", namespaced=False),
    Kind("priorityclasses", "PriorityClass", "scheduling.k8s.io", namespaced=False, short_names=("pc",)),
    _measured("nodes", "NodeMetrics", namespaced=False),
    _measured("pods", "PodMetrics", namespaced=True),
)

KINDS: Mapping[str, Kind] = {row.resource: row for row in _ROWS}
"""Every served kind by its resource."""

BY_KIND: Mapping[tuple[str, str, str], Kind] = {(row.group, row.version, row.kind): row for row in _ROWS}
"""Every served kind by (group, version, kind)."""

BY_PATH: Mapping[tuple[str, str, str], Kind] = {(row.group, row.version, row.plural): row for row in _ROWS}
"""Every served kind by (group, version, plural), as a request's path names it."""


def group_versions() -> list[tuple[str, str]]:
    """Every (group, version) that is served, the core group first, in the order of the table."""
    return list(dict.fromkeys((row.group, row.version) for row in _ROWS))


def kind_of(obj: Object) -> Kind | None:
    """The row of an object by its apiVersion and kind."""
    group, _, version = str(obj.get("apiVersion", "")).rpartition("/")
    return BY_KIND.get((group, version, str(obj.get("kind", ""))))
