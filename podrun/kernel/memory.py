"""How the C library gets memory from the kernel."""

from __future__ import annotations

import ctypes
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def keep_heap(largest: int) -> None:
    """Take blocks of up to `largest` bytes from a heap that is kept, instead of mapping and unmapping each one.

    A process that handles one large buffer after another otherwise spends half its time on page faults. Of glibc
    (mallopt(3)); where the C library has no such call nothing changes.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, largest)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * largest)
