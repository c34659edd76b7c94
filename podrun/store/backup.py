"""A copy of the database as another version of podrun left it, made before this one writes to it."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from pathlib import Path

log = logging.getLogger(__name__)


def keep(database: sqlite3.Connection, path: Path, version: str) -> None:
    """Write `PATH.before-VERSION`, which takes the place of older ones. Without room for it podrun goes on without."""
    copy = path.with_name(f"{path.name}.before-{version}")
    temporary = path.with_name(f".{copy.name}")
    try:
        os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))  # it holds Secrets
        with contextlib.closing(sqlite3.connect(temporary)) as target:
            database.backup(target)
        temporary.rename(copy)
    except (OSError, sqlite3.Error) as error:
        log.warning("no copy of %s is kept before podrun %s writes to it: %s", path, version, error)
        temporary.unlink(missing_ok=True)
        return
    for other in path.parent.glob(f"{path.name}.before-*"):
        if other != copy:
            other.unlink()
