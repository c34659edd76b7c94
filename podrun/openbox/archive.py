"""Timelines and decisions of pods that have ended, on disk: one small file each, the oldest going when there are many.

A pod's is written when nothing is left of it, and, as far as it has come, when podrund stops; what a podrund that is
killed had in memory of living pods is lost.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from podrun.kernel import files

log = logging.getLogger(__name__)

Object = dict[str, Any]
MOST = 100
"""Files kept."""


class Archive:
    """The files of one directory: NAMESPACE_NAME_UID.json, each `{"timeline": ..., "decisions": [...]}`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, timeline: Object, decisions: list[Object]) -> None:
        """Keep them. A failure is logged: it is no pod's concern."""
        name = f"{timeline['namespace']}_{timeline['name']}_{timeline['uid']}.json"
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.replace(self._directory / name, orjson.dumps({"timeline": timeline, "decisions": decisions}))
            for path in self._newest_first()[MOST:]:
                path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("the timeline of pod %s is not kept: %s", timeline["name"], error.strerror)

    def find(self, namespace: str, name: str, uid: str = "") -> Object | None:
        """The latest of a pod's name, or that of one uid."""
        return next(self._records(f"{namespace}_{name}_{uid}"), None)

    def all(self) -> list[Object]:
        """The timelines, latest first."""
        return [record["timeline"] for record in self._records()]

    def _records(self, beginning: str = "") -> Iterator[Object]:
        for path in self._newest_first():
            if path.name.startswith(beginning):
                with contextlib.suppress(OSError, ValueError):
                    yield orjson.loads(path.read_bytes())

    def _newest_first(self) -> list[Path]:
        found: list[tuple[float, Path]] = []
        for path in self._directory.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):
                found.append((os.stat(path).st_mtime, path))
        return [path for _, path in sorted(found, reverse=True)]


def joined(before: Object, now: Object) -> Object:
    """One timeline of a pod's earlier part, from before podrund was restarted, and of what came then."""
    shift = (now["zero"] - before["zero"]) // 1000
    later = [{**step, "at": step["at"] + shift} for step in now["steps"]]
    milestones = {name: at + shift for name, at in now["milestones"].items()}
    return {
        **now,
        "zero": before["zero"],
        "dropped": before["dropped"] + now["dropped"],
        "milestones": {**milestones, **before["milestones"]},
        "steps": [*before["steps"], *later],
    }
