"""What the spawner knows of a process from its execve until its exit has been told."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass

from podrun.spawner.log_link import Followed
from podrun.spawner.loop import Timer
from podrun.spawner.protocol import Exit, Process, Usage


@dataclass(slots=True)
class Running:
    """A process and the spawner's descriptors of it. `exit` is set when it has ended and is not told yet."""

    process: Process
    pidfd: int
    held: dict[str, int]
    exit: Exit | None = None
    patience: Timer | None = None
    """Rings when the exit is to be told although the log process has not answered."""

    def followed(self) -> Followed | None:
        """What the log process reads of it; an exec's streams are its caller's."""
        if self.process.kind == "exec":
            return None
        streams = {name: descriptor for name, descriptor in self.held.items() if name != "stdin"}
        return Followed(self.process.id, self.process.log, streams) if streams else None

    def release(self, name: str) -> None:
        """Close one of `held`, if it is there."""
        descriptor = self.held.pop(name, None)
        if descriptor is not None:
            os.close(descriptor)

    def close(self) -> None:
        for descriptor in self.held.values():
            os.close(descriptor)
        self.held.clear()
        os.close(self.pidfd)


def ended(process: Process, status: int, usage: resource.struct_rusage, when: int) -> Exit:
    """The exit of a process that was waited for."""
    signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    return Exit(
        process.id,
        process.kind,
        process.pid,
        process.start_time,
        process.started_at,
        when,
        status=status,
        code=128 + signal if signal else os.WEXITSTATUS(status),
        signal=signal,
        core_dumped=os.WCOREDUMP(status),
        usage=Usage(
            round(usage.ru_utime * 1e6),
            round(usage.ru_stime * 1e6),
            usage.ru_maxrss * 1024,
            usage.ru_minflt,
            usage.ru_majflt,
        ),
    )


def lost(process: Process, when: int) -> Exit:
    """The end of a process whose parent, an earlier spawner, was killed: nobody can know its status."""
    return Exit(
        process.id, process.kind, process.pid, process.start_time, process.started_at, when, code=137, lost=True
    )
