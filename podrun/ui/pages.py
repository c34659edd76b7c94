"""The files of the page: fixed, public, and fenced in.

Nothing in them is secret and nothing in them is made from data, so they are served to anybody; what the page shows it
asks for with its session's token. The browser is told to run nothing that is not one of these files, to send nothing
elsewhere, and (Trusted Types) to refuse any text that is about to become markup.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

STATIC = Path(__file__).parent / "static"
INDEX = "index.html"
PATH = "/ui/"

_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]+")
HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def policy(host: str) -> str:
    """The Content-Security-Policy of a page at `host`: our files, our API, nothing else.

    Not every browser counts WebSockets of the same host to 'self', so they are named.
    """
    sockets = f" wss://{host}" if _HOST.fullmatch(host) else ""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            f"connect-src 'self'{sockets}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
}
"""A file of another kind (a licence) is there to be read on disk, not to be served."""


class Pages:
    """The files by the path that a browser asks for: what is not in this list is not there, whatever it is called."""

    def __init__(self, directory: Path = STATIC) -> None:
        self._files = {
            path.relative_to(directory).as_posix(): path
            for path in directory.rglob("*")
            if path.suffix in _TYPES and path.is_file()
        }

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The file that is asked for; 304 where the browser has it already."""
        path = self._files.get(request.match_info["path"] or INDEX)
        headers = {**HEADERS, "Content-Security-Policy": policy(request.host)}
        if path is None:
            return web.Response(status=404, text="there is no such page\n", headers=headers)
        content = path.read_bytes()
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        headers["ETag"] = tag
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=content, content_type=_TYPES[path.suffix], charset="utf-8", headers=headers)


async def to_the_page(request: web.Request) -> web.StreamResponse:
    """`/ui` without the stroke; the fragment, which holds the token, is the browser's to carry over."""
    return web.Response(status=308, headers={"Location": PATH})
