"""Requests and limits: a pod's effective ones, and the kernel's numbers they become (pkg/kubelet/cm, qos/policy.go)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from podrun.api.pod import Container, Pod, Resources
from podrun.api.quantity import Quantity
from podrun.lifecycle import restart
from podrun.lifecycle.qos import qos_class

Amounts = dict[str, Quantity]

MIN_SHARES, MAX_SHARES = 2, 262_144
PERIOD_US = 100_000
MIN_QUOTA_US = 1_000
GUARANTEED_OOM_SCORE, BEST_EFFORT_OOM_SCORE = -997, 1000
_POD_LEVEL = ("cpu", "memory")


@dataclass(frozen=True, slots=True)
class CgroupNumbers:
    """What a cgroup gets: shares of 1024 per core, microseconds per `PERIOD_US`, bytes; None leaves the default."""

    cpu_shares: int
    cpu_quota_us: int | None
    memory_limit: int | None
    oom_score_adj: int = 0


def amounts(side: Mapping[str, str]) -> Amounts:
    """One side of a Resources as quantities."""
    return {name: Quantity.parse(text) for name, text in side.items()}


def texts(side: Amounts) -> dict[str, str]:
    """Quantities as on the wire, sorted by name as Go prints a map."""
    return {name: str(side[name]) for name in sorted(side)}


def _add(total: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total[name] + amount if name in total else amount


def _raise_to(total: Amounts, floor: Amounts) -> None:
    for name, amount in floor.items():
        if name not in total or total[name] < amount:
            total[name] = amount


def aggregate(pod: Pod, side: str) -> Amounts:
    """What all containers together need at once: sidecars with the regular ones, or with a single init container.

    `side` is "requests" or "limits" (component-helpers/resource, AggregateContainerRequests).
    """
    total: Amounts = {}
    for container in pod.spec.containers:
        _add(total, amounts(getattr(container.resources, side)))
    running: Amounts = {}
    peak: Amounts = {}
    for container in pod.spec.init_containers:
        own = amounts(getattr(container.resources, side))
        if restart.is_sidecar(container):
            _add(total, own)
            _add(running, own)
            own = dict(running)
        else:
            _add(own, running)
        _raise_to(peak, own)
    _raise_to(total, peak)
    return total


def pod_requests(pod: Pod) -> Amounts:
    """The pod's effective requests: its own where it has some, with its overhead."""
    asked = any(c.resources.requests for c in (*pod.spec.containers, *pod.spec.init_containers))
    if not asked and pod.spec.resources is None and not pod.spec.overhead:
        return {}  # most pods, and this is asked of every pod for each new one
    return _effective(pod, "requests")


def pod_limits(pod: Pod) -> Amounts:
    """The pod's effective limits."""
    return _effective(pod, "limits")


def _effective(pod: Pod, side: str) -> Amounts:
    total = aggregate(pod, side)
    if pod.spec.resources is not None:
        own = amounts(getattr(pod.spec.resources, side))
        total.update({name: own[name] for name in own if name in _POD_LEVEL or name.startswith("hugepages-")})
    _add(
        total,
        {name: amount for name, amount in amounts(pod.spec.overhead).items() if side == "requests" or name in total},
    )
    return total


def shares(milli_cpu: int) -> int:
    """CPU shares (cgroup v1's scale) for a request in millicores."""
    return MIN_SHARES if milli_cpu == 0 else min(max(milli_cpu * 1024 // 1000, MIN_SHARES), MAX_SHARES)


def quota(milli_cpu: int) -> int | None:
    """Microseconds per period for a limit in millicores; None for no limit."""
    return max(milli_cpu * PERIOD_US // 1000, MIN_QUOTA_US) if milli_cpu else None


def milli_cpu(side: Mapping[str, str]) -> int:
    """CPU in millicores; 0 where there is none."""
    return Quantity.parse(side["cpu"]).milli_value() if "cpu" in side else 0


def memory(side: Mapping[str, str]) -> int:
    """Memory in bytes; 0 where there is none."""
    return Quantity.parse(side["memory"]).value() if "memory" in side else 0


def container_numbers(container: Container, pod: Pod, memory_capacity: int) -> CgroupNumbers:
    """A container's cgroup. Without a limit of its own it gets the pod's (KEP-2837)."""
    own, whole = container.resources, pod.spec.resources or Resources()
    cpu_limit = milli_cpu(own.limits) or milli_cpu(whole.limits)
    cpu_request = milli_cpu(own.requests) if "cpu" in own.requests else milli_cpu(own.limits)
    memory_limit = memory(own.limits) or memory(whole.limits)
    return CgroupNumbers(
        shares(cpu_request), quota(cpu_limit), memory_limit or None, oom_score_adj(container, pod, memory_capacity)
    )


def pod_numbers(pod: Pod) -> CgroupNumbers:
    """The pod's own cgroup (cm/helpers_linux.go, ResourceConfigForPod): limits only where every container has one."""
    requests, limits = pod_requests(pod), pod_limits(pod)
    own = pod.spec.resources or Resources()
    everyone = (*pod.spec.containers, *restart.sidecars(pod))
    cpu_bound = "cpu" in own.limits or all(milli_cpu(c.resources.limits) for c in everyone)
    memory_bound = "memory" in own.limits or all(memory(c.resources.limits) for c in everyone)
    if qos_class(pod) == "BestEffort":
        return CgroupNumbers(MIN_SHARES, None, None)
    return CgroupNumbers(
        shares(requests["cpu"].milli_value() if "cpu" in requests else 0),
        quota(limits["cpu"].milli_value()) if cpu_bound and "cpu" in limits else None,
        limits["memory"].value() if memory_bound and "memory" in limits else None,
    )


def oom_score_adj(container: Container, pod: Pod, memory_capacity: int) -> int:
    """How gladly the kernel kills the container when memory is out (qos/policy.go).

    `memory_capacity` is the machine's memory in bytes. A sidecar is never a better victim than the regular
    container that asked for the least memory (KEP-753).
    """
    match qos_class(pod):
        case "Guaranteed":
            return GUARANTEED_OOM_SCORE
        case "BestEffort":
            return BEST_EFFORT_OOM_SCORE
    score = _burstable_score(_memory_share(container, pod), memory_capacity)
    if container in restart.sidecars(pod):
        regular = min((memory(c.resources.requests) for c in pod.spec.containers), default=0)
        return min(score, _burstable_score(regular, memory_capacity))
    return score


def _memory_share(container: Container, pod: Pod) -> int:
    """The container's request plus an equal part of what the pod asks beyond its containers' requests."""
    request = memory(container.resources.requests)
    if pod.spec.resources is None or "memory" not in pod.spec.resources.requests:
        return request
    everyone = (*pod.spec.containers, *restart.sidecars(pod))
    unclaimed = memory(pod.spec.resources.requests) - sum(memory(c.resources.requests) for c in everyone)
    return request + max(unclaimed, 0) // max(len(everyone), 1)


def _burstable_score(request: int, memory_capacity: int) -> int:
    score = 1000 - 1000 * request // max(memory_capacity, 1)
    return min(max(score, 1000 + GUARANTEED_OOM_SCORE), BEST_EFFORT_OOM_SCORE - 1)


def total(parts: Iterable[Amounts]) -> Amounts:
    """The sum of several."""
    sum_: Amounts = {}
    for part in parts:
        _add(sum_, part)
    return sum_
