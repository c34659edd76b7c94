"""Names and ids that the API server makes up, and its spelling of times."""

from __future__ import annotations

import secrets
import uuid
from datetime import UTC, datetime

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Characters of generated suffixes: no vowels and no digits that read like them (apimachinery/pkg/util/rand)."""

SUFFIX_LENGTH = 5
LONGEST_BASE = 63 - SUFFIX_LENGTH
"""Longer bases are cut, so that a generated name is still a DNS label (apiserver/pkg/storage/names)."""


def random_suffix(length: int = SUFFIX_LENGTH) -> str:
    """`length` random characters of the alphabet above."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def generate_name(base: str) -> str:
    """A name for `metadata.generateName: base`."""
    return base[:LONGEST_BASE] + random_suffix()


def new_uid() -> str:
    """A fresh `metadata.uid`: a random UUID."""
    return str(uuid.uuid4())


def rfc3339(seconds: float) -> str:
    """Seconds since the epoch as metav1.Time is written: UTC, whole seconds (cut, not rounded)."""
    return datetime.fromtimestamp(int(seconds // 1), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(seconds: float) -> str:
    """Seconds since the epoch as metav1.MicroTime is written: UTC, six digits."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time; raises ValueError."""
    return datetime.fromisoformat(text).timestamp()
