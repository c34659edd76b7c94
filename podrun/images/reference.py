"""Names of images: read, checked and written in full.

The grammar is that of the distribution project (reference.ParseNormalizedNamed), which containerd and the kubelet
use: `[domain/]path[:tag][@digest]`. `busybox` means `docker.io/library/busybox:latest`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from podrun.images.model import ImageError, Reason

DOCKER = "docker.io"
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|[-]+)[a-z0-9]+)*"
_DOMAIN_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_DOMAIN_LABEL}(?:\.{_DOMAIN_LABEL})*|\[(?:[a-fA-F0-9:]+)\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?P<name>(?:(?P<domain>{_DOMAIN})/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*))"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?"
    r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?",
    re.ASCII,
)
_HEX_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A name in full; at least one of tag and digest is set, and the digest wins where both are."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""
    """`sha256:` and 64 hexadecimal digits, or ""."""

    @property
    def name(self) -> str:
        """Without tag and digest: `docker.io/library/busybox`."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar(self) -> str:
        """The short form people write: `busybox:1.36`, `bookstore/catalog:dev`, `quay.io/a/b@sha256:...`."""
        if self.domain != DOCKER:
            return str(self)
        path = self.path.removeprefix("library/") if self.path.count("/") == 1 else self.path
        return path + self._suffix

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.name + self._suffix


def parse(text: str) -> Reference:
    """The reference that `text` means; without a tag or digest, the tag is `latest`.

    Raises ImageError InvalidImageName with the kubelet's sentence (recorded from 1.36).
    """
    try:
        return _parse(text)
    except ValueError as error:
        raise ImageError(
            text,
            Reason.INVALID_NAME,
            f'Failed to apply default image tag "{text}": couldn\'t parse image name "{text}": {error}',
        ) from None


def _parse(text: str) -> Reference:
    """As `parse`; raises ValueError with the sentence of the distribution project alone."""
    if _IDENTIFIER.fullmatch(text):
        raise ValueError(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    domain, rest = _split_domain(text)
    repository = rest.partition(":")[0]
    if repository.lower() != repository:
        raise ValueError(f"invalid reference format: repository name ({repository}) must be lowercase")
    match = _REFERENCE.fullmatch(f"{domain}/{rest}")
    if match is None or not rest:
        raise ValueError("invalid reference format")
    if len(match["path"]) > 255:
        raise ValueError("repository name must not be more than 255 characters")
    digest = match["digest"] or ""
    if digest:
        _check_digest(digest)
    tag = match["tag"] or ""
    return Reference(match["domain"], match["path"], tag if tag or digest else "latest", digest)


def _split_domain(text: str) -> tuple[str, str]:
    """The registry and the rest: what stands before the first slash is a registry only if it looks like a host."""
    first, slash, rest = text.partition("/")
    if slash and (re.search(r"[.:]", first) or first == "localhost" or first.lower() != first):
        domain = first
    else:
        domain, rest = DOCKER, text
    if domain == "index.docker.io":
        domain = DOCKER
    if domain == DOCKER and "/" not in rest:
        rest = f"library/{rest}"
    return domain, rest


def _check_digest(digest: str) -> None:
    algorithm, _, value = digest.partition(":")
    if algorithm not in _HEX_DIGITS:
        raise ValueError("unsupported digest algorithm")
    if len(value) != _HEX_DIGITS[algorithm]:
        raise ValueError("invalid checksum digest length")
    if not re.fullmatch("[a-f0-9]+", value):
        raise ValueError("invalid checksum digest format")


def never_pull(text: str) -> ImageError:
    """The error for an image that is absent under imagePullPolicy Never."""
    return ImageError(text, Reason.NEVER_PULL, f'Container image "{text}" is not present with pull policy of Never')
