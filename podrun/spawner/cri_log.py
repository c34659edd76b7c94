"""The CRI log format and its files: whole batches of output to lines, rotation by size.

    2026-01-02T03:04:05.123456789Z stdout F a whole line
    2026-01-02T03:04:05.123456789Z stdout P the first 16 KiB of a long one, or what had no newline at the end

A batch has one timestamp: the time at which it was read.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Literal

from podrun.spawner.protocol import Log

LONGEST = 16 << 10
"""Bytes of one line's content; longer ones are cut into P pieces (containerd's max_container_log_line_size)."""
_ROTATED = "%Y%m%d-%H%M%S"
"""The kubelet's name of a rotated file: `0.log.20260102-030405`, UTC."""


def timestamp(nanoseconds: int) -> bytes:
    """RFC 3339 with nine digits, UTC."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode() + b".%09dZ" % fraction


class Lines:
    """One stream's bytes to log lines; keeps the line that has not ended yet."""

    __slots__ = ("_name", "_rest")

    def __init__(self, name: Literal["stdout", "stderr"]) -> None:
        self._name = name.encode()
        self._rest = b""

    def take(self, data: bytes, when: int) -> bytes:
        """The log lines of what is complete with `data`; `when` is nanoseconds since the epoch."""
        if self._rest:
            data = self._rest + data
        end = data.rfind(b"\n") + 1
        complete, self._rest = data[:end], data[end:]
        stamp = b"%s %s " % (timestamp(when), self._name)
        if not complete:
            lines = b""
        elif _has_long_line(complete):
            lines = b"".join([_cut(line, stamp) for line in complete[:-1].split(b"\n")])
        else:
            full = stamp + b"F "
            lines = full + complete[:-1].replace(b"\n", b"\n" + full) + b"\n"
        while len(self._rest) > LONGEST:
            lines += stamp + b"P " + self._rest[:LONGEST] + b"\n"
            self._rest = self._rest[LONGEST:]
        return lines

    def finish(self, when: int) -> bytes:
        """What is left without a newline, as containerd ends a stream: a partial line."""
        if not self._rest:
            return b""
        rest, self._rest = self._rest, b""
        return b"%s %s P %s\n" % (timestamp(when), self._name, rest)


def _has_long_line(data: bytes) -> bool:
    """A line of more than LONGEST covers a whole aligned half of that: look for one without a newline."""
    half = LONGEST // 2
    return any(data.find(b"\n", start, start + half) < 0 for start in range(0, len(data) - half, half))


def _cut(line: bytes, stamp: bytes) -> bytes:
    lines = b""
    while len(line) > LONGEST:
        lines += stamp + b"P " + line[:LONGEST] + b"\n"
        line = line[LONGEST:]
    return lines + stamp + b"F " + line + b"\n"


class LogFile:
    """The file at a log's path: appended to, rotated by size, never waited for when its disk is full."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self._descriptor = -1
        self._size = 0
        self._lost = 0
        self._reason = ""
        with contextlib.suppress(OSError):  # the first write says why
            self.reopen()

    def reopen(self) -> None:
        """Open the path anew, making the file if it is missing. Raises OSError."""
        self.close()
        self._descriptor = os.open(self.log.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._size = os.fstat(self._descriptor).st_size

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def write(self, lines: bytes) -> None:
        """Append. What a full or broken disk does not take is counted, and said in the log once it can be written."""
        if self._lost:
            lines = self._confession() + lines
        try:
            if self._descriptor < 0:
                self.reopen()
            view = memoryview(lines)
            while view:
                written = os.write(self._descriptor, view)
                self._size += written
                view = view[written:]
        except OSError as error:
            self._lost += len(lines)
            self._reason = error.strerror or str(error)
            return
        self._lost = 0
        if self.log.max_size and self._size >= self.log.max_size:
            with contextlib.suppress(OSError):  # then it goes on growing, and the next batch tries again
                self.rotate()

    def rotate(self) -> None:
        """Move the file aside and begin a new one; at most once a second, for names have seconds. Raises OSError."""
        aside = f"{self.log.path}.{time.strftime(_ROTATED, time.gmtime())}"
        if os.path.exists(aside):
            return
        os.rename(self.log.path, aside)
        self.reopen()
        for path in self._rotated()[: -max(self.log.max_files - 1, 1)]:
            os.unlink(path)

    def _rotated(self) -> list[str]:
        """Rotated files, oldest first."""
        directory, name = os.path.split(self.log.path)
        names = [entry for entry in os.listdir(directory) if entry.startswith(f"{name}.")]
        return [os.path.join(directory, entry) for entry in sorted(names)]

    def _confession(self) -> bytes:
        words = f"podrun: {self._lost} bytes of this log could not be written: {self._reason}"
        return b"%s stderr F %s\n" % (timestamp(time.time_ns()), words.encode())
