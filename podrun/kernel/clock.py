"""Hearing of it when somebody sets the machine's clock (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET)."""

from __future__ import annotations

import ctypes
import os
import struct
import time

from podrun.kernel.calls import Call

_ABSTIME, _CANCEL_ON_SET = 1, 2
_FAR = 1 << 40
"""Seconds since the epoch at which the timer would ring: never."""

_create = Call("timerfd_create", ctypes.c_int, ctypes.c_int)
_settime = Call("timerfd_settime", ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


def watch() -> int:
    """A descriptor that becomes readable when the clock is set; the caller's to close. Raises KernelError."""
    descriptor = _create(time.CLOCK_REALTIME, os.O_CLOEXEC | os.O_NONBLOCK)
    arm(descriptor)
    return descriptor


def arm(descriptor: int) -> None:
    """Have it hear of the next time too. Raises KernelError."""
    _settime(descriptor, _ABSTIME | _CANCEL_ON_SET, struct.pack("=qqqq", 0, 0, _FAR, 0), None)


def offset() -> float:
    """Seconds from boot's own clock, which nobody sets, to the time of day."""
    return time.time() - since_boot()


def since_boot() -> float:
    """Seconds, those asleep too: the clock that nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
