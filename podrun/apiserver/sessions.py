"""How a page in a browser proves who opened it: a link that works once and soon ends, and the session it begins.

`podrun ui` (root, over the unix socket) asks for a link; the page exchanges the link's token for a session's and renews
that while it is open. Both are signed, not remembered, so that a session outlives a restart of podrund:

    podrun-ui.<base64url JSON {use, id, begun, expires}>.<base64url HMAC-SHA256 of that>

A session stands for the administrator. No cookie is ever set: a page of another origin has no token to send, and a
session's token that comes from another origin all the same is refused.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from typing import Any

import orjson
from aiohttp import web

from podrun.api.errors import forbidden, unauthorized
from podrun.apiserver.users import MASTERS, User, authenticated

PREFIX = "podrun-ui."
LINK_SECONDS = 600
SESSION_SECONDS = 3600
LONGEST_SECONDS = 12 * 3600
"""A session that is renewed ends all the same so long after it began."""
USER = authenticated("podrun:ui", (MASTERS,))

_LINK, _SESSION = "link", "session"


class Sessions:
    """Makes and checks the tokens. `secret` is any secret of this podrun that outlives a restart (a private key)."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"podrun ui sessions", "sha256")
        self._used: dict[str, float] = {}
        """Links that have been followed, and when they would have ended."""

    def link(self, now: float) -> str:
        """A token that `enter` takes once."""
        return self._sign(_LINK, int(now), int(now) + LINK_SECONDS)

    def enter(self, token: str, now: float) -> tuple[str, int]:
        """The session that a link begins: its token, and when it ends (seconds since the epoch).

        Raises Unauthorized for a link that has been used, has ended, or is none.
        """
        claims = self._claims(token, _LINK, now)
        self._used = {known: ends for known, ends in self._used.items() if ends > now}
        if claims["id"] in self._used:
            raise unauthorized()
        self._used[claims["id"]] = claims["expires"]
        return self._session(int(now), now)

    def renew(self, token: str, now: float) -> tuple[str, int]:
        """The same session with more time, as `enter` gives it; raises Unauthorized for one that is over."""
        return self._session(self._claims(token, _SESSION, now)["begun"], now)

    def user(self, token: str, request: web.BaseRequest, now: float) -> User:
        """Whom a session's token stands for; raises Unauthorized, and Forbidden from a page of another origin."""
        self._claims(token, _SESSION, now)
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"https://{request.host}":
            raise forbidden("", "", f"this session belongs to https://{request.host}, not to a page of {origin}")
        return USER

    def _session(self, begun: int, now: float) -> tuple[str, int]:
        expires = min(int(now) + SESSION_SECONDS, begun + LONGEST_SECONDS)
        return self._sign(_SESSION, begun, expires), expires

    def _sign(self, use: str, begun: int, expires: int) -> str:
        claims = {"use": use, "id": secrets.token_hex(16), "begun": begun, "expires": expires}
        body = _encode(orjson.dumps(claims))
        return f"{PREFIX}{body}.{self._signature(body)}"

    def _signature(self, body: str) -> str:
        return _encode(hmac.digest(self._key, body.encode(), "sha256"))

    def _claims(self, token: str, use: str, now: float) -> dict[str, Any]:
        body, _, signature = token.removeprefix(PREFIX).partition(".")
        if not token.startswith(PREFIX) or not hmac.compare_digest(signature.encode(), self._signature(body).encode()):
            raise unauthorized()
        claims: dict[str, Any] = orjson.loads(_decode(body))
        if claims["use"] != use or now >= claims["expires"]:
            raise unauthorized()
        return claims


def bearer(request: web.BaseRequest) -> str | None:
    """The token in the Authorization header; None where that is of another kind, or is not there."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
