"""Which images there are: one small file, replaced whole, shared by every process that uses the store.

    index.json    {"images": {id: {...}}, "names": {reference: id}}
    index.lock    held while the index is changed

A reader needs no lock: it sees the file as one change left it, and reads it again only when it was replaced.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from podrun.images.disk import write_durably


@dataclass(slots=True)
class Record:
    """An image as the index holds it."""

    config: dict[str, Any]
    """The OCI (or Docker) configuration as it came."""
    diff_ids: list[str]
    source: str
    stand_in: bool = False
    recipe: str = ""
    """What it was built from: the key under which the builder finds it again."""
    digests: list[str] = field(default_factory=list)
    """Names by the digest of the manifest."""


@dataclass(slots=True)
class Contents:
    """The index in memory."""

    images: dict[str, Record] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def names_of(self, image_id: str) -> tuple[str, ...]:
        """The references that mean this image, sorted."""
        return tuple(sorted(name for name, one in self.names.items() if one == image_id))

    def drop_unnamed(self, image_id: str) -> None:
        """Forget an image that no name means any more (its layers go with the next garbage collection)."""
        if not self.names_of(image_id):
            self.images.pop(image_id, None)


_NOTHING = Contents()


class Index:
    """The file and what it said when it was last read."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "index.json"
        self._lock = directory / "index.lock"
        self._seen: tuple[int, int] | None = None
        self._contents = _NOTHING

    def read(self) -> Contents:
        """What is there now. Not to be changed by the caller. Takes microseconds when nothing has changed."""
        try:
            facts = os.stat(self._path)
        except FileNotFoundError:
            return _NOTHING
        stamp = (facts.st_ino, facts.st_mtime_ns)
        if stamp != self._seen:
            self._contents = self._fresh()
            self._seen = stamp
        return self._contents

    @contextmanager
    def change(self) -> Iterator[Contents]:
        """The contents to change; they are written when the block ends without an error.

        Waits for other processes and for the disk: use it in a thread. Who reads meanwhile sees what was before.
        """
        fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            contents = self._fresh()
            yield contents
            write_durably(self._path, _encode(contents))
        finally:
            os.close(fd)

    def _fresh(self) -> Contents:
        try:
            return _decode(self._path.read_bytes())
        except FileNotFoundError:
            return Contents()


def _encode(contents: Contents) -> str:
    images = {image_id: asdict(record) for image_id, record in sorted(contents.images.items())}
    return json.dumps({"images": images, "names": dict(sorted(contents.names.items()))}, indent=1)


def _decode(data: bytes) -> Contents:
    raw = json.loads(data)
    return Contents({image_id: Record(**record) for image_id, record in raw["images"].items()}, raw["names"])
