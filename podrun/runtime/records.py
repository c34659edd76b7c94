"""What is written down of sandboxes and containers, so that the next podrund knows them.

One small JSON file each, in a directory of its own below the run directory (a reboot ends all of it anyway):

    sandboxes/<id>/record.json, hosts, hostname, resolv.conf
    containers/<id>/record.json, termination-log

A record is written before its process is begun and when it has ended (before the spawner may forget the exit). That it
runs is not written: the spawner knows.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from podrun.kernel import files
from podrun.runtime.model import ContainerStatus, SandboxConfig


class UnreadableRecord(Exception):
    """A record was written by another version of podrun. Nothing is touched: it is of a pod that runs."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} was written by another version of podrun: start that version again; pods that run go on"
        )


@dataclass(frozen=True, slots=True)
class SandboxRecord:
    """A sandbox; `address` is "" on the host's network."""

    id: str
    config: SandboxConfig
    created_at: float
    address: str = ""


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """A container and what its process began with (an exec's begins with the same)."""

    status: ContainerStatus
    environment: tuple[str, ...]


Record = TypeVar("Record", SandboxRecord, ContainerRecord)


class Records(Generic[Record]):
    """A directory of records of one kind."""

    def __init__(self, directory: Path, kind: type[Record]) -> None:
        self.directory = directory
        self._adapter: TypeAdapter[Record] = TypeAdapter(kind)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def place(self, record_id: str) -> Path:
        """The record's own directory, which may hold more files."""
        return self.directory / record_id

    def write(self, record_id: str, record: Record) -> None:
        """Write or replace it; a reader sees the old or the new one, whole."""
        place = self.place(record_id)
        place.mkdir(mode=0o700, exist_ok=True)
        files.replace(place / "record.json", self._adapter.dump_json(record, exclude_defaults=True))

    def load(self) -> tuple[dict[str, Record], list[str]]:
        """All, by id, and the ids of those that were never finished. Raises UnreadableRecord."""
        found: dict[str, Record] = {}
        broken: list[str] = []
        for place in self.directory.iterdir():
            try:
                written = (place / "record.json").read_bytes()
            except OSError:
                broken.append(place.name)
                continue
            try:
                found[place.name] = self._adapter.validate_json(written)
            except ValidationError as error:
                raise UnreadableRecord(place / "record.json") from error
        return found, broken

    def remove(self, record_id: str) -> None:
        """Remove its directory with the files in it; nothing happens when it is gone."""
        place = self.place(record_id)
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(place):
                os.unlink(place / name)
            os.rmdir(place)
