"""The machine's clock may be set, by an hour and in both directions: what waits must not wait longer or shorter for it.

Times that were taken before are then shifted by as much, in what decisions look at: a back-off, a deadline, a probe's
delay go on as if nothing had been. What has been published stays as it was: it was the time of day then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable

from podrun.kernel import clock

log = logging.getLogger(__name__)

SLEWED = 0.5
"""Seconds up to which a change is none: clocks are also made to run a little faster or slower."""


class ClockWatch:
    """`moved` is told by how many seconds the clock has been set; `offset` is that of `podrun.kernel.clock`."""

    def __init__(self, moved: Callable[[float], None], offset: Callable[[], float] = clock.offset) -> None:
        self._moved, self._offset = moved, offset
        self._known = offset()
        self._descriptor = -1

    def start(self) -> None:
        """Listen to the kernel, where it can tell."""
        try:
            self._descriptor = clock.watch()
        except OSError as error:
            log.warning("podrun will not hear of it when the clock is set: %s", error)
            return
        asyncio.get_running_loop().add_reader(self._descriptor, self._told)

    def stop(self) -> None:
        """Listen no more."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _told(self) -> None:
        with contextlib.suppress(OSError):  # ECANCELED is the message
            os.read(self._descriptor, 8)
        clock.arm(self._descriptor)
        self.look()

    def look(self) -> None:
        """Compare, and tell of a difference."""
        now = self._offset()
        moved, self._known = now - self._known, now
        if abs(moved) > SLEWED:
            log.warning("the clock has been set by %+.1f s", moved)
            self._moved(moved)
