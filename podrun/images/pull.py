"""Pull one image: resolve its name, read manifest and configuration, bring the layers that are not here.

What was read is verified by its digest before it is used. Sentences of failures are containerd's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp

from podrun.images import manifests, registry
from podrun.images.downloads import Downloads
from podrun.images.intake import take_in
from podrun.images.layers import LayerRefused, Layers, Piece
from podrun.images.manifests import Descriptor, ImageList, Malformed, Manifest
from podrun.images.model import Credentials, OnProgress, Progress
from podrun.images.reference import Reference
from podrun.images.registry import NotThere, Place, RegistryError, Repository, Resolved

_AT_ONCE = 3
"""Downloads at a time, as in containerd."""
_TIMEOUTS = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60)
"""Seconds. A pull may take hours, but not a minute without a byte (the kubelet's imagePullProgressDeadline)."""


class PullFailed(Exception):
    """The image cannot be had; the sentence is what a kubelet gets from containerd."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """An image whose layers are here."""

    id: str
    config: dict[str, Any]
    digest: str
    """Of what the name means: of the index, where there is one."""


class Pull:
    """One image from the first place that has it."""

    def __init__(self, reference: Reference, layers: Layers, downloads: Downloads, on_progress: OnProgress) -> None:
        self._reference = reference
        self._layers = layers
        self._downloads = downloads
        self._on_progress = on_progress

    async def run(self, places: Sequence[Place], login: Credentials | None, fresh: set[str]) -> Pulled:
        """The image, its layers unpacked; new ones are noted in `fresh`. Raises PullFailed.

        `places` are asked in order, the registry itself last: its failure is the one that counts. Only it gets the
        log-in, which is meant for it and for no mirror.
        """
        async with aiohttp.ClientSession(timeout=_TIMEOUTS, headers={"User-Agent": "podrun"}) as session:
            for mirror in places[:-1]:
                try:
                    return await self._from(Repository(session, mirror, None), fresh)
                except PullFailed:
                    continue
            return await self._from(Repository(session, places[-1], login), fresh)

    async def _from(self, repository: Repository, fresh: set[str]) -> Pulled:
        prefix = f'failed to pull and unpack image "{self._reference}"'
        self._on_progress(Progress(self._reference.familiar, "resolving"))
        try:
            resolved = await repository.resolve(self._reference)
        except (RegistryError, Malformed) as error:
            raise PullFailed(f'{prefix}: failed to resolve reference "{self._reference}": {error}') from error
        try:
            manifest = await self._manifest(repository, resolved)
            config = await repository.config(manifest.config.digest)
            raw = manifests.read_config(config)
            await self._bring(repository, manifest.layers, manifests.diff_ids_of(raw), fresh)
        except (RegistryError, Malformed, LayerRefused) as error:
            raise PullFailed(f"{prefix}: {error}") from error
        return Pulled(manifest.config.digest, raw, resolved.digest)

    async def _manifest(self, repository: Repository, resolved: Resolved) -> Manifest:
        """The manifest for this machine, down through indexes."""
        wanted = resolved
        for _ in range(4):
            found = manifests.parse(await repository.manifest(wanted), wanted.media_type)
            if isinstance(found, Manifest):
                return found
            wanted = _for_this_machine(found)
        raise Malformed("its indexes are nested too deeply")

    async def _bring(
        self, repository: Repository, found: Sequence[Descriptor], diff_ids: Sequence[str], fresh: set[str]
    ) -> None:
        if len(found) != len(diff_ids):
            raise Malformed(f"it has {len(found)} layers where its configuration names {len(diff_ids)}")
        turns = asyncio.Semaphore(_AT_ONCE)
        with ExitStack() as open_files:

            async def piece_of(number: int) -> Piece:
                async with turns:
                    fd = await self._downloads.get(repository, found[number], self._on_progress)
                open_files.callback(os.close, fd)
                return Piece.whole(fd)

            await take_in(self._layers, diff_ids, piece_of, self._on_progress, fresh)
        for layer in found:
            self._downloads.forget(layer.digest)


def _for_this_machine(images: ImageList) -> Resolved:
    chosen = manifests.choose(images, manifests.architecture())
    if chosen is None:
        raise NotThere("no match for platform in manifest: not found")
    return Resolved(chosen.digest, chosen.media_type)


def places(reference: Reference, mirrors: Sequence[str]) -> list[Place]:
    """Where to ask, in order."""
    return [registry.mirror(address, reference) for address in mirrors] + [registry.origin(reference)]
