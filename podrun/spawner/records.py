"""Files in the spawner's directory: who lives, and how those ended whose end has not been acknowledged.

    living/ID   a Process and the boot it belongs to; read by the next spawner after this one was killed
    exits/ID    an Exit; there before anybody is told, until podrund has noted it

Each is written to a temporary name and renamed: a reader sees all of it or nothing. /run is memory: no fsync.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from podrun.kernel import processes
from podrun.spawner import codec
from podrun.spawner.protocol import Exit, Process


class Records:
    """One directory's records. Ids are plain names (checked by `is_name`)."""

    def __init__(self, directory: Path) -> None:
        self._living = directory / "living"
        self._exits = directory / "exits"
        for path in (self._living, self._exits):
            path.mkdir(mode=0o700, exist_ok=True)

    def begin(self, process: Process) -> None:
        """Note a process that is being started."""
        _write(self._living / process.id, {"boot": processes.boot_id(), "process": codec.encode(process)})

    def forget(self, process_id: str) -> None:
        """The start failed, or the end needs no record."""
        (self._living / process_id).unlink(missing_ok=True)

    def end(self, exit: Exit) -> None:
        """Write the exit's record, then forget the living one."""
        _write(self._exits / exit.id, codec.encode(exit))
        self.forget(exit.id)

    def acknowledge(self, process_id: str) -> None:
        (self._exits / process_id).unlink(missing_ok=True)

    def exits(self) -> list[Exit]:
        """All that are not acknowledged, oldest end first."""
        found = [codec.decode(data) for data in _read_all(self._exits)]
        return sorted(found, key=lambda exit: exit.finished_at)

    def left_behind(self) -> list[tuple[Process, bool]]:
        """Of a spawner that was killed: each process, and whether it still lives."""
        boot = processes.boot_id()
        found: list[tuple[Process, bool]] = []
        for data in _read_all(self._living):
            process: Process = codec.decode(data["process"])
            alive = data["boot"] == boot and processes.is_alive(process.pid, process.start_time)
            found.append((process, alive))
        return found


def is_name(process_id: str) -> bool:
    """Whether it can be a file's name of its own."""
    return 0 < len(process_id) <= 200 and "/" not in process_id and not process_id.startswith(".")


def _write(path: Path, data: dict[str, Any]) -> None:
    temporary = str(path.parent / f".{path.name}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, json.dumps(data).encode())
    finally:
        os.close(descriptor)
    os.rename(temporary, path)


def _read_all(directory: Path) -> Iterator[dict[str, Any]]:
    for name in sorted(os.listdir(directory)):
        if name.startswith("."):
            os.unlink(directory / name)
            continue
        yield json.loads((directory / name).read_bytes())
