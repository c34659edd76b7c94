"""The open box over HTTP, below podrun's own paths: for administrators, and not in any discovery document.

GET  /podrun/v1/timelines                                         the pods whose timeline is kept
GET  /podrun/v1/namespaces/N/pods/P/{timeline,explanation,anatomy,anatomy.svg,script}
POST /podrun/v1/namespaces/N/pods/P/{freeze,thaw,retry,restart,netem,break}     a small JSON object
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from aiohttp import web

from podrun.anatomy.read import open_pod
from podrun.anatomy.svg import draw_svg
from podrun.api.errors import bad_request
from podrun.apiserver.server import OWN_PATHS, Handler
from podrun.openbox.box import OpenBox
from podrun.openbox.knobs import Knobs

_POD = f"{OWN_PATHS}namespaces/{{namespace}}/pods/{{pod}}/"
_LONGEST_BODY = 64 << 10
Route = tuple[str, str, Handler]


def routes(the_box: Callable[[], OpenBox]) -> Sequence[Route]:
    """(method, path, handler) of each, for the API server, which is made before there is a box."""

    async def timelines(request: web.Request) -> web.StreamResponse:
        return _json({"pods": await asyncio.to_thread(the_box().timelines)})

    async def timeline(request: web.Request) -> web.StreamResponse:
        return _json(the_box().timeline(*_named(request), request.query.get("uid", "")))

    async def explanation(request: web.Request) -> web.StreamResponse:
        replay = request.query.get("replay", "") in ("1", "true")
        return _json(the_box().explanation(*_named(request), replay=replay))

    async def anatomy(request: web.Request) -> web.StreamResponse:
        opened = await asyncio.to_thread(open_pod, the_box().object(*_named(request)))
        return _json(opened.as_json())

    async def picture(request: web.Request) -> web.StreamResponse:
        opened = await asyncio.to_thread(open_pod, the_box().object(*_named(request)))
        dark = request.query.get("dark", "") in ("1", "true")
        return web.Response(text=draw_svg(opened, dark=dark), content_type="image/svg+xml")

    async def script(request: web.Request) -> web.StreamResponse:
        return web.Response(text=await asyncio.to_thread(the_box().script, *_named(request)))

    looks = {"timeline": timeline, "explanation": explanation, "script": script}
    looks |= {"anatomy": anatomy, "anatomy.svg": picture}
    return (
        ("GET", f"{OWN_PATHS}timelines", timelines),
        *(("GET", f"{_POD}{name}", handler) for name, handler in looks.items()),
        *(("POST", f"{_POD}{name}", _turning(the_box, name)) for name in _KNOBS),
    )


_KNOBS = {
    "freeze": lambda knobs, words: knobs.freeze(words, frozen=True),
    "thaw": lambda knobs, words: knobs.freeze(words, frozen=False),
    "retry": Knobs.retry,
    "restart": Knobs.restart,
    "netem": Knobs.netem,
    "break": Knobs.break_,
}


def _turning(the_box: Callable[[], OpenBox], name: str) -> Handler:
    async def turn(request: web.Request) -> web.StreamResponse:
        words = await _words(request)
        return _json({"message": await _KNOBS[name](the_box().knobs(*_named(request)), words)})

    return turn


def _named(request: web.Request) -> tuple[str, str]:
    return request.match_info["namespace"], request.match_info["pod"]


async def _words(request: web.Request) -> dict[str, Any]:
    """The body: a JSON object, or nothing. Raises BadRequest."""
    if (request.content_length or 0) > _LONGEST_BODY:
        raise bad_request("the body is too long")
    body = await request.read()
    try:
        words = orjson.loads(body or b"{}")
    except ValueError as error:
        raise bad_request(f"the body is no JSON: {error}") from None
    if not isinstance(words, dict):
        raise bad_request("the body is no JSON object")
    return words


def _json(value: object) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")
