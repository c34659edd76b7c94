"""The tag of an image's name, for the default pull policy; names follow docker's reference grammar."""

from __future__ import annotations

import re

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[(?:[a-fA-F0-9:]+)\])(?::[0-9]+)?"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"(?P<name>(?:(?P<domain>{_DOMAIN})/)?{_COMPONENT}(?:/{_COMPONENT})*)(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?"
)
_IMAGE_ID = re.compile(r"[a-f0-9]{64}")
_LONGEST_NAME = 255

LATEST = "latest"


def tag_of(image: str) -> str:
    """The tag that `image` names: `latest` when it names neither tag nor digest, "" for a digest or a bad name."""
    match = _REFERENCE.fullmatch(image)
    if match is None or _IMAGE_ID.fullmatch(image) or len(match["name"]) > _LONGEST_NAME:
        return ""
    if match["tag"]:
        return match["tag"]
    return "" if match["digest"] else LATEST


def default_pull_policy(image: str) -> str:
    """Always for the tag `latest`, named or meant; IfNotPresent for everything else."""
    return "Always" if tag_of(image) == LATEST else "IfNotPresent"
