"""Being told by the kernel that processes wait for memory: a trigger on pressure stalls (accounting/psi.rst)."""

from __future__ import annotations

import os
import select

MEMORY = "/proc/pressure/memory"
_TRIGGER = b"some 200000 2000000\0"
"""Told when something waited for memory for 0.2 s within 2 s, the shortest window that needs no capability."""


class Stalls:
    """A trigger. Its descriptor is readable once for each time it happens; `drain` makes it ready for the next.

    The kernel tells of it as urgent data, which event loops do not ask for: hence an epoll of its own inside. It tells
    whoever asks first, and nobody twice: who found the descriptor readable has been told.
    """

    def __init__(self, path: str = MEMORY) -> None:
        """Raises OSError where the kernel has no such thing."""
        self._trigger = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(self._trigger, _TRIGGER)
            self._poller = select.epoll()
        except OSError:
            os.close(self._trigger)
            raise
        self._poller.register(self._trigger, select.EPOLLPRI)

    def fileno(self) -> int:
        """To be waited for."""
        return self._poller.fileno()

    def drain(self) -> None:
        """Be readable no more until it happens again."""
        self._poller.poll(0)

    def close(self) -> None:
        """Be told no more."""
        self._poller.close()
        os.close(self._trigger)
