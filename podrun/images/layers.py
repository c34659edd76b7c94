"""Unpacked layers on disk, each once, named after the digest of its uncompressed archive (the diff id).

    layers/<name>         the directory, as overlayfs takes it
    layers/<name>.json    what is known of it: diff id, bytes, entries

`<name>` is 32 characters for 160 bits of the digest, not 64: overlayfs is given all layers of a root in one page of
text. The directory is made elsewhere and renamed when it is whole and on disk, so what is here is always complete.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from podrun.images.disk import remove_tree, sync_directory, write_durably
from podrun.images.model import Limits
from podrun.kernel.paths import sync_file_system

_UNPACK = Path(__file__).with_name("unpack.py")


class LayerRefused(Exception):
    """A layer cannot be taken in; the sentence says why."""


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What is known of an unpacked layer."""

    diff_id: str
    bytes: int
    entries: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A layer's archive, compressed or not: a range of an open file."""

    fd: int
    offset: int
    length: int

    @classmethod
    def whole(cls, fd: int) -> Piece:
        """All of the file."""
        return cls(fd, 0, os.fstat(fd).st_size)


class Layers:
    """The directory of layers below the store's root."""

    def __init__(self, directory: Path, scratch: Path, limits: Limits) -> None:
        """`scratch` holds what is unfinished; it must be on the same file system."""
        self._directory = directory
        self._scratch = scratch
        self._limits = limits
        self._coming: dict[str, asyncio.Future[LayerFacts]] = {}

    def path(self, diff_id: str) -> Path:
        """Where the layer is, or would be."""
        return self._directory / _name(diff_id)

    def facts(self, diff_id: str) -> LayerFacts | None:
        """The layer's facts if it is here."""
        path = self.path(diff_id)
        if not path.is_dir():
            return None
        return LayerFacts(**json.loads(path.with_suffix(".json").read_bytes()))

    def __iter__(self) -> Iterator[LayerFacts]:
        for path in self._directory.glob("*.json"):
            if path.with_suffix("").is_dir():
                yield LayerFacts(**json.loads(path.read_bytes()))

    async def add(self, piece: Piece, diff_id: str, on_bytes: Callable[[int], None]) -> LayerFacts:
        """Unpack a layer that must have this diff id; at once when it is here, together with who adds it too.

        `on_bytes` is told how far it is (bytes uncompressed). Raises LayerRefused; nothing is left then.
        """
        if (facts := self.facts(diff_id)) is not None:
            return facts
        if (coming := self._coming.get(diff_id)) is not None:
            with contextlib.suppress(LayerRefused, asyncio.CancelledError):
                return await asyncio.shield(coming)
            return await self.add(piece, diff_id, on_bytes)
        future = self._coming[diff_id] = asyncio.get_running_loop().create_future()
        try:
            facts = await self._unpack(piece, diff_id, on_bytes)
        except BaseException:
            future.cancel()
            raise
        finally:
            del self._coming[diff_id]
        future.set_result(facts)
        return facts

    async def _unpack(self, piece: Piece, diff_id: str, on_bytes: Callable[[int], None]) -> LayerFacts:
        scratch = Path(tempfile.mkdtemp(prefix="layer-", dir=self._scratch))
        scratch.chmod(0o755)
        try:
            answer = await self._run(piece, scratch, on_bytes)
            if answer["diff_id"] != diff_id:
                raise LayerRefused(f"its content is {answer['diff_id']}, not {diff_id}")
            facts = LayerFacts(diff_id, answer["bytes"], answer["entries"])
            await _to_the_end(asyncio.to_thread(self._publish, scratch, facts))
        finally:
            await asyncio.to_thread(remove_tree, scratch)
        return facts

    async def _run(self, piece: Piece, directory: Path, on_bytes: Callable[[int], None]) -> dict[str, Any]:
        """Run the unpacker over the piece; gives its answer."""
        request = {
            "directory": str(directory),
            "offset": piece.offset,
            "length": piece.length,
            "limit_bytes": self._limits.bytes,
            "limit_entries": self._limits.entries,
            "ratio": self._limits.ratio,
            "ratio_from": self._limits.ratio_from,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            str(_UNPACK),
            json.dumps(request),
            stdin=piece.fd,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        answer: dict[str, Any] = {}
        try:
            # both pipes exist: they were asked for
            output, errors = cast(asyncio.StreamReader, process.stdout), cast(asyncio.StreamReader, process.stderr)
            async for line in output:
                answer = json.loads(line)
                if answer.keys() == {"bytes"}:
                    on_bytes(answer["bytes"])
            trouble = (await errors.read()).decode(errors="replace").strip()
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if "refused" in answer:
            raise LayerRefused(answer["refused"])
        if "failed" in answer:
            raise LayerRefused(f"unpacking failed: {answer['failed']}")
        if process.returncode or "diff_id" not in answer:
            last = trouble.rpartition("\n")[2]
            raise LayerRefused(f"the unpacking process ended with {process.returncode}: {last}")
        return answer

    def _publish(self, scratch: Path, facts: LayerFacts) -> None:
        path = self.path(facts.diff_id)
        # Renamed before its files are on disk, the layer could be found empty after a power cut.
        fd = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync_file_system(fd)
        finally:
            os.close(fd)
        write_durably(path.with_suffix(".json"), json.dumps(asdict(facts)))
        try:
            os.rename(scratch, path)
        except OSError:
            # another process may have been quicker with the same layer: its directory is as good
            if not path.is_dir():
                raise
        sync_directory(self._directory)

    def remove(self, diff_id: str) -> int:
        """Remove a layer, seen whole or not at all; gives the bytes of its files."""
        facts = self.facts(diff_id)
        if facts is None:
            return 0
        path = self.path(diff_id)
        doomed = Path(tempfile.mkdtemp(prefix="gone-", dir=self._scratch))
        os.rename(path, doomed / "layer")
        path.with_suffix(".json").unlink(missing_ok=True)
        remove_tree(doomed)
        return facts.bytes

    def drop_stray_notes(self) -> None:
        """Remove notes of layers that never came or are gone: of a process that died between the two."""
        for note in self._directory.glob("*.json"):
            if not note.with_suffix("").is_dir():
                note.unlink()


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await work in a thread, which goes on when this task is cancelled: what follows must not meet it half done."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def _name(diff_id: str) -> str:
    algorithm, _, digest = diff_id.partition(":")
    if algorithm != "sha256":
        raise LayerRefused(f"its digest is of the unknown kind {algorithm!r}")
    return base64.b32encode(bytes.fromhex(digest)[:20]).decode().lower()
