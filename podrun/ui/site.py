"""What the API server is given for the page: public files and the way in, and for who is in, the moving picture.

    GET  /ui/...                             the files
    POST /podrun/v1/ui/sessions              a link's token -> a session's (the one path that a link opens)
    POST /podrun/v1/ui/links                 administrators: a new link
    POST /podrun/v1/ui/renewal               a session's token -> one that lasts longer
    GET  /podrun/v1/ui/namespaces/N/pods/P   WebSocket: the pod's anatomy as it changes

Everything else that the page does is the Kubernetes API and the open box's own paths, as for any client.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import orjson
from aiohttp import web

from podrun.api.errors import ApiError, bad_request
from podrun.apiserver.answers import refusal
from podrun.apiserver.server import OWN_PATHS, Handler
from podrun.apiserver.sessions import LINK_SECONDS, Sessions, bearer
from podrun.apiserver.streams.channels import is_websocket, offered_protocols
from podrun.runtime.service import RuntimeService
from podrun.store.store import Store
from podrun.ui.looking import Looks
from podrun.ui.pages import PATH, Pages, to_the_page

OWN = f"{OWN_PATHS}ui"
_PRIVATE = {"Cache-Control": "no-store"}


class Site:
    """`url` is how a browser on this machine reaches the server (https://HOST:PORT)."""

    def __init__(self, store: Store, runtime: RuntimeService, sessions: Sessions, url: str) -> None:
        self._sessions = sessions
        self._url = url
        self.looks = Looks(store, runtime)

    @property
    def pages(self) -> Sequence[tuple[str, str, Handler]]:
        """For anybody."""
        return (
            ("GET", PATH.rstrip("/"), to_the_page),
            ("GET", f"{PATH}{{path:.*}}", Pages().answer),
            ("POST", f"{OWN}/sessions", self._enter),
        )

    @property
    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        """For administrators."""
        return (
            ("POST", f"{OWN}/links", self._link),
            ("POST", f"{OWN}/renewal", self._renew),
            ("GET", f"{OWN}/namespaces/{{namespace}}/pods/{{pod}}", self._look),
        )

    async def _link(self, request: web.Request) -> web.StreamResponse:
        url = f"{self._url}{PATH}#token={self._sessions.link(time.time())}"
        return _json({"url": url, "seconds": LINK_SECONDS})

    async def _enter(self, request: web.Request) -> web.StreamResponse:
        try:
            token, expires = self._sessions.enter(bearer(request) or "", time.time())
        except ApiError as error:
            return refusal(error)
        return _json({"token": token, "expires": expires})

    async def _renew(self, request: web.Request) -> web.StreamResponse:
        token, expires = self._sessions.renew(bearer(request) or "", time.time())
        return _json({"token": token, "expires": expires})

    async def _look(self, request: web.Request) -> web.StreamResponse:
        if not is_websocket(request):
            raise bad_request("the picture of a pod comes over a WebSocket")
        socket = web.WebSocketResponse(protocols=offered_protocols(request)[:1], heartbeat=20)
        await socket.prepare(request)
        async with self.looks.at(request.match_info["namespace"], request.match_info["pod"]) as pictures:

            async def show() -> None:
                async for picture in pictures:
                    await socket.send_str(orjson.dumps(picture).decode())

            showing = asyncio.create_task(show())
            listening = asyncio.create_task(_until_closed(socket))
            try:
                await asyncio.wait((showing, listening), return_when=asyncio.FIRST_COMPLETED)
            finally:
                showing.cancel()
                listening.cancel()
                await asyncio.gather(showing, listening, return_exceptions=True)
        return socket


async def _until_closed(socket: web.WebSocketResponse) -> None:
    """Read (and pass over) what the page says, which answers its pings, until it has gone."""
    async for _ in socket:
        pass


def _json(value: Any) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json", headers=_PRIVATE)
