"""What a namespace asks of its pods, by its labels `pod-security.kubernetes.io/...`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from podrun.api.errors import Cause
from podrun.api.validation.field import Path, invalid

PREFIX = "pod-security.kubernetes.io/"
PRIVILEGED, BASELINE, RESTRICTED = LEVELS = ("privileged", "baseline", "restricted")
"""From the least to the most strict."""

_LABELS = Path("metadata").child("labels")
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)", re.ASCII)
_NEWEST = 1 << 62
"""The minor version that `latest` counts as: above every other."""
_GO_INT = (1 << 63) - 1


class LevelVersion(NamedTuple):
    """One level of the standard in one version of it; `version` is `latest` or `v1.N`."""

    level: str = PRIVILEGED
    version: str = "latest"

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"

    @property
    def minor(self) -> int:
        """The N of the version, to compare with."""
        return _NEWEST if self.version == "latest" else int(self.version.removeprefix("v1."))

    @property
    def strictness(self) -> int:
        return LEVELS.index(self.level)


@dataclass(frozen=True, slots=True)
class Policy:
    """What is refused, what is noted, and what is warned about."""

    enforce: LevelVersion
    audit: LevelVersion
    warn: LevelVersion


ANYTHING = Policy(LevelVersion(), LevelVersion(), LevelVersion())
"""The policy of a namespace without labels."""


class Labelled(NamedTuple):
    """A policy, which is always usable, and what is wrong with the labels that it was read from."""

    policy: Policy
    causes: list[Cause]


def of_labels(labels: Mapping[str, str]) -> Labelled:
    """The policy that labels describe.

    A level that is none is `restricted` for what is enforced and `privileged` for the rest; a version that is none is
    `latest`. Without a level of its own, `warn` is what is enforced.
    """
    if not any(label.startswith(PREFIX) for label in labels):
        return Labelled(ANYTHING, [])
    causes: list[Cause] = []

    def level(mode: str, otherwise: str) -> str | None:
        given = labels.get(PREFIX + mode)
        if given is None or given in LEVELS:
            return given
        causes.append(invalid(_LABELS.key(PREFIX + mode), given, f"must be one of {', '.join(LEVELS)}"))
        return otherwise

    def version(mode: str) -> str:
        label = f"{PREFIX}{mode}-version"
        given = labels.get(label, "latest")
        number = _VERSION.fullmatch(given)
        if given == "latest" or (number and int(number[1]) <= _GO_INT):
            return given
        causes.append(invalid(_LABELS.key(label), given, 'must be "latest" or "v1.x"'))
        return "latest"

    enforce = LevelVersion(level("enforce", RESTRICTED) or PRIVILEGED, version("enforce"))
    audit = LevelVersion(level("audit", PRIVILEGED) or PRIVILEGED, version("audit"))
    own = level("warn", PRIVILEGED)
    warn = LevelVersion(own or PRIVILEGED, version("warn"))
    if own is None and labels.get(PREFIX + "enforce") == enforce.level != PRIVILEGED:
        warn = LevelVersion(enforce.level, warn.version if f"{PREFIX}warn-version" in labels else enforce.version)
    return Labelled(Policy(enforce, audit, warn), causes)
