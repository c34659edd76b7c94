"""Ending pods that use more disk than they may: ephemeral-storage limits and emptyDir sizes (eviction_manager.go).

One check every ten seconds, and only while some pod has such a limit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from podrun.api.pod import Pod
from podrun.api.quantity import Quantity
from podrun.lifecycle import resources
from podrun.lifecycle.status import Ending
from podrun.lifecycle.victims import is_critical
from podrun.runtime.errors import RuntimeFailure
from podrun.supervisor import configs
from podrun.supervisor.services import Services
from podrun.supervisor.worker import PodWorker, Stage

log = logging.getLogger(__name__)

EVERY = 10.0
STORAGE = "ephemeral-storage"
EVICTED = "Evicted"


def has_limit(pod: Pod) -> bool:
    """Whether the pod can use too much."""
    spec = pod.spec
    everyone = (*spec.containers, *spec.init_containers)
    return any(STORAGE in c.resources.limits for c in everyone) or any(
        v.empty_dir is not None and v.empty_dir.size_limit not in (None, "0") for v in spec.volumes
    )


class StorageWatch:
    """Checks the pods of `workers` while one has a limit; `consider` it whenever pods have come or gone."""

    def __init__(self, services: Services, workers: Callable[[], Iterable[PodWorker]]) -> None:
        self._services, self._workers = services, workers
        self._task: asyncio.Task[None] | None = None

    def consider(self) -> None:
        """Begin to check if there is reason to."""
        if self._task is None and any(self._limited()):
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Check no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def _limited(self) -> Iterable[PodWorker]:
        return [w for w in self._workers() if w.stage is Stage.SYNCING and has_limit(w.pod)]

    async def _run(self) -> None:
        while limited := self._limited():
            await asyncio.sleep(EVERY)
            for worker in limited:
                if worker.stage is not Stage.SYNCING or is_critical(worker.pod):
                    continue
                try:
                    message = await self._excess(worker.pod)
                except (OSError, RuntimeFailure) as error:
                    log.warning("pod %s: its use of the disk cannot be told: %s", worker.pod, error)
                    continue
                if message is not None:
                    worker.tell("Warning", EVICTED, message)
                    worker.evict(Ending(EVICTED, message), grace=1)
        self._task = None

    async def _excess(self, pod: Pod) -> str | None:
        """In the kubelet's words, which limit is exceeded (the trailing space is its)."""
        volumes = await asyncio.to_thread(self._services.volumes.usage, pod)
        for use in volumes:
            if use.limit is not None and use.used > use.limit:
                sizes = {v.name: v.empty_dir.size_limit for v in pod.spec.volumes if v.empty_dir is not None}
                size = Quantity.parse(sizes.get(use.volume) or "0")
                return f'Usage of EmptyDir volume "{use.volume}" exceeds the limit "{size}". '
        limits = resources.pod_limits(pod)
        if STORAGE not in limits:
            return None
        own = await container_disk(self._services, pod)
        total = sum(own.values()) + sum(use.used for use in volumes if not use.memory)
        if total > limits[STORAGE].value():
            return f"Pod ephemeral local storage usage exceeds the total limit of containers {limits[STORAGE]}. "
        for container in pod.spec.containers:  # not yet those of init containers and sidecars (1.37 does)
            limit_text = container.resources.limits.get(STORAGE)
            if limit_text is not None and own.get(container.name, 0) > Quantity.parse(limit_text).value():
                limit = Quantity.parse(limit_text)
                return f'Container {container.name} exceeded its local ephemeral storage limit "{limit}". '
        return None


async def container_disk(services: Services, pod: Pod) -> dict[str, int]:
    """Bytes in each running container's writable layer and logs."""
    used: dict[str, int] = {}
    logs = configs.log_directory(pod, services.options)
    for status in services.runtime.containers(pod.uid):
        if status.state == "running":
            name = status.config.name
            used[name] = await services.runtime.writable_layer_usage(status.id) + _size(logs / name)
    return used


def _size(directory: Path) -> int:
    total = 0
    for file in directory.glob("*"):
        with suppress(OSError):
            total += file.stat().st_size
    return total
