"""What the caller gives to and gets from the volumes of a pod."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Object = Mapping[str, Any]


class VolumeError(Exception):
    """A volume of a pod cannot be had. Its text is the whole message of the kubelet's `FailedMount` event.

    `why` is the part after `MountVolume.SetUp failed for volume "s" : `. `others` are those of the pod's volumes that
    cannot be had either: each is told of.
    """

    reason = "FailedMount"

    def __init__(self, volume: str, why: str, message: str = "") -> None:
        super().__init__(message or f'MountVolume.SetUp failed for volume "{volume}" : {why}')
        self.volume = volume
        self.why = why
        self.others: tuple[VolumeError, ...] = ()

    @property
    def message(self) -> str:
        """The sentence to show."""
        return str(self)


@dataclass(frozen=True, slots=True)
class PreparedVolume:
    """A volume that is there: its root on the host, to be bound (or a sub_path beneath it) into containers."""

    name: str
    path: Path
    """A directory; for a hostPath also a file, a socket or a device."""
    read_only: bool = False
    """Whether every mount of it is read-only whatever the container says: an image's files, and those that podrun keeps
    up to date (configMap, secret, ...), as from a kubelet."""
    layers: tuple[Path, ...] = ()
    """Of an image, lowest first: what `path` shows, for whoever has to put them together otherwise."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a volume is used, in bytes; the limit is its sizeLimit (None: none)."""

    volume: str
    used: int
    limit: int | None
    memory: bool = False
    """Whether it is in memory (medium Memory)."""


class ObjectLookup(Protocol):
    """What the volumes need of the rest of podrun."""

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        """An object of the store ("configmaps", "secrets"), or None."""

    def token(
        self, namespace: str, service_account: str, audience: str, expiration_seconds: int, pod: tuple[str, str]
    ) -> str:
        """A ServiceAccount token bound to the pod (name, uid); audience "" is the API server's own."""

    def image_layers(self, reference: str) -> tuple[Path, ...]:
        """The unpacked layers of an image that is here (lowest first), for an `image` volume; () when it is not."""

    def allocatable(self) -> Mapping[str, str]:
        """The node's allocatable quantities (cpu, memory, ephemeral-storage): limits a container does not set."""
