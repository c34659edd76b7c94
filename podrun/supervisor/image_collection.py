"""Removes images that no pod uses when the disk is filling up; looked at when a pod has ended or an image has come.

A kubelet looks every five minutes; nothing here runs by the clock, and the disk only fills when something happens.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from podrun.api.pod import Pod
from podrun.images.model import Image, ImageError, Source
from podrun.lifecycle.image_collection import MINIMUM_AGE, Disk, Held, to_collect
from podrun.runtime.service import RuntimeService
from podrun.supervisor.needs import Clock
from podrun.supervisor.pulls import references

log = logging.getLogger(__name__)


class RemovableImages(Protocol):
    """As podrun.images.store.ImageStore."""

    def get(self, name: str) -> Image | None: ...

    def list(self) -> Sequence[Image]: ...

    async def remove(self, name: str) -> bool: ...

    async def garbage_collect(self, in_use: Collection[Path] = ()) -> int: ...


def _disk_of(root: Path) -> Disk:
    use = shutil.disk_usage(root)
    return Disk(use.total, use.free)


class ImageCollection:
    """Keeps when each image was used last, and collects what nobody needs."""

    def __init__(
        self,
        images: RemovableImages,
        runtime: RuntimeService,
        root: Path,
        pods: Callable[[], Iterable[Pod]],
        clock: Clock,
        disk: Callable[[Path], Disk] = _disk_of,
    ) -> None:
        """`pods` are those whose images are needed though no container of them runs yet."""
        self._images, self._runtime, self._root, self._pods = images, runtime, root, pods
        self._clock, self._disk = clock, disk
        self._seen: dict[str, float] = {}
        self._used: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None
        self._again: asyncio.TimerHandle | None = None

    def consider(self) -> None:
        """Something has changed: collect, if the disk is fuller than it may be."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def remove_unused(self) -> None:
        """Remove every image that nobody uses, whatever its age; not what podrun built, which no pull brings back."""
        containers = self._runtime.containers()
        in_use = {status.config.image_id for status in containers} | self._named()
        doomed = [i.id for i in self._images.list() if i.id not in in_use and i.source is not Source.BUILT]
        for image_id in doomed:
            log.info("image %s is removed: the disk runs out", image_id)
            await self._images.remove(image_id)
        if doomed:
            await self._images.garbage_collect({layer for status in containers for layer in status.config.layers})

    async def stop(self) -> None:
        """Begin no more; what is being removed is."""
        if self._again is not None:
            self._again.cancel()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        try:
            await self._collect()
        except OSError as error:
            log.warning("images could not be collected: %s", error)
        finally:
            self._task = None

    async def _collect(self) -> None:
        now = self._clock()
        containers = self._runtime.containers()
        in_use = {status.config.image_id for status in containers} | self._named()
        self._used.update(dict.fromkeys(in_use, now))
        here = self._images.list()
        for image in here:
            self._seen.setdefault(image.id, now)
        held = [Held(i.id, i.size, self._used.get(i.id, 0.0), self._seen[i.id]) for i in here]
        disk = self._disk(self._root)
        doomed = to_collect(held, in_use, disk, now)
        for image_id in doomed:
            log.info("image %s is removed: the disk is %.0f %% full", image_id, disk.used_share * 100)
            await self._images.remove(image_id)
        if doomed:
            layers = {layer for status in containers for layer in status.config.layers}
            freed = await self._images.garbage_collect(layers)
            log.info("%d images removed, %d bytes freed", len(doomed), freed)
        elif to_collect(held, in_use, disk, now + MINIMUM_AGE) and self._again is None:
            # Too young now: looked at again when they are not.
            self._again = asyncio.get_running_loop().call_later(MINIMUM_AGE, self._in_time)

    def _named(self) -> set[str]:
        """Ids of the images that pods name."""
        found: set[str] = set()
        for reference in {name for pod in self._pods() for name in references(pod)}:
            with suppress(ImageError):
                image = self._images.get(reference)
                if image is not None:
                    found.add(image.id)
        return found

    def _in_time(self) -> None:
        self._again = None
        self.consider()
