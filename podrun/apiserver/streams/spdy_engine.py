"""SPDY/3.1 as a value that changes: bytes in, events and bytes out; no I/O, no clock.

    receive(bytes) ──> events          open, reply, send, reset, consumed ──> take() ──> bytes for the peer

What a peer does wrong to one stream ends that stream (RST_STREAM); what makes the rest of the bytes meaningless raises
SpdyError, with a GOAWAY left in `take()`. No other error is raised for any bytes.

Flow control: Kubernetes' own library (moby/spdystream) neither sends nor heeds WINDOW_UPDATE, others do. So windows are
counted from the start but hold us back only once the peer has shown that it speaks of them, and a peer that sends more
than our window is not wrong: whoever reads the events holds it back by not reading from its connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from podrun.apiserver.streams import spdy_frames as frames
from podrun.apiserver.streams.spdy_errors import SpdyError, StreamClosed
from podrun.apiserver.streams.spdy_frames import Control, Data, Farewell, Reset, Type
from podrun.apiserver.streams.spdy_headers import HeaderCompressor, HeaderDecompressor

WINDOW = 64 << 10
"""Bytes that may be on their way in a stream, and in a connection, before any WINDOW_UPDATE."""
MOST_STREAMS = 2000
"""Open at a time in a connection: a thousand forwarded connections."""
_LARGEST_WINDOW = 0x7FFFFFFF


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer began a stream, which waits for `reply` or `reset`."""

    stream: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Replied:
    """The peer accepted a stream of ours."""

    stream: int


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes of a stream; say `consumed` once they are used."""

    stream: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The peer sends nothing more on a stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class CutOff:
    """The peer ended a stream in both directions."""

    stream: int


@dataclass(frozen=True, slots=True)
class WindowGrew:
    """More may be sent on a stream; 0: on any."""

    stream: int


@dataclass(frozen=True, slots=True)
class Leaving:
    """The peer opens no further streams."""


Event = Opened | Replied | Received | Ended | CutOff | WindowGrew | Leaving


@dataclass(slots=True)
class _Stream:
    window: int
    replied: bool = False
    sends: bool = True
    """Whether we still may send on it."""
    receives: bool = True
    unreported: int = 0
    """Bytes consumed of which the peer has not been told."""


class Engine:
    """One connection's state. The server's streams have even numbers, the client's odd ones."""

    def __init__(self, *, client: bool = False) -> None:
        self._reader = frames.FrameReader()
        self._inflate, self._deflate = HeaderDecompressor(), HeaderCompressor()
        self._output = bytearray()
        self._streams: dict[int, _Stream] = {}
        self._next = 1 if client else 2
        self._peers_last = 0
        self._initial_window = WINDOW
        self._window = WINDOW
        self._unreported = 0
        self._paced = False
        self._leaving = False
        self._failed = False

    # What the peer sends

    def receive(self, data: bytes) -> list[Event]:
        """What `data`, the next bytes of the connection, says; raises SpdyError, and again for anything after that."""
        if self._failed:
            raise SpdyError("the connection has failed before")
        events: list[Event] = []
        try:
            for frame in self._reader.feed(data):
                if isinstance(frame, Data):
                    self._data(frame, events)
                else:
                    self._control(frame, events)
        except SpdyError:
            self._failed = True
            self._output += frames.goaway(self._peers_last, Farewell.PROTOCOL_ERROR)
            raise
        return events

    def _data(self, frame: Data, events: list[Event]) -> None:
        stream = self._streams.get(frame.stream)
        if stream is None or not stream.receives:
            self._consumed_by_connection(len(frame.payload))
            if stream is not None:
                self.reset(frame.stream, Reset.STREAM_ALREADY_CLOSED)
                events.append(CutOff(frame.stream))
            elif frame.stream > self._peers_last and frame.last:
                self._output += frames.rst_stream(frame.stream, Reset.INVALID_STREAM)
            return
        if frame.payload:
            events.append(Received(frame.stream, frame.payload))
        if frame.fin:
            self._ended(frame.stream, stream, events)

    def _control(self, frame: Control, events: list[Event]) -> None:
        match frame.type:
            case Type.SYN_STREAM:
                self._syn_stream(frame, events)
            case Type.SYN_REPLY | Type.HEADERS:
                self._headers(frame, events)
            case Type.RST_STREAM:
                number = frame.numbers(2)[0] & _LARGEST_WINDOW
                if self._streams.pop(number, None) is not None:
                    events.append(CutOff(number))
            case Type.SETTINGS:
                self._settings(frame, events)
            case Type.PING:
                (number,) = frame.numbers(1)
                if number % 2 != self._next % 2:
                    self._output += frames.ping(number)
            case Type.GOAWAY:
                frame.numbers(2)
                events.append(Leaving())
            case Type.WINDOW_UPDATE:
                self._window_update(frame, events)

    def _syn_stream(self, frame: Control, events: list[Event]) -> None:
        number = frame.stream
        # Every block is part of one zlib stream: it is read even where the stream is refused.
        headers = self._inflate.headers(frame.payload[10:])
        if self._leaving:
            return
        if number % 2 == self._next % 2 or number <= self._peers_last:
            self._output += frames.rst_stream(number, Reset.PROTOCOL_ERROR)
            if self._streams.pop(number, None) is not None:
                events.append(CutOff(number))
            return
        self._peers_last = number
        if len(self._streams) >= MOST_STREAMS:
            self._output += frames.rst_stream(number, Reset.REFUSED_STREAM)
            return
        stream = _Stream(self._initial_window, sends=not frame.flags & frames.UNIDIRECTIONAL)
        self._streams[number] = stream
        events.append(Opened(number, headers))
        if frame.flags & frames.FIN:
            self._ended(number, stream, events)

    def _headers(self, frame: Control, events: list[Event]) -> None:
        number = frame.stream
        self._inflate.headers(frame.payload[4:])
        stream = self._streams.get(number)
        if stream is None:
            return
        if frame.type == Type.SYN_REPLY and not stream.replied:
            stream.replied = True
            events.append(Replied(number))
        if frame.flags & frames.FIN and stream.receives:
            self._ended(number, stream, events)

    def _settings(self, frame: Control, events: list[Event]) -> None:
        (count,) = frame.numbers(1)
        if len(frame.payload) != 4 + 8 * count:
            raise SpdyError(f"settings of {len(frame.payload)} bytes are not {count} settings")
        numbers = frame.numbers(1 + 2 * count)[1:]
        for key, value in zip(numbers[::2], numbers[1::2], strict=True):
            if key & 0xFFFFFF == frames.SETTINGS_INITIAL_WINDOW:
                if value > _LARGEST_WINDOW:
                    raise SpdyError(f"a window of {value} bytes is too large")
                for stream in self._streams.values():
                    stream.window += value - self._initial_window
                self._initial_window = value
                self._paced = True
                events.append(WindowGrew(0))

    def _window_update(self, frame: Control, events: list[Event]) -> None:
        number, more = (value & _LARGEST_WINDOW for value in frame.numbers(2))
        self._paced = True
        if not number:
            self._window += more
            if self._window > _LARGEST_WINDOW:
                raise SpdyError("the connection's window is too large")
        elif stream := self._streams.get(number):
            stream.window += more
            if stream.window > _LARGEST_WINDOW:
                self.reset(number, Reset.FLOW_CONTROL_ERROR)
                events.append(CutOff(number))
                return
        events.append(WindowGrew(number))

    def _ended(self, number: int, stream: _Stream, events: list[Event]) -> None:
        stream.receives = False
        events.append(Ended(number))
        self._forget_when_done(number, stream)

    # What we send

    def take(self) -> bytes:
        """The bytes for the peer that have come together."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def open(self, headers: Mapping[str, str]) -> int:
        """Begin a stream; its number."""
        number, self._next = self._next, self._next + 2
        self._streams[number] = _Stream(self._initial_window)
        self._output += frames.syn_stream(number, self._deflate.block(headers))
        return number

    def reply(self, number: int) -> None:
        """Accept a stream of the peer's."""
        if number in self._streams:
            self._output += frames.syn_reply(number, self._deflate.block({}))

    def sendable(self, number: int) -> int:
        """How many bytes `send` takes now; raises StreamClosed when none ever will be."""
        stream = self._streams.get(number)
        if stream is None or not stream.sends or self._failed:
            raise StreamClosed(f"stream {number} is closed")
        if not self._paced:
            return frames.LONGEST_DATA
        return max(0, min(stream.window, self._window, frames.LONGEST_DATA))

    def send(self, number: int, data: bytes, *, fin: bool = False) -> None:
        """Send at most `sendable` bytes; with `fin` they are the last. Raises StreamClosed."""
        if len(data) > self.sendable(number):
            raise ValueError(f"stream {number} does not take {len(data)} bytes now")
        stream = self._streams[number]
        stream.window -= len(data)
        self._window -= len(data)
        self._output += frames.data(number, data, fin=fin)
        if fin:
            stream.sends = False
            self._forget_when_done(number, stream)

    def reset(self, number: int, why: Reset) -> None:
        """End a stream in both directions; nothing happens where it has ended."""
        if self._streams.pop(number, None) is not None:
            self._output += frames.rst_stream(number, why)

    def consumed(self, number: int, count: int) -> None:
        """Received bytes have been used: the peer may send as many more."""
        self._consumed_by_connection(count)
        stream = self._streams.get(number)
        if stream is not None and stream.receives:
            stream.unreported += count
            if stream.unreported >= WINDOW // 2:
                self._output += frames.window_update(number, stream.unreported)
                stream.unreported = 0

    def ping(self) -> None:
        """Ask for a sign of life, which the peer's engine gives by itself."""
        self._output += frames.ping(self._next)

    def leave(self) -> None:
        """Take no further streams."""
        if not self._leaving:
            self._leaving = True
            self._output += frames.goaway(self._peers_last, Farewell.OK)

    @property
    def pending(self) -> int:
        """Bytes that `take` would give."""
        return len(self._output)

    def is_open(self, number: int) -> bool:
        """Whether a stream has not ended in both directions."""
        return number in self._streams

    @property
    def open_streams(self) -> int:
        """How many streams have not ended in both directions."""
        return len(self._streams)

    def _consumed_by_connection(self, count: int) -> None:
        self._unreported += count
        if self._unreported >= WINDOW // 2:
            self._output += frames.window_update(0, self._unreported)
            self._unreported = 0

    def _forget_when_done(self, number: int, stream: _Stream) -> None:
        if not stream.sends and not stream.receives:
            self._streams.pop(number, None)
