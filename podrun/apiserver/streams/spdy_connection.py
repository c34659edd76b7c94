"""A SPDY connection at work: one task reads and hands out, one writes; streams are read and written by others.

    client ──bytes──> engine ──events──> streams (at most HOLD bytes each)      the reader waits while one is full
    client <──bytes── engine <────────── streams (at most ROOM bytes together)  writers wait while there is no room

Streams whose input nobody wants (a client's side of an error stream) throw it away, so that they never fill.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping

from podrun.apiserver.streams.spdy_engine import CutOff, Ended, Engine, Event, Leaving, Opened, Received, WindowGrew
from podrun.apiserver.streams.spdy_errors import SpdyError, StreamClosed
from podrun.apiserver.streams.spdy_frames import Reset
from podrun.apiserver.streams.upgrade import ByteStream

log = logging.getLogger(__name__)

HOLD = 1 << 20
ROOM = 256 << 10
PIECE = 32 << 10
"""Bytes of one data frame: others get their turn between two."""
SIGN_OF_LIFE_SECONDS = 5.0
FAREWELL_SECONDS = 2.0
"""How long a client may take to close a connection after our farewell."""


class SpdyStream:
    """One stream of a connection; one reader and one writer at a time."""

    def __init__(self, connection: SpdyConnection, number: int, headers: Mapping[str, str]) -> None:
        self.number = number
        self.headers = headers
        """Names in lower case."""
        self._connection = connection
        self._engine = connection.engine
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._ended = self._cut_off = self._unwanted = self._finished = False
        self._changed = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether the connection has to wait for this stream's reader."""
        return self._held >= HOLD

    async def read(self) -> bytes:
        """Everything that has come; empty at the end. Raises StreamClosed when the stream was cut off before it."""
        while not self._chunks:
            if self._ended:
                return b""
            if self._cut_off:
                raise StreamClosed(f"stream {self.number} was reset")
            await self.changed()
        return self._taken()

    async def write(self, data: bytes) -> None:
        """Send; waits while the client or its window is slow. Raises StreamClosed."""
        view = memoryview(data)
        while view:
            await self._connection.room()
            size = min(self._engine.sendable(self.number), PIECE)
            if not size:
                await self.changed()
                continue
            self._engine.send(self.number, bytes(view[:size]))
            view = view[size:]
            self._connection.flush()

    def finish(self) -> None:
        """End our direction; once is enough."""
        if not self._finished:
            self._finished = True
            with contextlib.suppress(StreamClosed):
                self._engine.send(self.number, b"", fin=True)
            self._connection.tidy(self.number)
            self._connection.flush()

    def discard(self) -> None:
        """Throw away what has come and what comes."""
        self._unwanted = True
        if self._held:
            self._taken()

    def close(self) -> None:
        """Nothing more is wanted of the stream: end our direction, and the client's where it goes on."""
        self.finish()
        self.discard()
        self._engine.reset(self.number, Reset.CANCEL)
        self._connection.tidy(self.number)
        self._connection.flush()

    async def changed(self) -> None:
        """Wait until something has happened to the stream."""
        self._changed.clear()
        await self._changed.wait()

    def received(self, data: bytes) -> None:
        """From the connection: bytes have come."""
        if self._unwanted:
            self._engine.consumed(self.number, len(data))
            return
        self._chunks.append(data)
        self._held += len(data)
        self._changed.set()

    def ended(self) -> None:
        """From the connection: nothing more comes."""
        self._ended = True
        self._changed.set()

    def cut_off(self) -> None:
        """From the connection: the stream is over, whatever was still to come."""
        self._cut_off = True
        self._changed.set()

    def wake(self) -> None:
        """From the connection: a window has grown."""
        self._changed.set()

    def _taken(self) -> bytes:
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._held = 0
        self._engine.consumed(self.number, len(data))
        self._connection.flush()
        self._connection.emptied(self)
        return data


class SpdyConnection:
    """Use with `async with`; `accept` is told of each stream that the client opens, and may reset it."""

    def __init__(self, transport: ByteStream, accept: Callable[[SpdyStream], None]) -> None:
        self.engine = Engine()
        self._transport = transport
        self._accept = accept
        self._streams: dict[int, SpdyStream] = {}
        self._full: set[SpdyStream] = set()
        self._output, self._room, self._emptied = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._lost = False
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    async def __aenter__(self) -> SpdyConnection:
        self._tasks = (asyncio.create_task(self._receive()), asyncio.create_task(self._send()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for failure in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(failure, Exception):
                log.error("a SPDY connection ended by a mistake of ours", exc_info=failure)
        self._end()

    async def over(self) -> None:
        """Wait until the client has gone, or broken the protocol."""
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    async def farewell(self) -> None:
        """Take no more streams, send what is to be sent, and let the client close: its end must not lose the rest."""
        self.engine.leave()
        self.flush()
        for stream in self._streams.values():
            stream.discard()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self.over()

    async def room(self) -> None:
        """Wait until there is room for output; raises StreamClosed once the connection has gone."""
        while not self._lost and self.engine.pending >= ROOM:
            self._room.clear()
            await self._room.wait()
        if self._lost:
            raise StreamClosed("the client has gone")

    def flush(self) -> None:
        """There may be output."""
        self._output.set()

    def emptied(self, stream: SpdyStream) -> None:
        """A stream has been read."""
        self._full.discard(stream)
        self._emptied.set()

    def tidy(self, number: int) -> None:
        """Forget a stream that has ended in both directions."""
        if not self.engine.is_open(number):
            self._streams.pop(number, None)

    async def _receive(self) -> None:
        try:
            while data := await self._transport.read():
                for event in self.engine.receive(data):
                    self._dispatch(event)
                self.flush()
                await self.room()
                while self._full:
                    await self._wait_for_readers()
        except SpdyError as error:
            log.info("a client's SPDY connection ends: %s", error)
            with contextlib.suppress(ConnectionError):
                await self._transport.write(self.engine.take())
        except ConnectionError:
            pass
        finally:
            self._end()

    async def _wait_for_readers(self) -> None:
        """Wait for a full stream to be read. While nothing is read, only writing shows that the client has gone."""
        self._emptied.clear()
        try:
            async with asyncio.timeout(SIGN_OF_LIFE_SECONDS):
                await self._emptied.wait()
        except TimeoutError:
            self.engine.ping()
            self.flush()

    async def _send(self) -> None:
        try:
            while True:
                await self._output.wait()
                self._output.clear()
                while output := self.engine.take():
                    self._room.set()
                    await self._transport.write(output)
        except ConnectionError:
            pass
        finally:
            self._end()

    def _dispatch(self, event: Event) -> None:
        if isinstance(event, Leaving):
            return
        if isinstance(event, Opened):
            stream = self._streams[event.stream] = SpdyStream(self, event.stream, event.headers)
            self.engine.reply(event.stream)
            self._accept(stream)
            return
        if isinstance(event, WindowGrew) and not event.stream:
            for stream in self._streams.values():
                stream.wake()
            return
        concerned = self._streams.get(event.stream)
        if concerned is None:
            return
        match event:
            case Received(_, data):
                concerned.received(data)
                if concerned.full:
                    self._full.add(concerned)
            case Ended():
                concerned.ended()
                self.tidy(event.stream)
            case CutOff():
                concerned.cut_off()
                self.tidy(event.stream)
            case WindowGrew():
                concerned.wake()

    def _end(self) -> None:
        self._lost = True
        self._room.set()
        for stream in self._streams.values():
            stream.cut_off()
        self._streams.clear()
