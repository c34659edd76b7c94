"""Layers on their way: one file for each digest, taken up where an earlier try ended, verified before it is used."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp

from podrun.images.manifests import Descriptor
from podrun.images.model import OnProgress, Progress
from podrun.images.registry import RegistryError, Repository

_TRIES = 5
"""How often one layer's connection may break before the pull fails (each try goes on where the last one ended)."""
_CHUNK = 1 << 18
_ABANDONED = 24 * 3600.0
"""Seconds without a byte."""


class Downloads:
    """The directory of downloads, shared by all pulls of a store."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(self, repository: Repository, layer: Descriptor, on_progress: OnProgress) -> int:
        """A descriptor of the layer's whole file, which the caller closes. Raises RegistryError.

        Two images that have the layer in common wait for each other; another process downloads it on its own.
        """
        async with self._turns[layer.digest]:
            with self._claimed(layer.digest) as path:
                for tried in range(_TRIES):
                    try:
                        await _continue(repository, layer, path, on_progress)
                        break
                    except (aiohttp.ClientError, TimeoutError) as error:
                        if tried == _TRIES - 1:
                            why = str(error) or type(error).__name__
                            raise RegistryError(f"failed to copy: httpReadSeeker: failed open: {why}") from error
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def forget(self, digest: str) -> None:
        """The layer is unpacked: its file is no longer needed."""
        for path in (self._path(digest), self._own_path(digest)):
            path.unlink(missing_ok=True)

    def drop_abandoned(self) -> None:
        """Remove what no pull has come back for in a day; only while nobody pulls."""
        for path in self._directory.iterdir():
            if time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink()

    @contextlib.contextmanager
    def _claimed(self, digest: str) -> Iterator[Path]:
        """The file to write to, while no other process does."""
        path = self._path(digest)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                path = self._own_path(digest)
            yield path
        finally:
            os.close(fd)

    def _path(self, digest: str) -> Path:
        return self._directory / digest.replace(":", "-")

    def _own_path(self, digest: str) -> Path:
        return self._directory / f"{digest.replace(':', '-')}.{os.getpid()}"


async def _continue(repository: Repository, layer: Descriptor, path: Path, on_progress: OnProgress) -> None:
    """Bring what is missing of the file; raises aiohttp.ClientError when the connection ends before the layer does."""
    short = layer.digest.removeprefix("sha256:")[:12]
    digest, have = await asyncio.to_thread(_so_far, path)
    if have < layer.size:
        with path.open("r+b") as file:
            async with repository.blob(layer.digest, have) as (content, resumed):
                if have and not resumed:
                    digest, have = hashlib.sha256(), 0
                file.seek(have)
                file.truncate()
                async for chunk in content.iter_chunked(_CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
                    have += len(chunk)
                    if have > layer.size:
                        break
                    on_progress(Progress(short, "downloading", have, layer.size))
        if have < layer.size:
            raise aiohttp.ClientPayloadError(f"{have} of {layer.size} bytes came")
    if (got := f"sha256:{digest.hexdigest()}") != layer.digest:
        path.unlink()
        raise RegistryError(
            f'failed commit on ref "layer-{layer.digest}": unexpected commit digest {got}, '
            f"expected {layer.digest}: failed precondition"
        )


def _so_far(path: Path) -> tuple[Any, int]:
    """The digest of what an earlier try left, to be continued, and how many bytes that is."""
    path.touch()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return digest, file.tell()
