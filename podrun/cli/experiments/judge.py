"""Whether what a command printed is what was expected: pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from podrun.cli.experiments.model import Expectation

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def filled(text: str, kept: Mapping[str, str]) -> str:
    """A text with `$name` and `${name}` replaced by what was kept under them; other names stay as they are."""
    return _VARIABLE.sub(lambda match: kept.get(match[1] or match[2], match[0]), text)


def verdicts(expected: Expectation, printed: str, kept: Mapping[str, str]) -> Iterator[tuple[bool, str]]:
    """Each thing that is expected: whether it is so, and a sentence that says what.

    An expression that is found is not shown: what it found is there to read.
    """
    whole = printed.strip()
    for text in (filled(text, kept) for text in expected.holds):
        yield text in printed, f"it holds “{text}”"
    for text in (filled(text, kept) for text in expected.lacks):
        yield text not in printed, f"it does not hold “{text}”"
    if expected.exactly is not None:
        text = filled(expected.exactly, kept).strip()
        yield whole == text, f"it is “{text}”"
    if expected.is_not is not None:
        text = filled(expected.is_not, kept).strip()
        yield whole != text, f"it is not “{text}”"
    if expected.matches is not None:
        found = re.search(expected.matches, printed, re.MULTILINE) is not None
        yield found, "it is as it should be" if found else f"it matches {expected.matches}"
    number = _number(whole)
    if expected.at_least is not None:
        yield number is not None and number >= expected.at_least, f"it is at least {expected.at_least:g}"
    if expected.at_most is not None:
        yield number is not None and number <= expected.at_most, f"it is at most {expected.at_most:g}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
