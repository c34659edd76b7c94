"""Changing CPU and memory of running containers in place (KEP-1287): the step a container needs, and the texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from podrun.api.pod import Container, Pod
from podrun.lifecycle import resources
from podrun.lifecycle.observed import ActualResources, ContainerSeen


class Step(Enum):
    """What brings a running container to the resources of its specification."""

    NONE = "none"
    IN_PLACE = "in place"
    RESTART = "restart"


def wanted(container: Container, pod: Pod) -> ActualResources:
    """What a container is to have, in the units of what is in force; the pod's limits where it has none of its own."""
    requests, limits = container.resources.requests, container.resources.limits
    whole = pod.spec.resources.limits if pod.spec.resources is not None else {}
    return ActualResources(
        cpu_request=resources.milli_cpu(requests) or None,
        cpu_limit=resources.milli_cpu(limits) or resources.milli_cpu(whole) or None,
        memory_request=resources.memory(requests) or None,
        memory_limit=resources.memory(limits) or resources.memory(whole) or None,
    )


def wanted_pod(pod: Pod) -> ActualResources:
    """What the pod itself is to have (KEP-5419)."""
    requests, limits = resources.texts(resources.pod_requests(pod)), resources.texts(resources.pod_limits(pod))
    return ActualResources(
        cpu_request=resources.milli_cpu(requests) or None,
        cpu_limit=resources.milli_cpu(limits) or None,
        memory_request=resources.memory(requests) or None,
        memory_limit=resources.memory(limits) or None,
    )


def step(container: Container, pod: Pod, seen: ContainerSeen) -> Step:
    """In place, unless a resource that changed has the policy RestartContainer; none when nothing differs."""
    if seen.resources is None:
        return Step.NONE
    want, have = wanted(container, pod), seen.resources
    changed = {
        "cpu": (want.cpu_request, want.cpu_limit) != (have.cpu_request, have.cpu_limit),
        "memory": (want.memory_request, want.memory_limit) != (have.memory_request, have.memory_limit),
    }
    if not any(changed.values()):
        return Step.NONE
    restarting = {p.resource_name for p in container.resize_policy if p.restart_policy == "RestartContainer"}
    return Step.RESTART if any(changed[name] for name in changed if name in restarting) else Step.IN_PLACE


def in_progress(pod: Pod, containers: tuple[ContainerSeen, ...]) -> bool:
    """Whether some running container does not have yet what it asks for."""
    by_name = {c.name: c for c in (*pod.spec.init_containers, *pod.spec.containers)}
    return any(
        seen.state == "running" and seen.name in by_name and step(by_name[seen.name], pod, seen) is not Step.NONE
        for seen in containers
    )


@dataclass(frozen=True, slots=True)
class Falling:
    """A memory limit in bytes that is to be lowered, and what is in use; the pod's own has no name."""

    name: str
    limit: int
    used: int

    @property
    def whose(self) -> str:
        """For messages."""
        return f'container "{self.name}"' if self.name else "pod"


def memory_problem(falling: Sequence[Falling], pod_used: int) -> str:
    """Why the limits are not lowered now; "" where nothing is in the way (validateMemoryResizeAction).

    A kubelet tells what the whole pod uses also where it speaks of a container.
    """
    found = [
        f"attempting to set {one.whose} memory limit ({one.limit}) below current usage ({pod_used})"
        for one in falling
        if one.used >= one.limit
    ]
    if not found:
        return ""
    return f"cannot decrease memory limits: {found[0] if len(found) == 1 else '[' + ', '.join(found) + ']'}"


def event_text(pod: Pod, what: str, generation: int, error: str = "") -> str:
    """The message of events as ResizeStarted (events/resize.go); `what` is "started", "completed", "error", ..."""
    summary: dict[str, object] = {}
    for key, group in (("initContainers", pod.spec.init_containers), ("containers", pod.spec.containers)):
        if group:
            summary[key] = [{"name": c.name, "resources": _as_go_prints(c)} for c in group]
    summary["generation"] = generation
    if error:
        summary["error"] = error
    return f"Pod resize {what}: {json.dumps(summary, separators=(',', ':'), ensure_ascii=False)}"


def _as_go_prints(container: Container) -> dict[str, dict[str, str]]:
    sides = (("limits", container.resources.limits), ("requests", container.resources.requests))
    return {name: dict(sorted(side.items())) for name, side in sides if side}
