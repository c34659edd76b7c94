"""A link opens the page once and soon ends; a session lasts while it is renewed, from its own origin only."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from podrun.api.errors import ApiError
from podrun.apiserver.sessions import LINK_SECONDS, LONGEST_SECONDS, PREFIX, SESSION_SECONDS, Sessions

NOW = 1_800_000_000.0


@pytest.fixture
def sessions() -> Sessions:
    return Sessions(b"a private key")


def _request(origin: str | None = None):
    headers = {"Host": "127.0.0.1:6443"} | ({"Origin": origin} if origin is not None else {})
    return make_mocked_request("GET", "/", headers=headers)


def _refused(code: int = 401):
    return pytest.raises(ApiError, check=lambda error: error.code == code)


def test_a_link_works_once(sessions):
    link = sessions.link(NOW)
    token, expires = sessions.enter(link, NOW + 1)
    assert sessions.user(token, _request(), NOW + 2).is_master
    assert expires == NOW + 1 + SESSION_SECONDS
    with _refused():
        sessions.enter(link, NOW + 2)


def test_a_link_ends(sessions):
    link = sessions.link(NOW)
    with _refused():
        sessions.enter(link, NOW + LINK_SECONDS)


def test_a_link_is_no_session_and_a_session_no_link(sessions):
    token, _ = sessions.enter(sessions.link(NOW), NOW)
    with _refused():
        sessions.enter(token, NOW)
    with _refused():
        sessions.user(sessions.link(NOW), _request(), NOW)
    with _refused():
        sessions.renew(sessions.link(NOW), NOW)


def test_a_session_outlives_podrund(sessions):
    token, _ = sessions.enter(sessions.link(NOW), NOW)
    assert Sessions(b"a private key").user(token, _request(), NOW + 1).is_master
    with _refused():
        Sessions(b"another machine's key").user(token, _request(), NOW + 1)


def test_a_session_that_is_renewed_ends_all_the_same(sessions):
    token, expires = sessions.enter(sessions.link(NOW), NOW)
    now = NOW
    while expires < NOW + LONGEST_SECONDS:
        now = expires - 1
        token, expires = sessions.renew(token, now)
    assert expires == NOW + LONGEST_SECONDS
    with _refused():
        sessions.renew(token, expires)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda token: token[:-2] + ("AA" if token[-2:] != "AA" else "BB"), id="another signature"),
        pytest.param(lambda token: token.rpartition(".")[0], id="no signature"),
        pytest.param(lambda token: PREFIX + "e30." + token.rpartition(".")[2], id="another content"),
        pytest.param(lambda token: PREFIX, id="nothing"),
        pytest.param(lambda token: PREFIX + "é.é", id="no ASCII"),
    ],
)
def test_a_token_that_is_not_ours_is_refused(sessions, spoil):
    token, _ = sessions.enter(sessions.link(NOW), NOW)
    with _refused():
        sessions.user(spoil(token), _request(), NOW)


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        (None, None),
        ("https://127.0.0.1:6443", None),
        ("https://evil.example", 403),
        ("http://127.0.0.1:6443", 403),
        ("https://127.0.0.1:6444", 403),
        ("null", 403),
    ],
)
def test_a_session_belongs_to_its_origin(sessions, origin, code):
    token, _ = sessions.enter(sessions.link(NOW), NOW)
    if code is None:
        assert sessions.user(token, _request(origin), NOW).is_master
    else:
        with _refused(code):
            sessions.user(token, _request(origin), NOW)
