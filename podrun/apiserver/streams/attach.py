"""exec and attach: a process's streams joined to a client's connection.

    client ──stdin, resize──> process ──stdout, stderr──> client; then its exit as a Status, then the end

One task reads the client, one each reads the process's outputs; a slow client slows the process down and nothing is
kept. When the process has ended, what it wrote before is sent first; a grandchild that keeps a stream open does not
delay the end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import orjson
from aiohttp import web

from podrun.api.errors import bad_request, internal_error
from podrun.apiserver.call import flag
from podrun.apiserver.streams.channels import ERROR, RESIZE, STDERR, STDIN, STDOUT, Channels, is_websocket
from podrun.apiserver.streams.descriptors import chunks, put, take, write_all
from podrun.apiserver.streams.pods import PodAccess, container_name, reachable
from podrun.apiserver.streams.spdy_channels import SpdyChannels
from podrun.apiserver.streams.upgrade import UpgradeRefused, is_spdy
from podrun.runtime.errors import RuntimeFailure
from podrun.runtime.service import RuntimeService, Session

Object = dict[str, Any]
Client = Channels | SpdyChannels

log = logging.getLogger(__name__)

SUCCESS: Object = {"metadata": {}, "status": "Success"}
_RPC = "rpc error: code = Unknown desc = "


class _Refused(Exception):
    """A kubelet's answer before any stream: `status` and a line of text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


async def execute(request: web.BaseRequest, pod: Object, pods: PodAccess | None) -> web.StreamResponse:
    """Run a command in a container, with the client as its terminal or its pipes."""
    container = container_name(pod, request.query.get("container", ""))
    argv = request.query.getall("command", [])
    return await _stream(request, pod, pods, container, argv)


async def attach(request: web.BaseRequest, pod: Object, pods: PodAccess | None) -> web.StreamResponse:
    """Join a running container's own streams."""
    container = container_name(pod, request.query.get("container", ""))
    return await _stream(request, pod, pods, container, None)


async def _stream(
    request: web.BaseRequest, pod: Object, pods: PodAccess | None, container: str, argv: Sequence[str] | None
) -> web.StreamResponse:
    name = pod["metadata"]["name"]
    if not pod["spec"].get("nodeName"):
        raise bad_request(f"pod {name} does not have a host assigned")
    access = reachable(pods)
    try:
        wanted = _wanted(request)
        if argv is not None and not argv:
            raise _Refused(400, "you must specify a command")
        container_id = access.container_id(pod["metadata"]["namespace"], name, container, False)
        if container_id is None or not _runs(pod, container):
            raise _Refused(404, f'container not found ("{container}")')
        if not is_websocket(request) and not is_spdy(request):
            raise bad_request("Upgrade request required: streams are served over WebSocket and SPDY/3.1")
    except _Refused as refused:
        return web.Response(status=refused.status, text=str(refused))
    if is_websocket(request):
        return await _serve(access.runtime, await Channels.open(request), container_id, wanted, argv)
    try:
        opened = await SpdyChannels.open(request, streams=wanted.channels, tty=wanted.tty)
    except UpgradeRefused as refused:
        return refused.response
    try:
        async with opened:
            return await _serve(access.runtime, opened, container_id, wanted, argv)
    except ConnectionError as why:
        log.debug("a client of %s/%s opened no streams: %s", name, container, why)
        return opened.response


async def _serve(
    runtime: RuntimeService, channels: Client, container_id: str, wanted: _Wanted, argv: Sequence[str] | None
) -> web.StreamResponse:
    """Join a client that has connected to the process it asked for, and say how that ended."""
    status = SUCCESS
    session: Session | None = None
    try:
        if argv is None:
            session = await runtime.attach(container_id, stdin=wanted.stdin, stdout=wanted.stdout, stderr=wanted.stderr)
        else:
            session = await runtime.exec(
                container_id,
                argv,
                tty=wanted.tty,
                stdin=wanted.stdin,
                stdout=wanted.stdout,
                stderr=wanted.stderr and not wanted.tty,
            )
        # An empty message tells the client that it is connected.
        await channels.send(STDOUT if wanted.stdout else STDERR if wanted.stderr else ERROR, b"")
        code = await _join(channels, session)
        if argv is not None and code:
            status = _exit_status(argv, code)
    except RuntimeFailure as failure:
        what = "executing command in container" if argv is not None else "attaching to container"
        status = internal_error(f"error {what}: {failure.message.removeprefix(_RPC)}").status()
    except ConnectionError:
        return channels.response
    finally:
        if session is not None:
            await session.close()
    try:
        await channels.finish(status)
    except ConnectionError:
        log.debug("the client of %s left before it heard of the end", container_id)
    return channels.response


