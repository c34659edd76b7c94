"""Which rules hold for which kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from podrun.api.validation import (
    classes,
    configs,
    endpoints,
    events,
    leases,
    namespaces,
    nodes,
    pod_resize,
    pod_status,
    pod_update,
    pods,
    posted,
    rbac,
    services,
    warnings,
)
from podrun.api.validation.field import Causes

Object = dict[str, Any]
Create = Callable[[Object], Causes]
Update = Callable[[Object, Object], Causes]
Warn = Callable[[Object, Object | None], Iterable[str]]


class Rules(NamedTuple):
    """The rules of a kind."""

    create: Create
    updates: dict[str, Update] = {}  # noqa: RUF012 (never changed)
    """Of the object ("") and of its subresources, by their names."""
    namespaced: bool = True
    warn: Warn | None = None


KINDS: dict[str, Rules] = {
    "Pod": Rules(
        pods.pod,
        {
            "": pod_update.pod_update,
            "status": pod_status.pod_status_update,
            "resize": pod_resize.pod_resize,
            "ephemeralcontainers": pod_update.ephemeral_containers_update,
        },
        warn=warnings.pod,
    ),
    "PodTemplate": Rules(pods.pod_template, {"": pods.pod_template_update}, warn=warnings.pod_template),
    "ConfigMap": Rules(configs.config_map, {"": configs.config_map_update}),
    "Secret": Rules(configs.secret, {"": configs.secret_update}, warn=warnings.secret),
    "ServiceAccount": Rules(
        configs.service_account, {"": configs.service_account_update}, warn=warnings.service_account
    ),
    "Namespace": Rules(
        namespaces.namespace,
        {
            "": namespaces.namespace_update,
            "status": namespaces.namespace_status_update,
            "finalize": namespaces.namespace_finalize,
        },
        namespaced=False,
    ),
    "Node": Rules(
        nodes.node,
        {"": nodes.node_update, "status": nodes.node_status_update},
        namespaced=False,
        warn=warnings.node,
    ),
    "Event": Rules(events.event, {"": events.event_update}),
    "Service": Rules(
        services.service,
        {"": services.service_update, "status": services.service_status_update},
        warn=warnings.service,
    ),
    "Endpoints": Rules(endpoints.endpoints, {"": endpoints.endpoints_update}, warn=warnings.endpoints),
    "EndpointSlice": Rules(
        endpoints.endpoint_slice, {"": endpoints.endpoint_slice_update}, warn=warnings.endpoint_slice
    ),
    "Lease": Rules(leases.lease, {"": leases.lease_update}),
    "PriorityClass": Rules(classes.priority_class, {"": classes.priority_class_update}, namespaced=False),
    "RuntimeClass": Rules(
        classes.runtime_class, {"": classes.runtime_class_update}, namespaced=False, warn=warnings.runtime_class
    ),
    "Role": Rules(rbac.role, {"": rbac.role_update}),
    "RoleBinding": Rules(rbac.role_binding, {"": rbac.role_binding_update}),
    "ClusterRole": Rules(rbac.cluster_role, {"": rbac.cluster_role_update}, namespaced=False),
    "ClusterRoleBinding": Rules(rbac.cluster_role_binding, {"": rbac.cluster_role_binding_update}, namespaced=False),
}

POSTED: dict[str, Create] = {
    "Binding": posted.binding,
    "Eviction": posted.anything,
    "TokenRequest": posted.token_request,
    "SelfSubjectAccessReview": posted.access_review,
    "SelfSubjectReview": posted.anything,
    "SelfSubjectRulesReview": posted.anything,
}
"""What is posted and never stored: nobody looks at its metadata."""
