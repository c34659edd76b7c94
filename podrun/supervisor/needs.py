"""What the supervisor needs of other rooms, and the outcome of a start: small Protocols, for real parts and fakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from podrun.api.pod import Pod
from podrun.images.model import Credentials, Image, OnProgress, ignore_progress
from podrun.volumes.model import ObjectLookup, PreparedVolume, Usage

Clock = Callable[[], float]
"""Seconds since the epoch."""


class Images(Protocol):
    """As podrun.images.store.ImageStore."""

    def get(self, reference: str) -> Image | None: ...

    async def pull(
        self, reference: str, credentials: Sequence[Credentials] = (), on_progress: OnProgress = ignore_progress
    ) -> Image: ...


class PodVolumes(Protocol):
    """As podrun.volumes.volumes.Volumes."""

    async def prepare(self, pod: Pod, lookup: ObjectLookup) -> Mapping[str, PreparedVolume]: ...

    async def refresh(self, pod: Pod, lookup: ObjectLookup) -> frozenset[str]: ...

    def next_refresh(self, pod_uid: str) -> float | None: ...

    def usage(self, pod: Pod) -> Sequence[Usage]: ...

    async def teardown(self, pod_uid: str) -> None: ...

    def pods(self) -> list[str]: ...


@dataclass(eq=False)
class NotStarted(Exception):
    """A container could not be started: what its waiting state will show, in the kubelet's words."""

    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"
