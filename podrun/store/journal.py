"""Durability: every change in SQLite before anyone sees it, on one writer thread.

    loop's thread                      writer thread
    append(write) ──> queue ──> takes all that wait, one transaction, COMMIT (fsync)
    append(write, patient) ──> held back: goes with the next one that is not, after PATIENCE at the latest
    settled(writes, error) <── call_soon_threadsafe ──┘

Writes that arrive while a commit is on its way are committed together by the next one, so that fifty pods at once cost
a few fsyncs and a slow disk never stalls the loop. WAL with synchronous=FULL survives a power cut.

When a commit fails (disk full), the writes that were accepted after it stand on states that never came to be: all of
them fail. `generation` tells them apart: the loop's side counts it up once it has heard of the failure.
"""

from __future__ import annotations

import asyncio
import os
import queue
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import podrun
from podrun.store import backup
from podrun.store.records import ChangeType, Key, Record, WatchEvent

FORMAT = 1
PATIENCE = 0.02
"""Seconds that a patient write may be held back: a pod's start tells ten things in this time, and nobody waits for most
of them; committed one by one they would stand in the way of the one that is waited for."""
_ROWS = 500
"""Rows in one statement: SQLite takes 32766 values."""
_SCHEMA = """
CREATE TABLE objects (
    resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (resource, namespace, name)
) WITHOUT ROWID;
CREATE TABLE changes (
    version INTEGER PRIMARY KEY, type TEXT NOT NULL,
    resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL
);
"""


class UnreadableDatabase(Exception):
    """The file is not a database of this podrun; the text says what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    """A change on its way to the disk."""

    event: WatchEvent
    generation: int
    _waiting: list[asyncio.Future[Record]] = field(default_factory=list)

    async def durable(self) -> Record:
        """The record, once it is durable and visible; to be called before that. Raises what `fail` is told.

        Who waits is woken before anything that the change itself sets going: a client has its answer first.
        """
        waiter: asyncio.Future[Record] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        return await waiter

    def succeed(self) -> None:
        """It is durable and visible."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(self.event.record)

    def fail(self, error: Exception) -> None:
        """It will never be."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(error)


Row = TypeVar("Row")
Settled = Callable[[list[Write], Exception | None], None]


class Journal:
    """The database file. `settled` is called on the loop, in the order of the writes."""

    def __init__(self, path: Path, history: int, settled: Settled) -> None:
        self._history = history
        self._settled = settled
        self._path = path
        self._database = _open(path)
        self.identity = _about(self._database, path)
        """Of this database, for ever; one that begins anew has another."""
        self._queue: queue.SimpleQueue[list[Write] | None] = queue.SimpleQueue()
        self._held: list[Write] = []
        self._timer: asyncio.TimerHandle | None = None
        self._generation = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def objects(self) -> Iterator[tuple[Key, Record]]:
        """Every object as it was last written."""
        rows = self._read("SELECT resource, namespace, name, version, body FROM objects")
        for resource, namespace, name, version, body in rows:
            yield Key(resource, namespace, name), Record(version, body)

    def changes(self) -> Iterator[WatchEvent]:
        """The last changes, oldest first; `before` where the history holds it."""
        last: dict[Key, Record] = {}
        rows = self._read("SELECT version, type, resource, namespace, name, body FROM changes ORDER BY version")
        for version, type_, resource, namespace, name, body in rows:
            key, record = Key(resource, namespace, name), Record(version, body)
            yield WatchEvent(type_, key, record, last.get(key))
            if type_ == "DELETED":
                last.pop(key, None)
            else:
                last[key] = record

    def _read(self, query: str) -> Iterator[tuple[Any, ...]]:
        """The rows; a page that was torn is found when it is read. Raises UnreadableDatabase."""
        try:
            yield from self._database.execute(query)
        except sqlite3.Error as error:
            raise _damaged(self._path, error) from error

    def append(self, write: Write, *, patient: bool = False) -> None:
        """Queue a write; called on the loop's thread. A `patient` one may wait for others, no longer than PATIENCE."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._thread.start()
        self._held.append(write)
        if not patient:
            self.hurry()
        elif self._timer is None:
            self._timer = self._loop.call_later(PATIENCE, self.hurry)

    def hurry(self) -> None:
        """Hold nothing back any longer; called on the loop's thread."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._held:
            self._queue.put(self._held)
            self._held = []

    def close(self) -> None:
        """Commit what is queued and close the file; blocks for as long as that takes. To be called after `hurry`."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        self._database.close()

    def _run(self) -> None:
        more = True
        while more:
            waiting, more = self._take()
            self._settle([write for write in waiting if write.generation < self._generation], stale=True)
            self._settle([write for write in waiting if write.generation >= self._generation])

    def _take(self) -> tuple[list[Write], bool]:
        """All writes that wait (at least one, blocking for it), and whether more may come."""
        writes: list[Write] = []
        item = self._queue.get()
        while item is not None:
            writes += item
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return writes, True
        return writes, False

    def _settle(self, writes: list[Write], *, stale: bool = False) -> None:
        if not writes:
            return
        error: Exception | None = OSError("an earlier change could not be stored") if stale else None
        if not stale:
            try:
                self._commit([write.event for write in writes])
            except sqlite3.Error as failure:
                error = failure
                self._generation += 1
        assert self._loop is not None
        # The loop is closed only after `close` has joined this thread.
        self._loop.call_soon_threadsafe(self._settled, writes, error)

    def _commit(self, events: list[WatchEvent]) -> None:
        """One statement for all rows of a kind: after each one this thread has to wait for the loop's."""
        database = self._database
        # Several versions of one object in a batch: the last one stays.
        last = {event.key: event for event in events}.values()
        gone = [event.key for event in last if event.type == "DELETED"]
        stays = [event for event in last if event.type != "DELETED"]
        try:
            database.execute("BEGIN IMMEDIATE")
            for some in _parts(events):
                database.execute(f"INSERT INTO changes VALUES {_rows(6, some)}", [*chain(*map(_change_row, some))])
            for some in _parts(stays):
                database.execute(
                    f"INSERT OR REPLACE INTO objects VALUES {_rows(5, some)}", [*chain(*map(_object_row, some))]
                )
            for keys in _parts(gone):
                which = f"(resource, namespace, name) IN (VALUES {_rows(3, keys)})"
                database.execute(f"DELETE FROM objects WHERE {which}", [*chain(*keys)])
            database.execute("DELETE FROM changes WHERE version <= ?", (events[-1].version - self._history,))
            database.execute("COMMIT")
        except sqlite3.Error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise


