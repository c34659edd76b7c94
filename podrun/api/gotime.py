"""Times as Go reads them, with the sentences of its `time.Parse` when it cannot."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from podrun.api.gotext import quote

RFC3339 = "2006-01-02T15:04:05Z07:00"
RFC3339_MICRO = "2006-01-02T15:04:05.000000Z07:00"

_FRACTION = re.compile(r"[.,]\d+", re.ASCII)
_ZONE = re.compile(r"([+-])(\d\d):(\d\d)", re.ASCII)
# layout element, digits, what is wrong with a value outside the range, range
_ELEMENTS = (
    ("2006", 4, "", 0, 9999),
    ("-", 0, "", 0, 0),
    ("01", 2, "month", 1, 12),
    ("-", 0, "", 0, 0),
    ("02", 2, "day", 1, 31),
    ("T", 0, "", 0, 0),
    ("15", 2, "hour", 0, 23),
    (":", 0, "", 0, 0),
    ("04", 2, "minute", 0, 59),
    (":", 0, "", 0, 0),
    ("05", 2, "second", 0, 59),
)


def parse(text: str, layout: str = RFC3339) -> datetime:
    """The instant of an RFC 3339 time, in UTC; `layout` is one of the two above.

    Raises ValueError with Go's words: `parsing time "x" as "2006-...": cannot parse "x" as "2006"`.
    """
    rest, numbers = text, []
    for element, digits, name, low, high in _ELEMENTS:
        if not digits:
            if not rest.startswith(element):
                raise _mistake(text, layout, rest, element)
            rest = rest[1:]
            continue
        head = rest[:digits]
        if len(head) < digits or not (head.isascii() and head.isdigit()):
            raise _mistake(text, layout, rest, element)
        if not low <= int(head) <= high:
            raise ValueError(f"parsing time {quote(text)}: {name} out of range")
        numbers.append(int(head))
        rest = rest[digits:]
    fraction = _FRACTION.match(rest)
    micro = 0
    if layout == RFC3339_MICRO and (fraction is None or len(fraction[0]) != 7):
        raise _mistake(text, layout, rest, ".000000")
    if fraction is not None:
        micro = int(fraction[0][1:7].ljust(6, "0"))
        rest = rest[len(fraction[0]) :]
    offset = timedelta()
    zone = _ZONE.match(rest)
    if rest.startswith("Z"):
        rest = rest[1:]
    elif zone is not None and int(zone[2]) <= 24 and int(zone[3]) < 60:
        offset = timedelta(hours=int(zone[2]), minutes=int(zone[3])) * (-1 if zone[1] == "-" else 1)
        rest = rest[6:]
    else:
        raise _mistake(text, layout, rest, "Z07:00")
    if rest:
        raise ValueError(f"parsing time {quote(text)}: extra text: {quote(rest)}")
    year, month, day, hour, minute, second = numbers
    try:
        return datetime(year, month, day, hour, minute, second, micro, UTC) - offset
    except (ValueError, OverflowError):
        raise ValueError(f"parsing time {quote(text)}: day out of range") from None


def _mistake(text: str, layout: str, rest: str, element: str) -> ValueError:
    return ValueError(f"parsing time {quote(text)} as {quote(layout)}: cannot parse {quote(rest)} as {quote(element)}")


def seconds(text: str) -> str:
    """`text` as metav1.Time writes it back: UTC, whole seconds."""
    if len(text) == 20 and text[19] == "Z" and _CANONICAL.fullmatch(text):
        parse(text)
        return text
    return parse(text).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


def micros(text: str) -> str:
    """`text` as metav1.MicroTime writes it back: UTC, six digits."""
    return parse(text, RFC3339_MICRO).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


_CANONICAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
