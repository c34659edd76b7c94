"""The cluster roles that people bind everywhere: cluster-admin, admin, edit and view, for what is served here."""

from __future__ import annotations

from typing import Any

from podrun.apiserver.authorization import RBAC
from podrun.apiserver.users import MASTERS

Object = dict[str, Any]

_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_ALL = [*_WRITE, *_READ]
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
ANNOTATIONS = {"rbac.authorization.kubernetes.io/autoupdate": "true"}


def _rule(verbs: list[str], groups: list[str], *resources: str) -> Object:
    return {"verbs": verbs, "apiGroups": groups, "resources": list(resources)}


_STREAMS = ("pods/attach", "pods/exec", "pods/portforward")
_VIEW = [
    _rule(_READ, [""], "configmaps", "endpoints", "pods", "serviceaccounts", "services", "services/status"),
    _rule(_READ, [""], "bindings", "namespaces", "namespaces/status", "pods/log", "pods/status"),
    _rule(_READ, ["", "events.k8s.io"], "events"),
    _rule(_READ, ["discovery.k8s.io"], "endpointslices"),
    _rule(_READ, ["metrics.k8s.io"], "nodes", "pods"),
]
_EDIT = [
    *_VIEW,
    _rule(_READ, [""], *_STREAMS, "secrets"),
    _rule(["impersonate"], [""], "serviceaccounts"),
    _rule(_WRITE, [""], "pods", *_STREAMS),
    _rule(["create"], [""], "pods/eviction", "serviceaccounts/token"),
    _rule(_WRITE, [""], "configmaps", "secrets", "serviceaccounts", "services"),
    _rule(_WRITE, ["", "events.k8s.io"], "events"),
    _rule(_ALL, ["coordination.k8s.io"], "leases"),
]
_ADMIN = [
    *_EDIT,
    _rule(["create"], ["authorization.k8s.io"], "localsubjectaccessreviews"),
    _rule(_ALL, [RBAC], "rolebindings", "roles"),
]

CLUSTER_ROLES: dict[str, list[Object]] = {
    "cluster-admin": [_rule(["*"], ["*"], "*"), {"verbs": ["*"], "nonResourceURLs": ["*"]}],
    "admin": _ADMIN,
    "edit": _EDIT,
    "view": _VIEW,
}
"""Their rules by name."""

CLUSTER_ADMINS: Object = {
    "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": MASTERS}],
}
"""The binding `cluster-admin`."""
