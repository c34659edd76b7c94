"""Objects that every API server makes for itself when it starts."""

from __future__ import annotations

import asyncio
from typing import Any

from podrun.api import names
from podrun.apiserver.authorization import RBAC
from podrun.apiserver.default_roles import ANNOTATIONS, CLUSTER_ADMINS, CLUSTER_ROLES, LABELS
from podrun.store.store import Store

Object = dict[str, Any]

_PRIORITY_CLASSES = "priorityclasses.scheduling.k8s.io"
_CLUSTER_CRITICAL = 2_000_000_000
_INITIAL_CLASSES: dict[str, Object] = {
    "system-node-critical": {
        "value": _CLUSTER_CRITICAL + 1000,
        "description": "Used for system critical pods that must not be moved from their current node.",
    },
    "system-cluster-critical": {
        "value": _CLUSTER_CRITICAL,
        "description": (
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."
        ),
    },
}


async def ensure_initial_objects(store: Store, now: float) -> None:
    """Make what people name without anybody having made it: priority classes of the system, roles to bind."""
    marks: Object = {"labels": LABELS, "annotations": ANNOTATIONS}
    wanted: list[tuple[str, str, Object, Object]] = [
        (_PRIORITY_CLASSES, name, {"generation": 1}, {**content, "preemptionPolicy": "PreemptLowerPriority"})
        for name, content in _INITIAL_CLASSES.items()
    ]
    wanted += [(f"clusterroles.{RBAC}", name, marks, {"rules": rules}) for name, rules in CLUSTER_ROLES.items()]
    wanted.append((f"clusterrolebindings.{RBAC}", "cluster-admin", marks, CLUSTER_ADMINS))
    missing = []
    for resource, name, more, content in wanted:
        if store.get(resource, "", name) is None:
            metadata = {"name": name, "uid": names.new_uid(), "creationTimestamp": names.rfc3339(now), **more}
            missing.append(store.create(resource, {"metadata": metadata, **content}))
    await asyncio.gather(*missing)
