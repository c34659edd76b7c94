"""The server: sockets, TLS, and the way of every request through it.

    socket -> who (authentication) -> what (requestinfo) -> may they (authorization) -> which form (negotiation)
           -> dispatch: documents (discovery, OpenAPI, health), resources (the verbs), subresources, podrun's own paths

The listening sockets are made and held by others (the spawner), so that no client is refused while podrun restarts. A
refusal is an `ApiError` raised anywhere on the way; anything else that is raised is a mistake of ours, logged with its
trace and answered with a 500 that says nothing of it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from podrun.api.errors import (
    ApiError,
    forbidden,
    internal_error,
    method_not_allowed,
    unknown_resource,
)
from podrun.api.kinds import BY_PATH, Kind, group_versions
from podrun.apiserver import discovery, health, resource_metrics
from podrun.apiserver.answers import refusal
from podrun.apiserver.authentication import Authenticator, impersonated
from podrun.apiserver.authorization import Authorizer
from podrun.apiserver.bootstrap import ensure_initial_objects
from podrun.apiserver.call import Call, allotted, flag
from podrun.apiserver.documents import Documents
from podrun.apiserver.empty_lists import UNSERVED_LISTS, empty_list
from podrun.apiserver.exposition import MEDIA_TYPE, render
from podrun.apiserver.lists import get_list, get_one
from podrun.apiserver.negotiation import Form, negotiate
from podrun.apiserver.pki import Pki
from podrun.apiserver.registry import Registry
from podrun.apiserver.request_metrics import RequestMetrics
from podrun.apiserver.requestinfo import RequestInfo, parse
from podrun.apiserver.sessions import Sessions
from podrun.apiserver.streams.channels import is_websocket
from podrun.apiserver.streams.pods import PodAccess
from podrun.apiserver.subresources import Subresources
from podrun.apiserver.tokens import TokenSigner
from podrun.apiserver.users import User
from podrun.apiserver.watches import watch
from podrun.apiserver.writes import APPLY, Writes
from podrun.store.store import Store

Object = dict[str, Any]
Handler = Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]

log = logging.getLogger(__name__)

OWN_PATHS = "/podrun/v1/"
"""Below this are podrun's own paths, for administrators only."""
KEEP_ALIVE = 90.0
"""Seconds that a connection may wait for its next request, and a request for the end of its header: what has begun to
come counts as not there until it is whole (Kubernetes' IdleTimeout)."""
LINGER = 10.0
"""Seconds that the rest of a body is let come in after the answer, before the connection is closed."""
LONGEST_LINE = 1 << 20
"""Bytes of a request line (exec puts whole scripts into it) and of a header."""
STOP_SECONDS = 1.0
STREAMS = ("log", "exec", "attach", "portforward")


