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
from urllib.parse import unquote

from aiohttp import web

from podrun.api.errors import bad_request, unauthorized
from podrun.apiserver import sessions
from podrun.apiserver.authorization import Authorizer
from podrun.apiserver.requestinfo import RequestInfo
from podrun.apiserver.streams.channels import BEARER, is_websocket
from podrun.apiserver.tokens import Claims, InvalidToken, TokenSigner
from podrun.apiserver.users import ANONYMOUS, AUTHENTICATED, MASTERS, User, authenticated

_IMPERSONATE = "Impersonate-"
_EXTRA = "impersonate-extra-"
_AUTHENTICATION = "authentication.k8s.io"
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
        token = sessions.bearer(request)
        if token is None:
            token = _websocket_token(request)
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


def impersonated(request: web.BaseRequest, user: User, authorizer: Authorizer) -> User:
    """Who the caller wants to be (`kubectl --as`), where they may `impersonate` each part of it; raises Forbidden.

    Kubernetes: apiserver/pkg/endpoints/filters/impersonation; a user, its groups, uid and extra are asked for singly.
    """
    headers = request.headers
    name, uid = headers.get(_IMPERSONATE + "User", ""), headers.get(_IMPERSONATE + "Uid", "")
    groups = tuple(headers.getall(_IMPERSONATE + "Group", ()))
    extra: dict[str, tuple[str, ...]] = {}
    for key in dict.fromkeys(key.lower() for key in headers if key.lower().startswith(_EXTRA)):
        extra[unquote(key.removeprefix(_EXTRA))] = tuple(headers.getall(key))
    if not name:
        if uid or groups or extra:
            raise bad_request("a group, uid or extra cannot be impersonated without a user")
        return user
    account = name.split(":") if name.startswith("system:serviceaccount:") and name.count(":") == 3 else []
    if account:
        wanted = [_impersonation("serviceaccounts", account[3], namespace=account[2])]
    else:
        wanted = [_impersonation("users", name)]
    wanted += [_impersonation("groups", group) for group in groups]
    wanted += [_impersonation("uids", uid, group=_AUTHENTICATION)] if uid else []
    for key, values in extra.items():
        wanted += [_impersonation("userextras", value, group=_AUTHENTICATION, subresource=key) for value in values]
    for info in wanted:
        authorizer.check(user, info)
    if account and not groups:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{account[2]}")
    if name == ANONYMOUS.name:
        return User(name, groups or ANONYMOUS.groups, uid, extra)
    return authenticated(name, tuple(group for group in groups if group != AUTHENTICATED), uid=uid, extra=extra)


def _impersonation(
    resource: str, name: str, *, group: str = "", namespace: str = "", subresource: str = ""
) -> RequestInfo:
    return RequestInfo("", "impersonate", True, group, "v1", resource, subresource, namespace, name)


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
