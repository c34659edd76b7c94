"""What a pod asks for in all: requests and limits of its containers put together, and its quality of service.

Objects are pods as on the wire, results map resource names to quantities. The formula is KEP-753's: an init container
needs itself and the sidecars before it; sidecars and containers run together; the pod needs the larger of both. Values
at the pod's level (KEP-2837) replace the sum for CPU, memory and huge pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from podrun.api.quantity import Quantity

Object = dict[str, Any]
Amounts = dict[str, Quantity]

HUGEPAGES = "hugepages-"
_QOS_RESOURCES = ("cpu", "memory")


def containers_total(pod: Object, what: str) -> Amounts:
    """The sum over the pod's containers of their `requests` or `limits` (which of the two is `what`)."""
    spec = pod.get("spec") or {}
    total: Amounts = {}
    for container in spec.get("containers") or ():
        _add(total, amounts(container, what))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        own = amounts(container, what)
        if container.get("restartPolicy") == "Always":
            _add(total, own)
            _add(sidecars, own)
            _raise(peak, sidecars)
        else:
            _add(own, sidecars)
            _raise(peak, own)
    _raise(total, peak)
    return total


def pod_requests(pod: Object) -> Amounts:
    """What the scheduler and the kubelet count for the pod, overhead included."""
    spec = pod.get("spec") or {}
    total = containers_total(pod, "requests")
    total.update(_pod_level(spec, "requests"))
    _add(total, {name: Quantity.of(value) for name, value in (spec.get("overhead") or {}).items()})
    return total


def pod_limits(pod: Object) -> Amounts:
    """The pod's limits; overhead counts for the resources that have one."""
    spec = pod.get("spec") or {}
    total = containers_total(pod, "limits")
    total.update(_pod_level(spec, "limits"))
    for name, value in (spec.get("overhead") or {}).items():
        if total.get(name):
            total[name] = total[name] + Quantity.of(value)
    return total


def qos_class(pod: Object) -> str:
    """Guaranteed, Burstable or BestEffort (pkg/apis/core/v1/helper/qos)."""
    spec = pod.get("spec") or {}
    if any(_positive(_pod_level(spec, what)) for what in ("requests", "limits")):
        owners: list[Object] = [spec]
    else:
        owners = list(_containers(spec))
    requests: Amounts = {}
    limits: Amounts = {}
    guaranteed = True
    for owner in owners:
        _add(requests, _positive(amounts(owner, "requests")))
        given = _positive(amounts(owner, "limits"))
        _add(limits, given)
        guaranteed = guaranteed and len(given) == len(_QOS_RESOURCES)
    if not requests and not limits:
        return "BestEffort"
    if guaranteed and len(requests) == len(limits) and all(limits.get(name) == requests[name] for name in requests):
        return "Guaranteed"
    return "Burstable"


def amounts(owner: Object, what: str) -> Amounts:
    """The `requests` or `limits` of a container or of a pod's spec."""
    listed = (owner.get("resources") or {}).get(what) or {}
    return {name: Quantity.of(value) for name, value in listed.items()}


def is_pod_level(name: str) -> bool:
    """Whether a resource may be given at the pod's level."""
    return name in _QOS_RESOURCES or name.startswith(HUGEPAGES)


def _pod_level(spec: Object, what: str) -> Amounts:
    return {name: value for name, value in amounts(spec, what).items() if is_pod_level(name)}


def _positive(listed: Amounts) -> Amounts:
    return {name: value for name, value in listed.items() if name in _QOS_RESOURCES and value.sign() > 0}


def _containers(spec: Object) -> Iterator[Object]:
    yield from spec.get("containers") or ()
    yield from spec.get("initContainers") or ()


def _add(total: Amounts, more: Amounts) -> None:
    for name, value in more.items():
        total[name] = total[name] + value if name in total else value


def _raise(total: Amounts, other: Amounts) -> None:
    for name, value in other.items():
        if name not in total or value > total[name]:
            total[name] = value
