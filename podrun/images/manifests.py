"""Manifests and configurations, OCI's and Docker's: read from JSON into values. Pure.

Sources: OCI image-spec (manifest.md, image-index.md, config.md) and Docker's image manifest v2, schema 2.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from podrun.images.model import ImageConfig

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1"
ACCEPT = ", ".join((DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX, "*/*"))
"""The order of containerd's Accept header."""
MANIFEST_LIMIT = 8 << 20
"""Bytes of a manifest or configuration; containerd's limit for a manifest."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class Malformed(ValueError):
    """A manifest or configuration that cannot be used; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob by its digest."""

    digest: str
    size: int
    media_type: str = ""
    platform: Mapping[str, str] | None = None
    annotations: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image for one platform."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class ImageList:
    """An index of images, by platform or by name."""

    manifests: tuple[Descriptor, ...]


def architecture() -> str:
    """This machine in Go's words: `amd64`, `arm64`."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def digest_of(data: bytes) -> str:
    """`sha256:` and the hexadecimal digest."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def parse(data: bytes, media_type: str = "") -> Manifest | ImageList:
    """A manifest or an index, told by its own mediaType, else by `media_type`, else by its fields."""
    raw = _object(data, "the manifest")
    kind = raw.get("mediaType") or media_type
    if kind.startswith(DOCKER_SCHEMA_1) or raw.get("schemaVersion") == 1:
        raise Malformed("it is a Docker schema 1 manifest, which has been obsolete since 2017: push the image anew")
    if kind in (OCI_INDEX, DOCKER_LIST) or (kind not in (OCI_MANIFEST, DOCKER_MANIFEST) and "manifests" in raw):
        return ImageList(tuple(_descriptor(one) for one in _sequence(raw, "manifests")))
    if not isinstance(raw.get("config"), dict):
        raise Malformed(f"it is neither a manifest nor an index (mediaType {kind!r})")
    return Manifest(_descriptor(raw["config"]), tuple(_descriptor(one) for one in _sequence(raw, "layers")))


def choose(images: ImageList, arch: str) -> Descriptor | None:
    """The entry for linux on `arch` (Go's word): the first of its kind; one without a platform if nothing fits."""
    for one in images.manifests:
        where = one.platform or {}
        # attestations are entries of the platform unknown/unknown
        if where.get("os", "linux") == "linux" and where.get("architecture") == arch:
            return one
    return next((one for one in images.manifests if one.platform is None), None)


def read_config(data: bytes) -> dict[str, Any]:
    """An image's configuration as it came, checked for what is used of it."""
    raw = _object(data, "the image's configuration")
    diff_ids_of(raw)
    return raw


def diff_ids_of(config: Mapping[str, Any]) -> list[str]:
    """The digests of the uncompressed layers, lowest first."""
    rootfs = config.get("rootfs")
    found = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(found, list):
        raise Malformed("the image's configuration names no layers (rootfs.diff_ids)")
    return [check_digest(one) for one in found]


def image_config(raw: Mapping[str, Any]) -> ImageConfig:
    """What a container of the image runs as."""
    config = raw.get("config")
    config = config if isinstance(config, dict) else {}
    env = tuple((name, value) for name, mark, value in (str(one).partition("=") for one in _strings(config, "Env")))
    return ImageConfig(
        user=str(config.get("User") or ""),
        env=env,
        entrypoint=_strings(config, "Entrypoint"),
        cmd=_strings(config, "Cmd"),
        working_dir=str(config.get("WorkingDir") or ""),
        stop_signal=str(config.get("StopSignal") or ""),
        volumes=tuple(sorted(config.get("Volumes") or {})),
        exposed_ports=tuple(sorted(config.get("ExposedPorts") or {})),
        labels={str(key): str(value) for key, value in (config.get("Labels") or {}).items()},
    )


def check_digest(value: object) -> str:
    """A digest that can be a file's name; sha256 only, as every registry and archive has it."""
    if not isinstance(value, str) or not re.fullmatch(r"sha256:[a-f0-9]{64}", value):
        raise Malformed(f"{value!r} is not a sha256 digest")
    return value


def _descriptor(raw: object) -> Descriptor:
    if not isinstance(raw, dict) or not isinstance(raw.get("size", 0), int):
        raise Malformed("one of its descriptors is malformed")
    where = raw.get("platform")
    notes = raw.get("annotations")
    return Descriptor(
        check_digest(raw.get("digest")),
        raw.get("size", 0),
        str(raw.get("mediaType") or ""),
        where if isinstance(where, dict) else None,
        notes if isinstance(notes, dict) else None,
    )


def _object(data: bytes, what: str) -> dict[str, Any]:
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{what} is not JSON: {error}") from None
    if not isinstance(raw, dict):
        raise Malformed(f"{what} is not a JSON object")
    return raw


def _sequence(raw: Mapping[str, Any], key: str) -> list[Any]:
    found = raw.get(key)
    if not isinstance(found, list):
        raise Malformed(f"its {key} are not a list")
    return found


def _strings(config: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = config.get(key) or ()
    if isinstance(found, str):
        return (found,)
    return tuple(str(one) for one in found)
