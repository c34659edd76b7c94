"""`pods/log`: a container's log, once or as it grows."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from podrun.api.errors import bad_request, invalid
from podrun.api.gotext import quote
from podrun.api.validation import options
from podrun.apiserver.call import flag, number
from podrun.apiserver.streams.channels import is_websocket, offered_protocols
from podrun.apiserver.streams.descriptors import readable
from podrun.apiserver.streams.logfiles import Formatter, LogOptions, LogReader
from podrun.apiserver.streams.pods import PodAccess, container_name, reachable
from podrun.kernel import inotify
from podrun.runtime.errors import NotFound
from podrun.runtime.model import Event, State
from podrun.runtime.service import RuntimeService

Object = dict[str, Any]

_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_BINARY = "binary.k8s.io"
_BASE64 = "base64.binary.k8s.io"
_PULLS = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


async def logs(request: web.Request, pod: Object, pods: PodAccess | None) -> web.StreamResponse:
    """Answer with the log that the query asks for; raises what the API server and the kubelet refuse."""
    name = pod["metadata"]["name"]
    wanted = log_options(request.query, name)
    container = container_name(pod, request.query.get("container", ""))
    if not pod["spec"].get("nodeName"):
        return web.Response(status=204)
    access = reachable(pods)
    container_id = logged_id(pod, container, previous=wanted.previous)
    sink = await _open(request)
    try:
        config = access.runtime.status(container_id).config
    except NotFound:
        await sink.send(f"unable to retrieve container logs for containerd://{container_id}".encode())
        return await sink.end()
    formatter = Formatter(wanted)
    reader = LogReader(config.log_path, wanted.tail_lines)
    try:
        while not formatter.full and (lines := reader.read()):
            await sink.send(formatter.format(lines))
        if wanted.follow and not formatter.full:
            async for lines in _growth(access.runtime, container_id, str(config.log_path.parent), reader):
                await sink.send(formatter.format(lines))
                if formatter.full:
                    break
    except ConnectionError:
        return sink.response
    finally:
        reader.close()
    return await sink.end()


async def _growth(
    runtime: RuntimeService, container_id: str, directory: str, reader: LogReader
) -> AsyncIterator[bytes]:
    """The lines that a container adds to its log until it has ended."""
    ended = asyncio.Event()

    def heard(event: Event) -> None:
        if (event.container_id == container_id and event.kind == "container-exited") or not _runs(
            runtime, container_id
        ):
            ended.set()

    unsubscribe = runtime.subscribe(heard)
    descriptor = inotify.create()
    over = asyncio.create_task(ended.wait())
    try:
        inotify.watch(descriptor, directory, inotify.Change.MODIFY)
        if not _runs(runtime, container_id):
            ended.set()
        while True:
            # Whether it has ended is looked at before reading: what was written until then is read now.
            last = ended.is_set()
            while lines := reader.read():
                yield lines
            if last:
                return
            changed = asyncio.create_task(readable(descriptor))
            try:
                await asyncio.wait({changed, over}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
            for _ in inotify.read(descriptor):
                pass
    finally:
        unsubscribe()
        over.cancel()
        os.close(descriptor)


def _runs(runtime: RuntimeService, container_id: str) -> bool:
    try:
        return runtime.status(container_id).state is not State.EXITED
    except NotFound:
        return False


# What is asked for


def log_options(query: MultiMapping[str], name: str) -> LogOptions:
    """The PodLogOptions of a query, checked; `name` is the pod's. Raises BadRequest and Invalid."""
    tail, limit, seconds = (number(query, key) for key in ("tailLines", "limitBytes", "sinceSeconds"))
    since_time = query.get("sinceTime", "")
    given = {"tailLines": tail, "limitBytes": limit, "sinceSeconds": seconds, "sinceTime": since_time or None}
    causes = options.log_options({key: value for key, value in given.items() if value is not None})
    if causes:
        raise invalid("PodLogOptions", name, causes)
    return LogOptions(
        follow=flag(query, "follow"),
        previous=flag(query, "previous"),
        timestamps=flag(query, "timestamps"),
        since=_since(seconds, since_time),
        tail_lines=tail,
        limit_bytes=limit,
    )


