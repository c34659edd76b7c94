"""Names of images, by the distribution project's grammar; the sentences are those a kubelet gives."""

from __future__ import annotations

import pytest

from podrun.images.model import ImageError, Reason
from podrun.images.reference import never_pull, parse

HEX = "0123456789abcdef" * 4

GOOD = [
    ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
    ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
    ("bookstore/catalog:dev", "docker.io/bookstore/catalog:dev", "bookstore/catalog:dev"),
    ("index.docker.io/library/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
    ("localhost/a", "localhost/a:latest", "localhost/a:latest"),
    ("localhost:5000/a/b:1", "localhost:5000/a/b:1", "localhost:5000/a/b:1"),
    ("Registry/a", "Registry/a:latest", "Registry/a:latest"),
    ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
    (f"quay.io/a/b@sha256:{HEX}", f"quay.io/a/b@sha256:{HEX}", f"quay.io/a/b@sha256:{HEX}"),
    (f"a:1@sha256:{HEX}", f"docker.io/library/a:1@sha256:{HEX}", f"a:1@sha256:{HEX}"),
    ("a__b/c--d.e_f", "docker.io/a__b/c--d.e_f:latest", "a__b/c--d.e_f:latest"),
]


@pytest.mark.parametrize(("text", "full", "familiar"), GOOD)
def test_a_name_is_completed(text: str, full: str, familiar: str) -> None:
    assert (str(parse(text)), parse(text).familiar) == (full, familiar)


BAD = [
    ("Bad Image!!", "invalid reference format: repository name (library/Bad Image!!) must be lowercase"),
    ("a/B", "invalid reference format: repository name (a/B) must be lowercase"),
    ("", "invalid reference format"),
    ("a:b:c", "invalid reference format"),
    ("a//b", "invalid reference format"),
    ("a:" + "t" * 129, "invalid reference format"),
    ("-a", "invalid reference format"),
    ("a@sha256:abc", "invalid reference format"),
    (f"a@sha256:{HEX[:40]}", "invalid checksum digest length"),
    (f"a@md5:{HEX}", "unsupported digest algorithm"),
    (f"a@sha256:{HEX.upper()}", "invalid checksum digest format"),
    (HEX, f"invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings"),
    ("a/" * 128 + "a", "repository name must not be more than 255 characters"),
]


@pytest.mark.parametrize(("text", "why"), BAD)
def test_what_is_no_name_is_said_as_a_kubelet_does(text: str, why: str) -> None:
    with pytest.raises(ImageError) as caught:
        parse(text)
    assert caught.value.reason is Reason.INVALID_NAME
    assert (
        str(caught.value) == f'Failed to apply default image tag "{text}": couldn\'t parse image name "{text}": {why}'
    )


def test_an_image_that_may_not_be_pulled() -> None:
    error = never_pull("example.invalid/nope:1")
    assert error.reason == "ErrImageNeverPull"
    assert str(error) == 'Container image "example.invalid/nope:1" is not present with pull policy of Never'
