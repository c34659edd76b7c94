"""Watches on the wire: changes as they happen, one JSON line each (or one WebSocket message).

A selector makes a watch of its own world: an object that begins to match is ADDED to it, one that stops matching is
DELETED from it, in the state in which it last matched. What a watch sends costs what changes, not what exists: the
JSON of an object is the store's own.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import orjson
from aiohttp import WSMsgType, web

from podrun.api import printers
from podrun.api.errors import ApiError, Cause, invalid, unclassified
from podrun.api.gotext import quote
from podrun.apiserver import answers
from podrun.apiserver.call import Call
from podrun.apiserver.freshness import await_version, is_cached
from podrun.apiserver.lists import Matches, matcher, version_mistake
from podrun.apiserver.negotiation import JSON
from podrun.apiserver.streams.channels import offered_protocols
from podrun.store.records import Record, WatchEvent
from podrun.store.store import Store
from podrun.store.watch import Watch

Object = dict[str, Any]

SHORTEST_TIME = 1800
"""Seconds that a watch lives when the client names none: between this and twice as many."""
BOOKMARK_EVERY = 60
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Sink(Protocol):
    """Where the lines of a watch go."""

    async def send(self, lines: list[bytes]) -> None: ...

    async def end(self) -> None: ...


async def watch(store: Store, call: Call) -> web.StreamResponse:
    """Answer a watch until its time is over, the client leaves, or it falls too far behind."""
    query = call.query
    version, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    initial = call.flag("sendInitialEvents") if "sendInitialEvents" in query else None
    if initial is None and not match and version in ("", "0"):
        # Who names no version has always been sent what exists (meta/v1, SetListOptionsDefaults).
        initial, match = True, "NotOlderThan"
    _check(initial, match, query.get("continue", ""))
    if call.form.shape == "Table":
        printers.check_include_object(query.get("includeObject", ""))
    matches = matcher(call)
    since = _since(version, initial, store.resource_version)
    seconds = call.number("timeoutSeconds") or random.uniform(SHORTEST_TIME, 2 * SHORTEST_TIME)
    resource = call.kind.alias_of or call.kind.resource
    lines = _Lines(call, matches)
    response, sink = await _open(call)
    try:
        async with asyncio.timeout(max(seconds, 0)):
            with_bookmarks = call.flag("allowWatchBookmarks")
            if initial:
                await await_version(store, call, int(version or 0))
            changes = store.watch(resource, call.namespace or None, since)
            # A client that does not read blocks `send`; cutting it off ends that.
            changes.on_cut_off = _abort(call)
            if since is None:
                # The watch begins with what is there now, all of it, before anything else can happen.
                begin = lines.of(changes.take())
                if initial and with_bookmarks:
                    begin.append(lines.bookmark(store.resource_version, {INITIAL_EVENTS_END: "true"}))
                await sink.send(begin)
            async with changes:
                await _follow(store, changes, lines, sink, with_bookmarks, since or 0)
    except TimeoutError:
        pass
    except ApiError as error:
        if error.reason == "Expired" and not is_cached(call):
            error.message = "The resourceVersion for the provided watch is too old."
        await sink.send([_line("ERROR", orjson.dumps(error.status()))])
    except ConnectionError:
        return response
    await sink.end()
    return response


async def _follow(store: Store, changes: Watch, lines: _Lines, sink: Sink, with_bookmarks: bool, since: int) -> None:
    """Send what comes after version `since`, which may be one to come: then nothing is said until it is there."""
    marked = store.resource_version
    while True:
        try:
            async with asyncio.timeout(BOOKMARK_EVERY if with_bookmarks else None) as limit:
                events = await changes.batch()
        except TimeoutError:
            if not limit.expired():
                raise
            if store.resource_version > marked and changes.caught_up:
                marked = store.resource_version
                await sink.send([lines.bookmark(marked)])
            continue
        if not events:
            return
        marked = events[-1].version
        await sink.send(lines.of(event for event in events if event.version > since))


class _Lines:
    """Events as the client wants to see them."""

    def __init__(self, call: Call, matches: Matches | None) -> None:
        self._call = call
        self._matches = matches
        self._columns = True
        self._plain = not call.form.shape and not call.kind.alias_of

    def of(self, events: Iterable[WatchEvent]) -> list[bytes]:
        """The lines of events; those that do not concern the selectors give none."""
        made = []
        for event in events:
            seen = self._seen(event)
            if seen is not None:
                type_, record = seen
                made.append(_line(type_, record.encoded if self._plain else self._shaped(record.object)))
        return made

    def _seen(self, event: WatchEvent) -> tuple[str, Record] | None:
        """The event as a watch with these selectors sees it."""
        matches = self._matches
        if matches is None:
            return event.type, event.record
        now = matches(event.object)
        if event.type == "ADDED":
            return ("ADDED", event.record) if now else None
        previous = event.previous
        # After a restart the earlier state of an object may not be known; saying DELETED of what a client never knew
        # does no harm, saying nothing would.
        before = True if previous is None else matches(previous)
        if event.type == "DELETED":
            return ("DELETED", event.record) if before else None
        if now:
            return ("MODIFIED" if before else "ADDED"), event.record
        if not before:
            return None
        return "DELETED", _left(event, previous)

    def _shaped(self, obj: Object) -> bytes:
        call = self._call
        obj = answers.shown(call.kind, obj)
        if call.form.shape == "Table":
            metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            obj = answers.table(call, [obj], metadata, columns=self._columns)
            self._columns = False
        else:
            obj = answers.shaped(call, obj)
        return orjson.dumps(obj)

    def bookmark(self, version: int, annotations: Object | None = None) -> bytes:
        """A line that says up to which version everything has been sent."""
        call = self._call
        metadata: Object = {"resourceVersion": str(version)}
        if annotations:
            metadata["annotations"] = annotations
        obj: Object = {"kind": call.kind.kind, "apiVersion": call.kind.api_version, "metadata": metadata}
        if call.form.shape == "PartialObjectMetadata":
            obj = answers.partial(call.form, obj)
        elif call.form.shape == "Table":
            row = {"cells": [], "object": answers.partial(call.form, obj)}
            obj = {
                "kind": "Table",
                "apiVersion": f"meta.k8s.io/{call.form.version}",
                "metadata": {"resourceVersion": str(version)},
                "columnDefinitions": None,
                "rows": [row],
            }
        return _line("BOOKMARK", orjson.dumps(obj))


def _left(event: WatchEvent, previous: Object | None) -> Record:
    """What a watch is told of an object that stopped matching: its last matching state, at the new version."""
    if previous is None:
        return event.record
    metadata = {**previous["metadata"], "resourceVersion": str(event.version)}
    obj = {**previous, "metadata": metadata}
    return Record(event.version, orjson.dumps(obj), obj)


def _line(type_: str, body: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (type_.encode(), body)


def _since(version: str, initial: bool | None, now: int) -> int | None:
    """The version to begin after, of which `now` is the present one; None begins with everything that exists."""
    if version and not (version.isascii() and version.isdigit()):
        raise unclassified(version_mistake(version))
    if initial:
        return None
    return int(version or 0) or now


def _check(initial: bool | None, match: str, token: str) -> None:
    causes = []

    def forbid(why: str) -> None:
        causes.append(Cause("FieldValueForbidden", f"Forbidden: {why}", "resourceVersionMatch"))

    if initial is not None and match != "NotOlderThan":
        forbid("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
    if match:
        if initial is None:
            forbid("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
        if match != "NotOlderThan":
            message = f'Unsupported value: {quote(match)}: supported values: "NotOlderThan"'
            causes.append(Cause("FieldValueNotSupported", message, "resourceVersionMatch"))
        if token:
            forbid("resourceVersionMatch is forbidden when continue is provided")
    if causes:
        raise invalid("ListOptions.meta.k8s.io", "", causes)


def _abort(call: Call) -> Callable[[], None]:
    transport = call.request.transport
    return transport.abort if transport is not None else lambda: None


async def _open(call: Call) -> tuple[web.StreamResponse, Sink]:
    if call.request.headers.get("Upgrade", "").lower() == "websocket":
        # Headlamp offers a subprotocol, though events are plain text in any: a browser insists on hearing it back.
        socket = web.WebSocketResponse(protocols=offered_protocols(call.request)[:1])
        await socket.prepare(call.request)
        return socket, _Messages(socket)
    response = web.StreamResponse(headers={"Content-Type": JSON, "Cache-Control": "no-cache, private"})
    response.enable_chunked_encoding()
    answers.add_warnings(response, call.warnings)
    await response.prepare(call.request)
    return response, _Chunks(response)


class _Chunks:
    """Lines in a chunked response: those of one batch in one write."""

    def __init__(self, response: web.StreamResponse) -> None:
        self._response = response

    async def send(self, lines: list[bytes]) -> None:
        if lines:
            await self._response.write(b"".join(lines))

    async def end(self) -> None:
        await self._response.write_eof()


class _Messages:
    """Each line a text message of a WebSocket (Headlamp watches this way)."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._reader = asyncio.create_task(self._read())
        self._task = asyncio.current_task()

    async def _read(self) -> None:
        """Answer pings; when the client closes, end the watch."""
        async for message in self._socket:
            if message.type in (WSMsgType.CLOSE, WSMsgType.ERROR):
                break
        if self._task is not None:
            self._task.cancel()

    async def send(self, lines: list[bytes]) -> None:
        for line in lines:
            await self._socket.send_str(line.decode().rstrip("\n"))

    async def end(self) -> None:
        self._reader.cancel()
        await self._socket.close()
