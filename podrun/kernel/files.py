"""Files that are replaced whole."""

from __future__ import annotations

import os


def replace(path: str | os.PathLike[str], content: bytes, mode: int = 0o600) -> None:
    """Write a file beside `path` (`.NAME`) and rename it there: a reader sees the old content or the new one, whole.

    Nothing is synced: for what may vanish with the machine. The room is allocated before the write, since ext4 flushes
    a file whose blocks are still to be allocated when it replaces another one (auto_da_alloc), for milliseconds.
    Raises OSError.
    """
    directory, name = os.path.split(os.fspath(path))
    beside = os.path.join(directory, f".{name}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        if content:
            os.posix_fallocate(descriptor, 0, len(content))
        with open(descriptor, "wb", buffering=0, closefd=False) as file:
            file.write(content)
    finally:
        os.close(descriptor)
    os.rename(beside, path)
