"""The C library's heap."""

from __future__ import annotations

import ctypes


def trim() -> None:
    """Give back what starting has used and freed (malloc_trim(3)): some 5 MiB of a daemon; nothing without glibc."""
    release = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if release is not None:
        release(0)
