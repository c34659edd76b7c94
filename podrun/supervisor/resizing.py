"""Resizing a pod in place: what is allocated to it, the conditions and Events on the way, and the new limits' writing.

The kubelet's allocation manager and doPodResizeAction. What does not fit beside the other pods waits (Deferred).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from podrun.api.pod import Container, Pod, Resources
from podrun.lifecycle import admission, resize
from podrun.lifecycle.conditions import condition
from podrun.lifecycle.observed import Observed
from podrun.runtime.errors import RuntimeFailure
from podrun.runtime.model import Resources as RuntimeResources
from podrun.supervisor import configs

if TYPE_CHECKING:
    from podrun.supervisor.worker import PodWorker

log = logging.getLogger(__name__)

PENDING, IN_PROGRESS = "PodResizePending", "PodResizeInProgress"
ALLOCATED = "allocated"
"""Where what the pod has been given is remembered, beside the conditions."""
POD = "pod"
"""Where the pod's own resources in force are remembered, beside those of containers by id."""


class Resizing:
    """The resizes of one pod."""

    def __init__(self, worker: PodWorker) -> None:
        self._worker = worker
        self.behind = False
        """Whether the pod asked for something else while podrund was away."""

    @property
    def _state(self) -> dict[str, Any]:
        return self._worker.remembered.resize

    @property
    def conditions(self) -> list[Mapping[str, Any]]:
        """The conditions that hold."""
        return [self._state[kind] for kind in (PENDING, IN_PROGRESS) if kind in self._state]

    def allocated(self, wanted: Pod, others: Sequence[Pod]) -> Pod:
        """The pod as it is given room: as it wants, or as it was while there is none for more.

        `others` are the pods that have theirs already.
        """
        before = self._worker.pod
        if _resources(wanted) == _resources(before):
            self._state.pop(PENDING, None)
            return wanted
        lacking = admission.resize_problem(wanted, others, self._worker.services.options.allocatable)
        generation = wanted.metadata.generation
        if lacking is not None:
            self._pending(wanted, "Deferred", lacking, generation)
            return _with_resources(wanted, dict(_resources(before)))
        self._state.pop(PENDING, None)
        self._keep(wanted)
        self._state[IN_PROGRESS] = {**condition(IN_PROGRESS, True), "observedGeneration": generation}
        self._worker.tell("Normal", "ResizeStarted", resize.event_text(wanted, "started", generation))
        return wanted

    def restored(self, pod: Pod) -> Pod:
        """The pod with what was allocated to it before podrund was started anew."""
        kept = self._state.get(ALLOCATED)
        if kept is None:
            return pod
        made = _with_resources(pod, {name: Resources.model_validate(value) for name, value in kept.items()})
        self.behind = made != pod
        return made

    def _keep(self, pod: Pod) -> None:
        self._state[ALLOCATED] = {name: r.model_dump() for name, r in _resources(pod) if r is not None}

    def _pending(self, wanted: Pod, reason: str, message: str, generation: int) -> None:
        now = {**condition(PENDING, True, reason, message), "observedGeneration": generation}
        before = self._state.get(PENDING, {})
        if (before.get("reason"), before.get("message")) == (reason, message):
            return
        self._state[PENDING] = now
        text = resize.event_text(wanted, reason, generation, message)
        self._worker.tell("Warning", f"Resize{reason}", text)

    def begun(self) -> None:
        """The pod's cgroup has been made as it is specified now."""
        self._worker.remembered.resources[POD] = resize.wanted_pod(self._worker.pod)
        self._keep(self._worker.pod)

    def _pod_differs(self) -> bool:
        have = self._worker.remembered.resources.get(POD)
        return have is not None and have != resize.wanted_pod(self._worker.pod)

    def settle(self, observed: Observed) -> None:
        """Say that a resize is complete once everything that runs has what it asks for."""
        progress = self._state.get(IN_PROGRESS)
        if (
            progress is not None
            and not self._pod_differs()
            and not resize.in_progress(self._worker.pod, observed.containers)
        ):
            del self._state[IN_PROGRESS]
            text = resize.event_text(self._worker.pod, "completed", progress["observedGeneration"])
            self._worker.tell("Normal", "ResizeCompleted", text)

    async def apply(self, names: Sequence[str], observed: Observed) -> None:
        """Write the new limits of running containers: the pod's cgroup grows before and shrinks after them."""
        worker = self._worker
        if not observed.sandboxes or not (names or self._pod_differs()):
            return
        runtime, pod = worker.services.runtime, worker.pod
        sandbox_id = observed.sandboxes[0].id
        changing = [(c, s.id) for name in names if (c := pod.container(name)) and (s := observed.latest(name))]
        try:
            self._refuse_below_use(changing, sandbox_id)
            before, after = self._pod_steps()
            await runtime.update_pod_resources(sandbox_id, before)
            for container, container_id in changing:
                limits = configs.container_resources(container, pod, worker.services.options)
                await runtime.update_resources(container_id, limits)
                worker.remembered.resources[container_id] = resize.wanted(container, pod)
            await runtime.update_pod_resources(sandbox_id, after)
            worker.remembered.resources[POD] = resize.wanted_pod(pod)
        except (RuntimeFailure, _InUse) as error:
            self._failed(str(error))
            return
        worker.wake()

    def _pod_steps(self) -> tuple[RuntimeResources, RuntimeResources]:
        """What is written to the pod's own cgroup before its containers' (what grows) and after (what shrinks)."""
        whole, have = configs.pod_resources(self._worker.pod), self._worker.remembered.resources.get(POD)
        want = resize.wanted_pod(self._worker.pod)
        later = RuntimeResources()
        if have is not None and (want.memory_limit or 0) < (have.memory_limit or 0):
            whole, later = replace(whole, memory_limit=None), replace(later, memory_limit=whole.memory_limit)
        if have is not None and (want.cpu_limit or 0) < (have.cpu_limit or 0):
            whole, later = replace(whole, cpu_quota_us=None), replace(later, cpu_quota_us=whole.cpu_quota_us)
        return whole, later

    def _refuse_below_use(self, changing: Sequence[tuple[Container, str]], sandbox_id: str) -> None:
        """No memory limit is lowered below what is in use: the kernel would kill. Raises _InUse."""
        worker = self._worker
        runtime, in_force = worker.services.runtime, worker.remembered.resources
        falling = [
            resize.Falling(name, want.memory_limit, used.memory_usage)
            for name, want, have, used in (
                ("", resize.wanted_pod(worker.pod), in_force.get(POD), runtime.sandbox_statistics(sandbox_id)),
                *(
                    (c.name, resize.wanted(c, worker.pod), in_force.get(i), runtime.container_statistics(i))
                    for c, i in changing
                ),
            )
            if used is not None and want.memory_limit is not None and have is not None
            if have.memory_limit is None or want.memory_limit < have.memory_limit
        ]
        whole = runtime.sandbox_statistics(sandbox_id)
        if problem := resize.memory_problem(falling, whole.memory_usage if whole is not None else 0):
            raise _InUse(problem)

    def _failed(self, message: str) -> None:
        progress = self._state.get(IN_PROGRESS)
        if progress is None or progress.get("message") == message:
            return
        generation = progress["observedGeneration"]
        made = {**condition(IN_PROGRESS, True, "Error", message), "observedGeneration": generation}
        self._state[IN_PROGRESS] = made
        text = resize.event_text(self._worker.pod, "error", generation, message)
        self._worker.tell("Warning", "ResizeError", text)
        self._worker.wake()


class _InUse(Exception):
    """More memory is in use than the new limit allows."""


def _resources(pod: Pod) -> list[tuple[str, Resources | None]]:
    """By container, and the pod's own under no name."""
    everyone = (*pod.spec.init_containers, *pod.spec.containers)
    return [("", pod.spec.resources), *((c.name, c.resources) for c in everyone)]


def _with_resources(pod: Pod, old: Mapping[str, Resources | None]) -> Pod:
    """`pod` with these resources of containers, and its own under no name."""

    def kept(containers: Sequence[Container]) -> tuple[Container, ...]:
        return tuple(c.model_copy(update={"resources": old.get(c.name, c.resources)}) for c in containers)

    spec = pod.spec.model_copy(
        update={
            "containers": kept(pod.spec.containers),
            "init_containers": kept(pod.spec.init_containers),
            "resources": old.get("", pod.spec.resources),
        }
    )
    return pod.model_copy(update={"spec": spec})
