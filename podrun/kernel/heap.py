"""The C library's heap."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
_LARGE = 192 << 10
"""Bytes from which an allocation has pages of its own, which go back to the kernel when it is freed."""


def return_large() -> None:
    """Let large buffers go back to the kernel when they are freed, and threads share one heap (mallopt(3)).

    By itself glibc raises the limit with every large buffer that is freed, up to 32 MiB: two hundred TLS connections,
    whose asyncio buffers have 256 KiB each, then leave 50 MiB behind. Pages of its own also cost such a buffer only
    what is used of it. Nothing happens without glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_ARENA_MAX, 1)


def trim() -> None:
    """Give back what starting has used and freed (malloc_trim(3)): some 5 MiB of a daemon; nothing without glibc."""
    release = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if release is not None:
        release(0)