def _since(seconds: int | None, text: str) -> str:
    """The time of the first line wanted, spelled as times are in a log so that they compare as text."""
    if seconds is not None:
        moment = datetime.fromtimestamp(max(time.time() - seconds, 0.0), UTC)
    elif text:
        try:
            moment = datetime.fromisoformat(text).astimezone(UTC)
        except ValueError:
            layout = quote("2006-01-02T15:04:05Z07:00")
            raise bad_request(f"parsing time {quote(text)} as {layout}: cannot parse {quote(text)} as a time") from None
    else:
        return ""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def logged_id(pod: Object, container: str, *, previous: bool) -> str:
    """The id of the attempt whose log is meant; raises BadRequest in the kubelet's words where there is none."""
    name = pod["metadata"]["name"]
    where = f"container {quote(container)} in pod {quote(name)}"
    status = _container_status(pod, container)
    if status is None:
        raise bad_request(f"{where} is {_state_without_status(pod)}")
    state, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated")
    if previous:
        if not last or not last.get("containerID"):
            raise bad_request(f"previous terminated {where} not found")
        return _hex(last["containerID"])
    if "running" in state:
        return _hex(status.get("containerID", ""))
    ended = state.get("terminated") or last
    if ended is not None:
        found = ended.get("containerID") or (last or {}).get("containerID")
        if not found:
            raise bad_request(f"{where} is terminated")
        return _hex(found)
    waiting = state.get("waiting")
    if waiting is None:
        raise bad_request(f"{where} is waiting to start - no logs yet")
    reason = waiting.get("reason", "")
    raise bad_request(f"{where} is waiting to start: {_PULLS.get(reason, reason)}")


def _container_status(pod: Object, container: str) -> Object | None:
    status = pod.get("status") or {}
    every: list[Object] = [one for kind in _STATUSES for one in status.get(kind) or []]
    return next((one for one in every if one.get("name") == container), None)


def _state_without_status(pod: Object) -> str:
    """A pod that has just been bound has no statuses yet: its containers wait, as the kubelet's first ones will say."""
    if (pod.get("status") or {}).get("containerStatuses") or not pod["spec"].get("nodeName"):
        return "not available"
    return "waiting to start: ContainerCreating"


def _hex(container_id: str) -> str:
    return container_id.rpartition("//")[2]


# Where it goes


class _Body:
    """A chunked response of plain text."""

    def __init__(self, response: web.StreamResponse) -> None:
        self.response = response

    async def send(self, data: bytes) -> None:
        if data:
            await self.response.write(data)

    async def end(self) -> web.StreamResponse:
        await self.response.write_eof()
        return self.response


class _Messages:
    """A WebSocket that is only written to (binary.k8s.io, base64.binary.k8s.io)."""

    def __init__(self, response: web.WebSocketResponse, *, encode: bool) -> None:
        self.response = response
        self._encode = encode
        self._reader = asyncio.create_task(self._listen(asyncio.current_task()))

    async def _listen(self, writer: asyncio.Task[Any] | None) -> None:
        """Answer pings, and end the log when the client leaves."""
        async for _ in self.response:
            pass
        if writer is not None:
            writer.cancel()

    async def send(self, data: bytes) -> None:
        if not data:
            return
        if self._encode:
            await self.response.send_str(base64.b64encode(data).decode())
        else:
            await self.response.send_bytes(data)

    async def end(self) -> web.StreamResponse:
        self._reader.cancel()
        await self.response.close()
        return self.response


async def _open(request: web.Request) -> _Body | _Messages:
    if is_websocket(request):
        names = offered_protocols(request)
        known = [name for name in names if name in (_BINARY, _BASE64)]
        if names and not known:
            raise bad_request(f"unable to upgrade: none of the subprotocols is known here: {', '.join(names)}")
        socket = web.WebSocketResponse(protocols=known[:1], compress=False)
        await socket.prepare(request)
        return _Messages(socket, encode=known[:1] == [_BASE64])
    response = web.StreamResponse(headers={"Content-Type": "text/plain", "Cache-Control": "no-cache, private"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    return _Body(response)
