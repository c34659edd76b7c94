"""Writing what must survive a power cut, and removing what nobody needs."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path


def write_durably(path: Path, content: bytes | str) -> None:
    """Replace a file: a reader, or a machine that lost its power, sees the old content or the new, never a part."""
    data = content.encode() if isinstance(content, str) else content
    fd, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(fd, 0o600)
            os.fsync(fd)
        os.rename(scratch, path)
    except BaseException:
        os.unlink(scratch)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_tree(path: Path) -> None:
    """Remove a directory of ours with everything below it, if it is there; links are removed, never followed."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)
