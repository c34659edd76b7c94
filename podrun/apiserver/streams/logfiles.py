"""Reading a container's log files: the CRI format to what `kubectl logs` prints.

    2026-01-02T03:04:05.123456789Z stdout F a whole line
    2026-01-02T03:04:05.123456789Z stdout P a piece of one, without its end

A log is one file that is written to and, beside it, those that were moved aside when it grew too large
(`0.log.20260102-030405`); together, oldest first, they are read as one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHUNK = 256 << 10

_WHOLE = re.compile(rb"^[^ \n]+ std(?:out|err) F ", re.MULTILINE)
_WHOLE_TIMED = re.compile(rb"^([^ \n]+) std(?:out|err) F ", re.MULTILINE)
_PIECE = re.compile(rb"^[^ \n]+ std(?:out|err) P ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What a client wants of a log. `since` is the RFC 3339 time of the first line, in UTC with nine digits, or ""."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since: str = ""
    tail_lines: int | None = None
    limit_bytes: int | None = None


class Formatter:
    """Log lines in, output out; remembers whether the last line was a piece, and how much may still be sent."""

    def __init__(self, options: LogOptions) -> None:
        self._timestamps = options.timestamps
        self._since = options.since.encode()
        self._left = options.limit_bytes
        self._in_line = False

    @property
    def full(self) -> bool:
        """Whether the limit of bytes has been reached."""
        return self._left == 0

    def format(self, lines: bytes) -> bytes:
        """The output for whole log lines."""
        if self._since or self._in_line or _PIECE.search(lines):
            made = b"".join(self._one_by_one(lines))
        elif self._timestamps:
            made = _WHOLE_TIMED.sub(rb"\1 ", lines)
        else:
            made = _WHOLE.sub(b"", lines)
        if self._left is not None:
            made = made[: self._left]
            self._left -= len(made)
        return made

    def _one_by_one(self, lines: bytes) -> Iterator[bytes]:
        for line in lines.splitlines(keepends=True):
            parts = line.split(b" ", 3)
            if len(parts) < 4:
                continue
            time, _, tag, text = parts
            if self._since:
                if time < self._since:
                    continue
                # The lines of a log are in the order of time.
                self._since = b""
            if self._timestamps and not self._in_line:
                yield time + b" "
            self._in_line = tag == b"P"
            yield text[:-1] if self._in_line else text


def files_of(path: Path) -> list[Path]:
    """The files of a log, oldest first; the last is the one that is written to, if it exists."""
    try:
        names = sorted(entry for entry in os.listdir(path.parent) if entry.startswith(f"{path.name}."))
    except FileNotFoundError:
        return []
    return [*(path.parent / name for name in names), *([path] if path.exists() else [])]


class LogReader:
    """A position in a log that moves forward, across rotations."""

    def __init__(self, path: Path, tail_lines: int | None) -> None:
        self._path = path
        self._descriptor = -1
        self._rest = b""
        files = files_of(path)
        if tail_lines is None:
            self._open(files[0] if files else path, 0)
        else:
            self._open(*_tail(files, tail_lines) if files else (path, 0))

    def _open(self, path: Path, offset: int) -> bool:
        self.close()
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        os.lseek(self._descriptor, offset, os.SEEK_SET)
        return True

    def read(self) -> bytes:
        """The next whole lines; empty when there are no more now."""
        while True:
            data = os.read(self._descriptor, CHUNK) if self._descriptor >= 0 else b""
            if not data:
                if not self._next_file():
                    return b""
                continue
            data = self._rest + data
            end = data.rfind(b"\n") + 1
            self._rest = data[end:]
            if end:
                return data[:end]

    def _next_file(self) -> bool:
        """Go on to the file that came after the present one, which has been read to its end."""
        files = files_of(self._path)
        if self._descriptor < 0:
            return bool(files) and self._open(files[0], 0)
        here = os.fstat(self._descriptor)
        for place, path in enumerate(files):
            if _is_same(path, here):
                following = files[place + 1 : place + 2]
                # Between the moving aside of the file and this moment it may have got its last lines.
                if not following or os.lseek(self._descriptor, 0, os.SEEK_CUR) < os.fstat(self._descriptor).st_size:
                    return bool(following)
                return self._open(following[0], 0)
        # It has been deleted: the oldest that is left comes next, unless nothing is.
        return bool(files) and self._open(files[0], 0)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _is_same(path: Path, here: os.stat_result) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (here.st_dev, here.st_ino)


def _tail(files: list[Path], lines: int) -> tuple[Path, int]:
    """Where the last `lines` lines of these files begin: the file and the offset in it."""
    for path in reversed(files):
        size = path.stat().st_size
        if lines == 0:
            return path, size
        with path.open("rb") as file:
            end = size
            while end > 0:
                begin = max(0, end - CHUNK)
                file.seek(begin)
                block = file.read(end - begin)
                # A newline at the very end ends the last line; it begins none.
                stop = len(block) - 1 if end == size and block.endswith(b"\n") else len(block)
                found = block.count(b"\n", 0, stop)
                if found >= lines:
                    for _ in range(lines):
                        stop = block.rfind(b"\n", 0, stop)
                    return path, begin + stop + 1
                lines -= found
                end = begin
            lines -= 1 if size else 0
            if lines <= 0:
                return path, 0
    return files[0], 0
