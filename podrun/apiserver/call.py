"""One request on its way through the server: what was asked, by whom, and how the answer is to look."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from podrun.api.errors import ApiError, bad_request, request_entity_too_large, timeout, unsupported_media_type
from podrun.api.goduration import parse_duration
from podrun.api.gotext import quote
from podrun.api.kinds import Kind
from podrun.apiserver.negotiation import Form
from podrun.apiserver.requestinfo import RequestInfo
from podrun.apiserver.users import User

Object = dict[str, Any]

LONGEST_REQUEST = 60.0
"""Seconds that a request may take that is not a stream (apiserver's --request-timeout)."""
BODY_SECONDS = LONGEST_REQUEST
"""For how long a body is waited for; the connection is closed after the refusal."""
BODY_LIMIT = 3 << 20
"""Bytes of a request's body that are read (apiserver's MaxRequestBodyBytes)."""


@dataclass(slots=True)
class Call:
    """A request to a resource that has been authenticated and authorized."""

    request: web.BaseRequest
    info: RequestInfo
    user: User
    kind: Kind
    form: Form
    warnings: list[str] = field(default_factory=list)
    """Texts of `Warning: 299` headers of the answer."""
    arrived: int = field(default_factory=time.time_ns)
    """Nanoseconds since the epoch."""

    def __post_init__(self) -> None:
        if self.kind.deprecation:
            self.warnings.append(self.kind.deprecation)

    @property
    def query(self) -> MultiMapping[str]:
        return self.request.query

    @property
    def namespace(self) -> str:
        """The namespace of the object: "" for kinds that have none."""
        return self.info.namespace if self.kind.namespaced else ""

    @property
    def manager(self) -> str:
        """Who owns the fields that this request sets: the fieldManager, else the client program's name."""
        given = self.query.get("fieldManager", "")
        return given or self.request.headers.get("User-Agent", "").split("/", 1)[0] or "unknown"

    @property
    def dry_run(self) -> bool:
        return bool(self.query.getall("dryRun", ()))

    @property
    def allotted(self) -> float:
        """Seconds that the answer may take. Raises BadRequest."""
        return allotted(self.query)

    def flag(self, name: str) -> bool:
        """A boolean of the query as Kubernetes converts it: present without a value is true; raises BadRequest."""
        return flag(self.query, name)

    def number(self, name: str) -> int | None:
        """An integer of the query, None when it is absent or empty; raises BadRequest."""
        return number(self.query, name)

    async def body(self) -> bytes:
        """The request's body; raises RequestEntityTooLarge."""
        return await read_body(self.request)

    def media_type(self, *accepted: str) -> str:
        """The body's media type, one of `accepted`, the first where none is said; raises UnsupportedMediaType."""
        return media_type(self.request, accepted)


def allotted(query: Mapping[str, str]) -> float:
    """Seconds that the client gives a request with `timeout`, at most the server's own. Raises BadRequest."""
    given = query.get("timeout", "")
    if not given:
        return LONGEST_REQUEST
    try:
        seconds = parse_duration(given)
    except ValueError as error:
        raise bad_request(f"invalid timeout specified in the request URL - {error}") from None
    return min(seconds, LONGEST_REQUEST) if seconds > 0 else LONGEST_REQUEST


def flag(query: Mapping[str, str], name: str) -> bool:
    """See `Call.flag`. Anything but false and 0 is true (apimachinery's Convert_Slice_string_To_bool)."""
    if name not in query:
        return False
    return query[name].lower() not in ("false", "0")


def number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdigit()):
        raise bad_request(f"strconv.ParseInt: parsing {quote(text)}: invalid syntax")
    value = int(text)
    if not -(1 << 63) <= value < 1 << 63:
        raise bad_request(f"strconv.ParseInt: parsing {quote(text)}: value out of range")
    return value


def media_type(request: web.BaseRequest, accepted: tuple[str, ...]) -> str:
    given = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if not given:
        return accepted[0]
    if given not in accepted:
        raise unsupported_media_type(
            f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
        )
    return given


async def read_body(request: web.BaseRequest) -> bytes:
    """The whole body. Raises RequestEntityTooLarge, and Timeout for a client that does not send what it announced."""
    if (request.content_length or 0) > BODY_LIMIT:
        raise _too_large()
    if request.content.is_eof() and request.content.at_eof():
        return b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _chunks(request)
    except TimeoutError:
        raise timeout("request did not complete within requested timeout - context deadline exceeded") from None


async def _chunks(request: web.BaseRequest) -> bytes:
    chunks, size = [], 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > BODY_LIMIT:
            raise _too_large()
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large() -> ApiError:
    return request_entity_too_large(f"limit is {BODY_LIMIT}")
