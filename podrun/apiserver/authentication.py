"""Who a request comes from: peer credentials, client certificate, bearer token; else anonymous.

A caller on the unix socket is root (its mode lets nobody else connect) and counts as the administrator. A certificate
signed by our CA names the user (CN) and the groups (O), as in any Kubernetes. A credential that is shown and is not
good is refused (401): it is never anonymous.
"""

from __future__ import annotations

import base64
import hmac
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from podrun.api.errors import forbidden, unauthorized
from podrun.apiserver import sessions
from podrun.apiserver.streams.channels import BEARER, is_websocket
from podrun.apiserver.tokens import Claims, InvalidToken, TokenSigner
from podrun.apiserver.users import ANONYMOUS, MASTERS, User, authenticated

_PROTOCOLS = "Sec-WebSocket-Protocol"
ROOT = authenticated("podrun:root", (MASTERS,))
_CREDENTIALS = struct.Struct("3i")


class Authenticator:
    """`tokens` are static bearer tokens with their users (the administrator's); `pages` are sessions of the browser."""

    def __init__(self, signer: TokenSigner, tokens: Mapping[str, User], pages: sessions.Sessions | None = None) -> None:
        self._signer = signer
        self._pages = pages
        self._tokens = {token.encode(): user for token, user in tokens.items()}

    def user(self, request: web.BaseRequest) -> User:
        """The caller; raises Unauthorized."""
        header = request.headers.get("Authorization", "")
        scheme, _, token = header.partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else _websocket_token(request)
        if self._pages is not None and token.startswith(sessions.PREFIX):
            return self._pages.user(token, request, time.time())
        if token:
            return self.token_user(token)[0]
        transport = request.transport
        if transport is None:
            raise unauthorized()
        certificate: Mapping[str, Any] | None = transport.get_extra_info("peercert")
        if certificate:
            return _certificate_user(certificate)
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family == socket.AF_UNIX:
            return _peer_user(connection)
        return ANONYMOUS

    def token_user(self, token: str, audiences: Sequence[str] = ()) -> tuple[User, Claims | None]:
        """The user of a bearer token, and its claims when it is a ServiceAccount's; raises Unauthorized.

        The token must be for one of `audiences`; without any, for this server.
        """
        for known, user in self._tokens.items():
            if hmac.compare_digest(known, token.encode()):
                return user, None
        try:
            claims = self._signer.check(token)
        except InvalidToken:
            raise unauthorized() from None
        if not set(audiences or (self._signer.issuer,)) & set(claims.audiences):
            raise unauthorized()
        return account_user(claims), claims


def account_user(claims: Claims) -> User:
    """The user that a ServiceAccount's token stands for."""
    extra = {"authentication.kubernetes.io/credential-id": (f"JTI={claims.token_id}",)}
    if claims.bound is not None and claims.bound.kind == "Pod":
        extra["authentication.kubernetes.io/pod-name"] = (claims.bound.name,)
        extra["authentication.kubernetes.io/pod-uid"] = (claims.bound.uid,)
    if claims.node is not None:
        extra["authentication.kubernetes.io/node-name"] = (claims.node.name,)
        extra["authentication.kubernetes.io/node-uid"] = (claims.node.uid,)
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{claims.namespace}")
    name = f"system:serviceaccount:{claims.namespace}:{claims.account}"
    return authenticated(name, groups, uid=claims.account_uid, extra=extra)


def impersonated(request: web.BaseRequest, user: User) -> User:
    """Who the caller wants to be (`kubectl --as`); only an administrator may be someone else."""
    name = request.headers.get("Impersonate-User", "")
    if not name:
        return user
    if not user.is_master:
        why = f'User "{user.name}" cannot impersonate resource "users" in API group "" at the cluster scope'
        raise forbidden("users", name, why)
    groups = tuple(request.headers.getall("Impersonate-Group", ()))
    if name.startswith("system:serviceaccount:") and not groups:
        namespace = name.split(":")[2]
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return authenticated(name, groups, uid=request.headers.get("Impersonate-Uid", ""))


def _websocket_token(request: web.BaseRequest) -> str:
    """The token that a page in a browser sends as a subprotocol; "" without one, raises Unauthorized for a bad one.

    Kubernetes: apiserver/pkg/authentication/request/websocket/protocol.go.
    """
    if not is_websocket(request):
        return ""
    names = [name.strip() for line in request.headers.getall(_PROTOCOLS, ()) for name in line.split(",")]
    carrying = [name.removeprefix(BEARER) for name in names if name.startswith(BEARER)]
    if not carrying:
        return ""
    try:
        token = base64.urlsafe_b64decode(carrying[0] + "=" * (-len(carrying[0]) % 4)).decode()
    except ValueError:
        raise unauthorized() from None
    if len(carrying) > 1 or len(names) == 1 or not token:
        raise unauthorized()
    return token


def _certificate_user(certificate: Mapping[str, Any]) -> User:
    name, groups = "", []
    for part in certificate.get("subject", ()):
        for key, value in part:
            if key == "commonName":
                name = value
            elif key == "organizationName":
                groups.append(value)
    if not name:
        raise unauthorized()
    return authenticated(name, tuple(groups))


def _peer_user(connection: Any) -> User:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(raw)
    if uid != 0:
        raise unauthorized()
    return ROOT
