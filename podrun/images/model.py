"""What an image is, what can go wrong with one, and how its coming is watched: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Reason(StrEnum):
    """The kubelet's own names for what is wrong with an image (pkg/kubelet/images/types.go, cri-api's errors)."""

    INVALID_NAME = "InvalidImageName"
    PULL = "ErrImagePull"
    NEVER_PULL = "ErrImageNeverPull"
    INSPECT = "ImageInspectError"
    REGISTRY_UNAVAILABLE = "RegistryUnavailable"


class ImageError(Exception):
    """An image cannot be had. Its text is the kubelet's message, made to stand beside `reason` on a container."""

    def __init__(self, reference: str, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reference = reference
        self.reason = reason
        self.message = message


class Source(StrEnum):
    """How an image came here. Only pulled ones are subject to credentials of pods (KEP-2535)."""

    BUILT = "built"
    LOADED = "loaded"
    PULLED = "pulled"


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What a container of the image runs as unless the pod says otherwise (OCI image-spec, config.md)."""

    user: str = ""
    """"" (root), "app", "1000" or "1000:1000": names are those of the image's own /etc/passwd."""
    env: tuple[tuple[str, str], ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    working_dir: str = ""
    stop_signal: str = ""
    volumes: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    """`8080/tcp`"""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Image:
    """An image in the store, ready to run: its layers are unpacked."""

    id: str
    """`sha256:` and the digest of the configuration: the imageID a container runtime gives."""
    references: tuple[str, ...]
    """Names in full: `docker.io/library/busybox:1.36`."""
    digests: tuple[str, ...]
    """Names by the digest of the manifest, where it came from a registry: `docker.io/library/busybox@sha256:...`."""
    config: ImageConfig
    layers: tuple[Path, ...]
    """Directories, lowest first, in overlayfs' own form (whiteouts are 0/0 devices, opaque directories have the
    xattr). Empty for an image without a file."""
    size: int
    """Bytes of its files, unpacked; layers shared with other images are counted too."""
    source: Source = Source.LOADED
    stand_in: bool = False
    """Whether podrun built it in the place of the image its name means; a pull replaces it."""
    created: str = ""
    """RFC 3339, as the image says; "" when it does not."""

    @property
    def image_id(self) -> str:
        """What `containerStatuses[].imageID` shows: a name by digest where there is one, as from containerd."""
        return self.digests[0] if self.digests else self.id


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a long work, for whoever shows it."""

    what: str
    """`busybox:1.36`, or a layer's short digest."""
    step: str
    """`downloading`, `unpacking`, `compiling`, `present`, `done`, ...: one word."""
    done: int = 0
    """Bytes, or 0 where they are not counted."""
    total: int = 0
    """Bytes; 0 when unknown."""


OnProgress = Callable[[Progress], None]
"""Called on the thread that called; quick, and raises nothing."""


def ignore_progress(_: Progress) -> None:
    """The callback of who does not care."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to log in to one registry: a user with a password, or an identity token (OAuth 2 refresh token)."""

    username: str = ""
    password: str = ""
    identity_token: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.username!r}, ...)"


@dataclass(frozen=True, slots=True)
class Limits:
    """How large one layer may become before it is refused: what protects a machine from an archive that is a bomb."""

    bytes: int = 32 << 30
    entries: int = 1_000_000
    ratio: int = 200
    """How many times its own size a compressed layer may unpack to, once it exceeds `ratio_from`."""
    ratio_from: int = 256 << 20