def _is_no_clients_mistake(record: logging.LogRecord) -> bool:
    """Whether aiohttp has something to say beyond a client's bad HTTP, of which it would log a trace each."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


logging.getLogger("aiohttp.server").addFilter(_is_no_clients_mistake)


class ApiServer:
    """The Kubernetes API over one store. `pods` is how logs, exec and attach reach containers (None: they cannot)."""

    def __init__(
        self,
        store: Store,
        *,
        pki: Pki,
        pods: PodAccess | None = None,
        tokens: Mapping[str, User] | None = None,
        routes: Sequence[tuple[str, str, Handler]] = (),
        pages: Sequence[tuple[str, str, Handler]] = (),
        sessions: Sessions | None = None,
        address: str = "127.0.0.1:6443",
    ) -> None:
        """`routes` are paths of podrun's own, for administrators; `pages` those that anybody may ask for."""
        self.store = store
        self.signer = TokenSigner(pki.service_account_key.read_bytes(), store.get)
        self.ready = False
        """What /readyz says; set by whoever has started everything behind the API."""
        self._pki = pki
        self._authenticator = Authenticator(self.signer, tokens or {}, sessions)
        self._authorizer = Authorizer(store.list)
        self._writes = Writes(Registry(store, self._authorizer))
        self._documents = Documents(self.signer, address)
        self._subresources = Subresources(self._writes, self.signer, self._authenticator, self._authorizer, pods)
        self._requests = RequestMetrics()
        self._metrics = resource_metrics.ResourceMetrics(store)
        self._tls: ssl.SSLContext | None = None
        self._runner: web.AppRunner | None = None
        self._streams: set[asyncio.Task[Any]] = set()
        self._routes = routes
        self._pages = pages

    @property
    def pods(self) -> PodAccess | None:
        """How logs, exec and attach reach containers; may be set once there is something to reach."""
        return self._subresources.pods

    @pods.setter
    def pods(self, pods: PodAccess | None) -> None:
        self._subresources.pods = pods

    async def start(
        self,
        tls_socket: socket.socket | None,
        unix_socket: socket.socket | None,
        *,
        pods_socket: socket.socket | None = None,
    ) -> None:
        """Serve on listening sockets; they stay open when the server stops (they belong to who made them).

        `pods_socket` is a second one with TLS: at the address by which pods know the API.
        """
        await ensure_initial_objects(self.store, time.time())
        application = web.Application()
        for method, path, handler in self._routes:
            application.router.add_route(method, path, self._own(handler))
        for method, path, handler in self._pages:
            application.router.add_route(method, path, handler)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            application,
            handle_signals=False,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=KEEP_ALIVE,
            lingering_time=LINGER,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            shutdown_timeout=STOP_SECONDS,
        )
        await self._runner.setup()
        if tls_socket is not None or pods_socket is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_3
            # A client may show a certificate of our CA; one that shows another is refused in the handshake.
            self._tls.verify_mode = ssl.CERT_OPTIONAL
            self.reload_certificates()
            for listener in filter(None, (tls_socket, pods_socket)):
                await web.SockSite(self._runner, listener.dup(), ssl_context=self._tls, backlog=1024).start()
        if unix_socket is not None:
            await web.SockSite(self._runner, unix_socket.dup(), backlog=128).start()

    async def stop(self) -> None:
        """Let short requests finish, cut watches and streams, close all connections."""
        if self._runner is not None:
            for task in self._streams:
                task.cancel()
            await self._runner.cleanup()
            self._runner = None

    def reload_certificates(self) -> None:
        """Read the certificates anew (they have been renewed); connections made from now on use them."""
        if self._tls is not None:
            self._tls.load_cert_chain(self._pki.server_certificate, self._pki.server_key)
            self._tls.load_verify_locations(self._pki.ca_certificate)

    # The way of a request

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        began = time.monotonic()
        path = unquote(request.raw_path.partition("?")[0])
        info = parse(request.method, path, watch=flag(request.query, "watch"))
        response = await self._answered(request, info)
        self._requests.note(
            info,
            dry_run="dryRun" in request.query,
            applied=request.content_type == APPLY,
            code=response.status,
            seconds=time.monotonic() - began,
        )
        return response

    async def _answered(self, request: web.Request, info: RequestInfo) -> web.StreamResponse:
        try:
            return await self._answer(request, info)
        except ApiError as error:
            return refusal(error)
        except (ConnectionError, web.HTTPException):
            raise
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return refusal(internal_error("see podrun's log"))

    async def _answer(self, request: web.Request, info: RequestInfo) -> web.StreamResponse:
        if info.verb != "watch" and info.subresource not in (*STREAMS, "proxy"):
            allotted(request.query)
        user = impersonated(request, self._authenticator.user(request), self._authorizer)
        self._authorizer.check(user, info)
        if not info.is_resource:
            return self._document(request, info)
        kind = BY_PATH.get((info.group, info.version, info.resource))
        if kind is None:
            unserved = UNSERVED_LISTS.get((info.group, info.version, info.resource))
            if unserved and info.verb == "list":
                return empty_list(unserved, info, self.store.resource_version)
            if not _is_known(info.group):
                return web.Response(status=404, text=health.NOT_FOUND)
            raise unknown_resource()
        return await self._resource(request, info, user, kind)

    def _own(self, handler: Handler) -> Handler:
        """A path of podrun's own: for administrators."""

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                user = self._authenticator.user(request)
                if not user.is_master:
                    raise forbidden("", "", f'User "{user.name}" cannot {request.method.lower()} path "{request.path}"')
                answer = handler(request)
                return await (self._streamed(answer) if is_websocket(request) else answer)
            except ApiError as error:
                return refusal(error)

        return handle

    def _document(self, request: web.Request, info: RequestInfo) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        if info.path.rstrip("/") == "/metrics":
            return web.Response(body=render(self._requests.families()), headers={"Content-Type": MEDIA_TYPE})
        checked = health.check(info.path, self.ready, verbose="verbose" in request.query)
        if checked is not None:
            return web.Response(status=checked[0], text=checked[1], headers={"Cache-Control": "no-cache, private"})
        if info.version and _is_known(info.group) and not discovery.kinds_of(info.group, info.version):
            raise unknown_resource()
        return self._documents.answer(request, info)

    async def _resource(self, request: web.Request, info: RequestInfo, user: User, kind: Kind) -> web.StreamResponse:
        self._check_path(info, kind)
        if info.subresource:
            answer = self._subresources.answer(request, info, user, kind)
            return await (self._streamed(answer) if info.subresource in STREAMS else answer)
        if request.method == "HEAD" or info.verb not in kind.verbs:
            raise method_not_allowed()
        shapes = kind.stored or kind.group == resource_metrics.GROUP
        form = negotiate(request.headers.get("Accept", ""), shapes=shapes, verb=info.verb)
        if request.query.get("pretty", "") in ("1", "true"):
            form = Form(form.media_type, form.shape, form.version, pretty=True)
        call = Call(request, info, user, kind, form)
        if not kind.stored:
            if kind.group == resource_metrics.GROUP:
                return await self._metrics.answer(call, self.pods)
            return await self._subresources.create_virtual(call)
        try:
            return await self._verb(call)
        except ApiError as error:
            return refusal(error, call.warnings)

    async def _verb(self, call: Call) -> web.StreamResponse:
        match call.info.verb:
            case "get":
                return await get_one(self.store, call)
            case "list":
                return await get_list(self.store, call)
            case "watch":
                return await self._streamed(watch(self.store, call))
            case "create":
                return await self._writes.create(call)
            case "update":
                return await self._writes.update(call)
            case "patch":
                return await self._writes.patch(call)
            case "delete":
                return await self._writes.delete(call)
            case "deletecollection":
                return await self._writes.delete_collection(call)
        raise method_not_allowed()

    async def _streamed(self, answer: Coroutine[Any, Any, web.StreamResponse]) -> web.StreamResponse:
        """An answer without an end of its own: `stop` does not wait for it."""
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            return await answer
        finally:
            self._streams.discard(task)

    def _check_path(self, info: RequestInfo, kind: Kind) -> None:
        """Raises NotFound or MethodNotAllowed for paths that no resource of this kind has."""
        if (info.rest and info.subresource != "proxy") or (
            info.subresource and info.subresource not in kind.subresources
        ):
            raise unknown_resource()
        if kind.namespaced:
            everywhere = not info.namespace
            if everywhere and info.name:
                raise unknown_resource()
            if everywhere and kind.stored and info.verb not in ("list", "watch"):
                raise method_not_allowed()
        elif info.namespace and (kind.resource != "namespaces" or info.name != info.namespace or info.depth > 3):
            raise unknown_resource()
        if not info.subresource:
            named = bool(info.name)
            if (named and info.verb == "create") or (not named and info.verb in ("update", "patch")):
                raise method_not_allowed()


def _is_known(group: str) -> bool:
    return any(name == group for name, _ in group_versions())


def unix_listener(path: Path) -> socket.socket:
    """A listening unix socket that only root can connect to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(128)
    return listener
