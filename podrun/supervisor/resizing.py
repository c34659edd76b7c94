"""Resizing a pod in place: what is allocated to it, the conditions and Events on the way, and the new limits' writing.

The kubelet's allocation manager and doPodResizeAction. What does not fit beside the other pods waits (Deferred).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from podrun.api.pod import Container, Pod, Resources
from podrun.lifecycle import admission, resize
from podrun.lifecycle.conditions import condition
from podrun.lifecycle.observed import Observed
from podrun.runtime.errors import RuntimeFailure
from podrun.supervisor import configs

if TYPE_CHECKING:
    from podrun.supervisor.worker import PodWorker

log = logging.getLogger(__name__)

PENDING, IN_PROGRESS = "PodResizePending", "PodResizeInProgress"
POD = "pod"
"""Where the pod's own resources in force are remembered, beside those of containers by id."""


class Resizing:
    """The resizes of one pod."""

    def __init__(self, worker: PodWorker) -> None:
        self._worker = worker

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
            return _with_resources(wanted, before)
        self._state.pop(PENDING, None)
        self._state[IN_PROGRESS] = {**condition(IN_PROGRESS, True), "observedGeneration": generation}
        self._worker.tell("Normal", "ResizeStarted", resize.event_text(wanted, "started", generation))
        return wanted

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
        try:
            await runtime.update_pod_resources(observed.sandboxes[0].id, configs.pod_resources(pod))
            worker.remembered.resources[POD] = resize.wanted_pod(pod)
            for name in names:
                container, seen = pod.container(name), observed.latest(name)
                if container is None or seen is None:
                    continue
                self._refuse_below_use(container, seen.id)
                limits = configs.container_resources(container, pod, worker.services.options)
                await runtime.update_resources(seen.id, limits)
                worker.remembered.resources[seen.id] = resize.wanted(container, pod)
        except (RuntimeFailure, _InUse) as error:
            self._failed(str(error))
            return
        worker.wake()

    def _refuse_below_use(self, container: Container, container_id: str) -> None:
        """A memory limit is not lowered below what is in use: the kernel would kill (validateMemoryResizeAction)."""
        want, have = resize.wanted(container, self._worker.pod), self._worker.remembered.resources.get(container_id)
        if want.memory_limit is None or have is None or (have.memory_limit or 0) <= want.memory_limit:
            return
        used = self._worker.services.runtime.container_statistics(container_id)
        if used is not None and used.memory_usage >= want.memory_limit:
            raise _InUse(
                f'cannot decrease memory limits: attempting to set container "{container.name}" memory limit '
                f"({want.memory_limit}) below current usage ({used.memory_usage})"
            )

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


def _with_resources(pod: Pod, other: Pod) -> Pod:
    """`pod` with the containers' resources of `other`."""
    old = dict(_resources(other))

    def kept(containers: Sequence[Container]) -> tuple[Container, ...]:
        return tuple(c.model_copy(update={"resources": old.get(c.name, c.resources)}) for c in containers)

    spec = pod.spec.model_copy(
        update={
            "containers": kept(pod.spec.containers),
            "init_containers": kept(pod.spec.init_containers),
            "resources": old[""],
        }
    )
    return pod.model_copy(update={"spec": spec})
