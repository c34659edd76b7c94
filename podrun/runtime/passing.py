"""The descriptors that go with a request to the spawner: collected while a plan is made, closed when it is done."""

from __future__ import annotations

import os
from types import TracebackType

from podrun.spawner.protocol import Passed


class Passing:
    """A list of descriptors; a context manager that closes those it was given to own.

    with Passing() as passing:
        plan = (EnterCgroups((passing.open(path),)), Setns(passing.lend(pidfd), ...))
        await spawner.spawn(Spawn(...), passing.descriptors)
    """

    def __init__(self) -> None:
        self.descriptors: list[int] = []
        self._owned: list[int] = []

    def lend(self, descriptor: int) -> Passed:
        """Pass a descriptor that somebody else closes."""
        if descriptor in self.descriptors:
            return Passed(self.descriptors.index(descriptor))
        self.descriptors.append(descriptor)
        return Passed(len(self.descriptors) - 1)

    def give(self, descriptor: int) -> Passed:
        """Pass a descriptor that is closed at the end of the block."""
        self._owned.append(descriptor)
        return self.lend(descriptor)

    def open(self, path: str, flags: int) -> Passed:
        """Open a file and pass it. Raises OSError."""
        return self.give(os.open(path, flags | os.O_CLOEXEC))

    def __enter__(self) -> Passing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for descriptor in self._owned:
            os.close(descriptor)
