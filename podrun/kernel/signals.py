"""Signal names as images and Kubernetes write them (`SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`) and as numbers."""

from __future__ import annotations

import signal

_FIRST_REALTIME = 34
"""SIGRTMIN for a program: glibc keeps 32 and 33."""
_LAST_REALTIME = 64


def number(name: str) -> int:
    """The number of a signal's name, with or without `SIG`, in any case, or of its decimal number.

    Raises ValueError for what is none.
    """
    plain = name.strip().upper().removeprefix("SIG")
    if plain.isdigit():
        value = int(plain)
    elif plain.startswith(("RTMIN", "RTMAX")):
        base = _FIRST_REALTIME if plain.startswith("RTMIN") else _LAST_REALTIME
        value = base + int(plain[5:] or 0)
    else:
        found = signal.Signals.__members__.get(f"SIG{plain}")
        value = int(found) if found is not None else 0
    if not 1 <= value <= _LAST_REALTIME:
        raise ValueError(f"unknown signal {name!r}")
    return value


def name(value: int) -> str:
    """`SIGTERM` for 15; `SIGRTMIN+3` for 37; `signal 99` for what is none."""
    if _FIRST_REALTIME < value < _LAST_REALTIME:
        return f"SIGRTMIN+{value - _FIRST_REALTIME}"
    try:
        return signal.Signals(value).name
    except ValueError:
        return f"signal {value}"
