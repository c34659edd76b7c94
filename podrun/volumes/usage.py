"""How much of a volume is used: what an emptyDir's sizeLimit is held against."""

from __future__ import annotations

import os
from pathlib import Path


def of_directory(path: Path) -> int:
    """Bytes on disk of everything below `path`, as du counts: blocks, a hard link once, other file systems not."""
    top = os.lstat(path)
    used = top.st_blocks * 512
    seen: set[int] = set()
    todo = [str(path)]
    while todo:
        try:
            entries = list(os.scandir(todo.pop()))
        except (FileNotFoundError, NotADirectoryError):
            continue  # containers go on writing and removing
        for entry in entries:
            try:
                facts = entry.stat(follow_symlinks=False)
                below = entry.is_dir(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if facts.st_dev != top.st_dev:
                continue
            if facts.st_nlink > 1 and not below:
                if facts.st_ino in seen:
                    continue
                seen.add(facts.st_ino)
            used += facts.st_blocks * 512
            if below:
                todo.append(entry.path)
    return used


def of_mount(path: Path) -> int:
    """Bytes in use of the file system mounted at `path`."""
    facts = os.statvfs(path)
    return (facts.f_blocks - facts.f_bfree) * facts.f_frsize
