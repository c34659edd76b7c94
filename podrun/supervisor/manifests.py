"""Pods' objects beside the database: where that is lost (torn, moved away), what runs is known all the same.

One file per pod on a tmpfs, which says of which database it is: a pod that the same database has no longer was deleted;
one of another database was forgotten, and is put into the new one as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from podrun.kernel import files

log = logging.getLogger(__name__)

Object = Mapping[str, Any]


class Manifests:
    """The files below one directory. `database` is the identity of the present one."""

    def __init__(self, directory: Path, database: str) -> None:
        self._directory = directory
        self._database = database

    def keep(self, obj: Object) -> None:
        """Note a pod that runs. A failure is logged: the pod goes on without."""
        path = self._path(obj["metadata"]["uid"])
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.replace(path, orjson.dumps({"database": self._database, "pod": obj}))
        except OSError as error:
            log.warning("cannot keep a pod's object in %s: %s", path, error.strerror)

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._path(uid).unlink(missing_ok=True)

    def forgotten(self) -> Iterator[dict[str, Any]]:
        """Pods that another database knew, without what that one numbered."""
        for path in sorted(self._directory.glob("*.json")) if self._directory.is_dir() else ():
            try:
                kept = orjson.loads(path.read_bytes())
                database, pod = kept["database"], kept["pod"]
            except (OSError, ValueError, KeyError):
                path.unlink(missing_ok=True)
                continue
            if database != self._database:
                metadata = {name: value for name, value in pod["metadata"].items() if name != "resourceVersion"}
                yield {**pod, "metadata": metadata}

    def _path(self, uid: str) -> Path:
        return self._directory / f"{uid}.json"
