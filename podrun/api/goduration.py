"""Durations as Go writes them: `300ms`, `-1.5h`, `2h45m`. The words of refusals are those of time.ParseDuration."""

from __future__ import annotations

import re

from podrun.api.gotext import quote

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = re.compile(r"\d+\.?\d*|\.\d+", re.ASCII)
_UNIT = re.compile(r"[^.0-9]+")


def parse_duration(text: str) -> float:
    """Seconds. Raises ValueError."""
    sign = -1.0 if text.startswith("-") else 1.0
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0.0
    if not rest:
        raise ValueError(f"time: invalid duration {quote(text)}")
    total = 0.0
    while rest:
        number = _NUMBER.match(rest)
        if number is None:
            raise ValueError(f"time: invalid duration {quote(text)}")
        rest = rest[number.end() :]
        unit = _UNIT.match(rest)
        if unit is None:
            raise ValueError(f"time: missing unit in duration {quote(text)}")
        if unit[0] not in _UNITS:
            raise ValueError(f"time: unknown unit {quote(unit[0])} in duration {quote(text)}")
        total += float(number[0]) * _UNITS[unit[0]]
        rest = rest[unit.end() :]
    return sign * total
