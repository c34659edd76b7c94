"""Objects that every API server makes for itself when it starts."""

from __future__ import annotations

from typing import Any

from podrun.api import names
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
    """Make the priority classes that pods may name without anybody having made them."""
    for name, content in _INITIAL_CLASSES.items():
        if store.get(_PRIORITY_CLASSES, "", name) is None:
            metadata = {
                "name": name,
                "uid": names.new_uid(),
                "generation": 1,
                "creationTimestamp": names.rfc3339(now),
            }
            obj = {"metadata": metadata, **content, "preemptionPolicy": "PreemptLowerPriority"}
            await store.create(_PRIORITY_CLASSES, obj)
