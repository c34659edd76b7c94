"""The quality-of-service class of a pod (pkg/apis/core/helper/qos)."""

from __future__ import annotations

from podrun.api.quantity import Quantity
from podrun.api.validation.amounts import ZERO, amounts
from podrun.api.validation.read import Object, items, mapping, optional_mapping

COMPUTE = ("cpu", "memory")


def qos_class(spec: Object) -> str:
    """`Guaranteed`, `Burstable` or `BestEffort` of a pod's spec as it is on the wire.

    Guaranteed: CPU and memory are limited everywhere and requests equal limits; BestEffort: there are neither. The
    resources of the pod as a whole, where it has them, decide alone.
    """
    of_pod = optional_mapping(spec, "resources")
    if of_pod is not None:
        everything = [of_pod]
        limited = not mapping(of_pod, "limits") or _positive(of_pod, "limits").keys() >= set(COMPUTE)
    else:
        everything = [
            mapping(container, "resources")
            for kind in ("containers", "initContainers")
            for container in items(spec, kind)
        ]
        limited = all(_positive(resources, "limits").keys() >= set(COMPUTE) for resources in everything)
    requests, limits = _total(everything, "requests"), _total(everything, "limits")
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if limited and requests == limits else "Burstable"


def _positive(resources: Object, kind: str) -> dict[str, Quantity]:
    return {name: value for name, value in amounts(resources, kind).items() if name in COMPUTE and value > ZERO}


def _total(everything: list[Object], kind: str) -> dict[str, Quantity]:
    total: dict[str, Quantity] = {}
    for resources in everything:
        for name, value in _positive(resources, kind).items():
            total[name] = total[name] + value if name in total else value
    return total
