"""Which log-in goes where: a row per rule."""

from __future__ import annotations

import base64
import json

import pytest

from podrun.images import credentials
from podrun.images.model import Credentials
from podrun.images.reference import parse

ME = Credentials("me", "x")


def config(*keys: str) -> bytes:
    auth = base64.b64encode(b"me:x").decode()
    return json.dumps({"auths": {key: {"auth": auth} for key in keys}}).encode()


ROWS = [
    ("a registry's own", "quay.io", "quay.io/a/b", True),
    ("with a scheme and a path of the API", "https://quay.io/v2/", "quay.io/a/b", False),
    ("another registry's", "quay.io", "ghcr.io/a", False),
    ("Docker Hub by its old address", "https://index.docker.io/v1/", "busybox", True),
    ("Docker Hub by its name", "docker.io", "me/app", True),
    ("Docker Hub's is not for others", "https://index.docker.io/v1/", "quay.io/a", False),
    ("a part of a registry", "quay.io/team", "quay.io/team/app", True),
    ("a part of a registry whose name only begins alike", "quay.io/team", "quay.io/teamster/app", False),
    ("any name of a domain", "*.example.com", "eu.example.com/app", True),
    ("one name only", "*.example.com", "a.b.example.com/app", False),
    ("a port that is named", "localhost:5000", "localhost:5000/app", True),
    ("another port", "localhost:5000", "localhost:5001/app", False),
    ("a host for every port", "localhost", "localhost:5001/app", True),
]


@pytest.mark.parametrize(("key", "image", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_log_in_goes_where_its_entry_says(key: str, image: str, expected: bool) -> None:
    assert credentials.matching(config(key), parse(image)) == ((ME,) if expected else ())


def test_the_most_exact_entry_comes_first() -> None:
    entries = {"quay.io": {"username": "all", "password": "1"}, "quay.io/a": {"username": "team", "password": "2"}}
    found = credentials.matching(json.dumps({"auths": entries}).encode(), parse("quay.io/a/b"))
    assert [one.username for one in found] == ["team", "all"]


def test_secrets_of_both_types_and_others() -> None:
    new = {"data": {".dockerconfigjson": base64.b64encode(config("quay.io")).decode()}}
    old = {"data": {".dockercfg": base64.b64encode(b'{"quay.io": {"username": "u", "password": "p"}}').decode()}}
    broken = [
        {"data": {".dockerconfigjson": "bm9wZQ=="}},
        {"data": {"k": "eA=="}},
        {},
        {"data": {".dockercfg": "W10="}},
    ]
    assert credentials.of_secrets([*broken, new, old, new], parse("quay.io/a")) == (ME, Credentials("u", "p"))


def test_an_identity_token() -> None:
    raw = json.dumps({"auths": {"quay.io": {"identitytoken": "t"}, "quay.io/a": {"auth": "!"}, "quay.io/a/b": 1}})
    assert credentials.matching(raw.encode(), parse("quay.io/a/b")) == (Credentials(identity_token="t"),)


def test_a_password_is_not_shown() -> None:
    assert "x" not in repr(ME).replace("Credentials", "")
