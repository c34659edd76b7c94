"""Which images go when the disk is filling up (pkg/kubelet/images/image_gc_manager.go)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

HIGH, LOW = 0.85, 0.80
"""Above the first share of the disk images are collected, until it is below the second."""
MINIMUM_AGE = 120.0
"""Seconds that an image is kept after it was first seen here or last used."""


@dataclass(frozen=True, slots=True)
class Held:
    """An image that is here; times in seconds since the epoch, size in bytes."""

    id: str
    size: int
    last_used: float
    first_seen: float


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system that images are on, in bytes."""

    capacity: int
    available: int

    @property
    def used_share(self) -> float:
        return 1 - self.available / self.capacity if self.capacity else 0.0


def to_collect(images: Sequence[Held], in_use: Collection[str], disk: Disk, now: float) -> list[str]:
    """Ids of images to remove, the longest unused first, until enough would be free; never one in use."""
    if disk.used_share < HIGH:
        return []
    wanted = disk.capacity * (1 - LOW) - disk.available
    chosen: list[str] = []
    for image in sorted(images, key=lambda image: (image.last_used, image.first_seen)):
        if wanted <= 0:
            break
        if image.id in in_use or now - max(image.last_used, image.first_seen) < MINIMUM_AGE:
            continue
        chosen.append(image.id)
        wanted -= image.size
    return chosen