def _parts(rows: list[Row]) -> Iterator[list[Row]]:
    """As many at a time as fit into one statement."""
    return (rows[begin : begin + _ROWS] for begin in range(0, len(rows), _ROWS))


def _rows(columns: int, rows: Sized) -> str:
    """`(?, ?), (?, ?)`: the places of so many rows."""
    return ", ".join([f"({', '.join('?' * columns)})"] * len(rows))


def _change_row(event: WatchEvent) -> tuple[int, ChangeType, str, str, str, bytes]:
    return (event.version, event.type, *event.key, event.record.encoded)


def _object_row(event: WatchEvent) -> tuple[str, str, str, int, bytes]:
    return (*event.key, event.version, event.record.encoded)


def _damaged(path: Path, error: sqlite3.Error) -> UnreadableDatabase:
    backups = sorted(path.parent.glob(f"{path.name}.before-*"))
    copy = f", put {backups[-1].name} in its place," if backups else ""
    return UnreadableDatabase(
        f"{path} is damaged or not a database of podrun ({error}); pods that run go on: move it away{copy} and start"
        " podrun again, which then finds them"
    )


def _about(database: sqlite3.Connection, path: Path) -> str:
    """The database's identity. Where another version of podrun wrote it last, a copy of it is kept first."""
    try:
        database.execute("CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        about: dict[str, str] = dict(database.execute("SELECT name, value FROM about"))
        if about.get("version") != podrun.__version__:
            if database.execute("SELECT EXISTS (SELECT * FROM objects)").fetchone()[0]:
                backup.keep(database, path, podrun.__version__)
            identity = about.get("identity") or secrets.token_hex(8)
            values = (("identity", identity), ("version", podrun.__version__))
            database.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", values)
            return identity
        return about["identity"]
    except sqlite3.OperationalError as error:
        database.close()
        raise UnreadableDatabase(f"{path} cannot be written: {error}") from error
    except sqlite3.DatabaseError as error:
        database.close()
        raise _damaged(path, error) from error


def _open(path: Path) -> sqlite3.Connection:
    # The file holds Secrets: nobody but root reads it. Its -wal file takes over the mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    # Nobody shares the file: whoever holds it goes on holding it, so there is no sense in waiting.
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
    try:
        # One podrun per database: a second one finds it locked instead of writing beside the first.
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        (found,) = database.execute("PRAGMA user_version").fetchone()
        if found == 0:
            database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT;")
        elif found != FORMAT:
            raise UnreadableDatabase(
                f"{path} was written by another version of podrun (format {found}, not {FORMAT}): start that version"
                " again; pods that run go on"
            )
    except sqlite3.OperationalError as error:
        database.close()
        if "locked" in str(error):
            raise UnreadableDatabase(f"{path} is in use: another podrun daemon runs on it") from None
        raise UnreadableDatabase(f"{path} cannot be opened: {error}") from error
    except sqlite3.DatabaseError as error:
        database.close()
        raise _damaged(path, error) from error
    except UnreadableDatabase:
        database.close()
        raise
    return database
