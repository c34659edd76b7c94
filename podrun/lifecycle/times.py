"""Times on the wire: RFC 3339 in UTC, whole seconds (metav1.Time) or microseconds (metav1.MicroTime)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=1024)
def _of_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp(seconds: float) -> str:
    """Seconds since the epoch as metav1.Time, cut to whole seconds."""
    return _of_second(int(seconds))


def micro_stamp(seconds: float) -> str:
    """Seconds since the epoch as metav1.MicroTime."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds(text: str) -> float:
    """The other way; ValueError for what is no RFC 3339 time."""
    return datetime.fromisoformat(text).timestamp()
