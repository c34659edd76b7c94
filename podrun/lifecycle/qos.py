"""The quality-of-service class of a pod (pkg/apis/core/v1/helper/qos), from its containers' CPU and memory."""

from __future__ import annotations

from typing import Literal

from podrun.api.pod import Pod, Resources
from podrun.api.quantity import Quantity

QosClass = Literal["Guaranteed", "Burstable", "BestEffort"]
_COUNTED = ("cpu", "memory")


def qos_class(pod: Pod) -> QosClass:
    """Guaranteed: every container has CPU and memory limits equal to its requests; BestEffort: none has either.

    Where the pod itself has resources, they alone decide (KEP-2837).
    """
    if pod.spec.resources is not None and _positive(pod.spec.resources):
        return _class_of([pod.spec.resources])
    return _class_of([c.resources for c in (*pod.spec.containers, *pod.spec.init_containers)])


def _positive(resources: Resources) -> bool:
    return any(_amount(side, name) > 0 for side in (resources.requests, resources.limits) for name in _COUNTED)


def _amount(side: dict[str, str], name: str) -> int:
    """In thousandths; 0 where it is not set."""
    return Quantity.parse(side[name]).milli_value() if name in side else 0


def _class_of(parts: list[Resources]) -> QosClass:
    if not any(_positive(part) for part in parts):
        return "BestEffort"
    for part in parts:
        for name in _COUNTED:
            limit = _amount(part.limits, name)
            if limit == 0 or (name in part.requests and _amount(part.requests, name) != limit):
                return "Burstable"
    return "Guaranteed"