class _Wanted:
    """Which streams the client asks for."""

    def __init__(self, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> None:
        self.stdin, self.stdout, self.stderr, self.tty = stdin, stdout, stderr, tty

    @property
    def channels(self) -> frozenset[int]:
        """The wanted streams by their numbers."""
        wanted = ((STDIN, self.stdin), (STDOUT, self.stdout), (STDERR, self.stderr))
        return frozenset(number for number, asked in wanted if asked)


def _wanted(request: web.BaseRequest) -> _Wanted:
    query = request.query
    wanted = _Wanted(*(flag(query, name) for name in ("stdin", "stdout", "stderr", "tty")))
    if wanted.tty and wanted.stderr:
        # A terminal has one output; Kubernetes' own clients leave stderr out then.
        wanted.stderr = False
    if not (wanted.stdin or wanted.stdout or wanted.stderr):
        raise _Refused(400, "you must specify at least 1 of stdin, stdout, stderr")
    return wanted


def _runs(pod: Object, container: str) -> bool:
    status = pod.get("status") or {}
    for kind in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for one in status.get(kind) or []:
            if one.get("name") == container:
                return "running" in (one.get("state") or {})
    return False


async def _join(channels: Client, session: Session) -> int:
    """Carry bytes both ways until the process ends (or the client leaves); its exit code."""
    outputs = [
        asyncio.create_task(_send(channels, channel, descriptor))
        for channel, descriptor in ((STDOUT, session.stdout), (STDERR, session.stderr))
        if descriptor is not None
    ]
    listener = asyncio.create_task(_listen(channels, session))
    ended = asyncio.create_task(session.wait())
    tasks: set[asyncio.Task[Any]] = {*outputs, listener, ended}
    try:
        await asyncio.wait({listener, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            listener.result()
            raise ConnectionResetError("the client left")
        code = ended.result()
        await _drain(channels, session, outputs)
        return code
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _drain(channels: Client, session: Session, outputs: list[asyncio.Task[None]]) -> None:
    """Send what the process left in its streams. The tasks stop first: what they had read they have sent."""
    for task in outputs:
        if not task.done():
            task.cancel()
    await asyncio.gather(*outputs, return_exceptions=True)
    for channel, descriptor in ((STDOUT, session.stdout), (STDERR, session.stderr)):
        while descriptor is not None and (data := take(descriptor)):
            await channels.send(channel, data)


async def _send(channels: Client, channel: int, descriptor: int) -> None:
    async for data in chunks(descriptor):
        # Once read it must be sent: the end of the process cancels this task.
        await asyncio.shield(asyncio.ensure_future(channels.send(channel, data)))


async def _feed(channels: Client, stdin: int, data: bytes) -> bool:
    """Give the process its input, waiting while it does not read; False when the client has gone meanwhile."""
    rest = put(stdin, data)
    if not rest:
        return True
    writing, leaving = asyncio.ensure_future(write_all(stdin, rest)), asyncio.ensure_future(channels.gone())
    try:
        await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if writing.done():
            writing.result()
        return writing.done()
    finally:
        for task in (writing, leaving):
            task.cancel()
        await asyncio.gather(writing, leaving, return_exceptions=True)


async def _listen(channels: Client, session: Session) -> None:
    """The client's side: stdin and the terminal's size, until it leaves."""
    while (given := await channels.receive()) is not None:
        if given.channel == STDIN and given.closed:
            await session.close_stdin()
        elif given.channel == STDIN and session.stdin is not None:
            try:
                if not await _feed(channels, session.stdin, given.data):
                    return
            except OSError:
                # The process reads no more; what it still writes goes on.
                await session.close_stdin()
        elif given.channel == RESIZE:
            size = _size(given.data)
            if size is not None:
                await session.resize(*size)


def _size(data: bytes) -> tuple[int, int] | None:
    try:
        size = orjson.loads(data)
        width, height = int(size["Width"]), int(size["Height"])
    except (ValueError, KeyError, TypeError):
        return None
    return (width, height) if 0 < width < 1 << 16 and 0 < height < 1 << 16 else None


def _exit_status(argv: Sequence[str], code: int) -> Object:
    why = f"error executing command [{' '.join(argv)}], exit code {code}"
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: {why}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
