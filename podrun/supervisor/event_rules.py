"""How Events that repeat become one, and how many are too many (client-go tools/record, events_cache.go).

Pure: `correlate` takes what is to be told and what was told before, and gives what is to be written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

SPAM_BURST, SPAM_REFILL = 25, 300.0
"""Events of one source about one object: 25 at once, then one every five minutes."""
MAX_SIMILAR, SIMILAR_WITHIN = 10, 600.0
"""So many different messages of one kind within ten minutes; what comes after is combined."""


@dataclass(frozen=True, slots=True)
class Told:
    """One thing to tell: about which object (kind, namespace, name, uid, field path), and what."""

    about: tuple[str, str, str, str, str]
    component: str
    type: str
    reason: str
    message: str
    related: tuple[str, str, str, str, str] | None = None
    """Another object that this is about, in the same form."""
    annotations: Mapping[str, str] | None = None
    """Of the Event."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


@dataclass(frozen=True, slots=True)
class Written:
    """The Event object that carries a message: its name, how often it was told, and since when."""

    name: str
    first: float
    count: int


@dataclass(slots=True)
class Correlator:
    """What was told lately. Forgets what is older than `keep` seconds whenever it grows."""

    keep: float = 3600.0
    _buckets: dict[tuple[str, str, str, str], _Bucket] = field(default_factory=dict)
    _similar: dict[tuple[object, ...], tuple[dict[str, float], float]] = field(default_factory=dict)
    _written: dict[tuple[object, ...], tuple[Written, float]] = field(default_factory=dict)

    def correlate(self, told: Told, now: float, new_name: str) -> tuple[Told, Written] | None:
        """(what to write, as which Event), or None when it is one too many.

        A count above 1 means that the Event of that name exists already and is updated.
        """
        if not self._allowed(told, now):
            return None
        told, key = self._combined(told, now)
        before, at = self._written.get(key, (None, 0.0))
        if before is None or now - at > self.keep:
            written = Written(new_name, now, 1)
        else:
            written = replace(before, count=before.count + 1)
        self._written[key] = (written, now)
        self._forget(now)
        return told, written

    def _allowed(self, told: Told, now: float) -> bool:
        kind, namespace, name, uid, _ = told.about
        bucket = self._buckets.setdefault((told.component, kind, f"{namespace}/{name}", uid), _Bucket(SPAM_BURST, now))
        bucket.tokens = min(SPAM_BURST, bucket.tokens + (now - bucket.at) / SPAM_REFILL)
        bucket.at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _combined(self, told: Told, now: float) -> tuple[Told, tuple[object, ...]]:
        group = (told.about, told.component, told.type, told.reason)
        messages, last = self._similar.get(group, ({}, now))
        if now - last > SIMILAR_WITHIN:
            messages = {}
        messages[told.message] = now
        self._similar[group] = (messages, now)
        if len(messages) < MAX_SIMILAR or told.message in list(messages)[: MAX_SIMILAR - 1]:
            return told, (*group, told.message)
        return replace(told, message=f"(combined from similar events): {told.message}"), group

    def _forget(self, now: float) -> None:
        if len(self._written) <= 4096:
            return
        self._written = {k: v for k, v in self._written.items() if now - v[1] <= self.keep}
        self._similar = {k: v for k, v in self._similar.items() if now - v[1] <= SIMILAR_WITHIN}
        self._buckets = {k: b for k, b in self._buckets.items() if now - b.at <= SPAM_BURST * SPAM_REFILL}
