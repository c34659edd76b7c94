"""Who has to go when the machine runs short, and in which words (pkg/kubelet/eviction/helpers.go), pure.

First those that use more than they asked for, then those of lower priority, then those that use the most beyond it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from podrun.api.pod import Pod
from podrun.api.quantity import Quantity
from podrun.lifecycle import resources
from podrun.lifecycle.pressure import RESOURCES, Observation, Threshold, amount_text, threshold_text

SYSTEM_CRITICAL = 2_000_000_000
"""From this priority on a pod is critical: it is never evicted (kubelet/types, IsCriticalPod)."""
TERMINATED_BY_KUBELET = "TerminationByKubelet"


@dataclass(frozen=True, slots=True)
class Use:
    """What a pod uses: bytes of memory (its working set) and of disk, inodes, processes; `containers` by name."""

    memory: int = 0
    disk: int = 0
    inodes: int = 0
    processes: int = 0
    containers: Mapping[str, ContainerUse] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContainerUse:
    """Bytes of memory, and of disk in the writable layer and the logs."""

    memory: int = 0
    disk: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pod that runs; `use` is None where it could not be told, and then it goes first."""

    pod: Pod
    use: Use | None


def is_critical(pod: Pod) -> bool:
    """Whether the machine needs the pod more than what it uses."""
    return (pod.spec.priority or 0) >= SYSTEM_CRITICAL


def ranked(signal: str, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Who is to go first, for want of what the signal measures."""
    resource = RESOURCES[signal]
    return sorted(candidates, key=lambda one: _rank(one, resource))


def _rank(one: Candidate, resource: str) -> tuple[bool, bool, int, int]:
    priority = one.pod.spec.priority or 0
    if one.use is None:
        return False, False, 0, 0
    if resource == "pids":
        return True, False, priority, -one.use.processes
    used = _USES[resource](one.use)
    asked = resources.pod_requests(one.pod)
    own = asked[resource].value() if resource in asked else 0
    # Inodes are nobody's request; what is beyond is told in bytes' terms there too, a known oddity of the kubelet.
    relative = asked["ephemeral-storage"].value() if resource == "inodes" and "ephemeral-storage" in asked else own
    return True, used <= own, priority, relative - used


_USES: Mapping[str, Callable[[Use], int]] = {
    "memory": lambda use: use.memory,
    "ephemeral-storage": lambda use: use.disk,
    "inodes": lambda use: use.inodes,
}


def message(
    signal: str, one: Candidate, met: Sequence[Threshold], observations: Mapping[str, Observation]
) -> tuple[str, dict[str, str]]:
    """(what the pod's status and Event say, annotations of the Event); the trailing space is the kubelet's."""
    resource = RESOURCES[signal]
    text = f"The node was low on resource: {resource}. {threshold_text(resource, met, observations)}"
    if one.use is None:
        return text, {}
    annotations: dict[str, str] = {}
    whole = one.pod.spec.resources
    if resource == "memory" and whole is not None and "memory" in whole.requests:
        used = amount_text(resource, one.use.memory)
        request = Quantity.parse(whole.requests["memory"])
        name = one.pod.metadata.name
        text += f"Pod {name} was using {used}, request is {request}, has larger consumption of {resource}. "
        annotations |= {"offending_pod": name, "offending_pod_usage": used}
    exceeded: list[tuple[str, str]] = []
    for container in (*one.pod.spec.containers, *one.pod.spec.init_containers):
        own = one.use.containers.get(container.name)
        if own is None or resource not in ("memory", "ephemeral-storage"):
            continue
        request = Quantity.parse(container.resources.requests.get(resource, "0"))
        amount = own.memory if resource == "memory" else own.disk
        if amount > request.value():
            used = amount_text(resource, amount)
            text += (
                f"Container {container.name} was using {used}, request is {request}, "
                f"has larger consumption of {resource}. "
            )
            exceeded.append((container.name, used))
    annotations["offending_containers"] = ",".join(name for name, _ in exceeded)
    annotations["offending_containers_usage"] = ",".join(used for _, used in exceeded)
    return text, {**annotations, "starved_resource": resource}
