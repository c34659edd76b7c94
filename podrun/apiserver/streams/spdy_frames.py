"""Frames of SPDY/3.1 on the wire, cut out of a byte stream that arrives in pieces of any size.

    control   1|version(15)  type(16)  flags(8)  length(24)  payload
    data      0|stream(31)             flags(8)  length(24)  payload

Payloads of data frames are given out as they arrive, so that a frame of 16 MiB needs no 16 MiB; a control frame is
kept until it is complete and may have `LONGEST_CONTROL` bytes. SPDY draft 3.1, section 2.2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from podrun.apiserver.streams.spdy_errors import SpdyError

VERSION = 3
FIN = 0x01
UNIDIRECTIONAL = 0x02
LONGEST_CONTROL = 64 << 10
LONGEST_DATA = 0xFFFFFF

_HEAD = struct.Struct(">HHI")
_NUMBER = struct.Struct(">I")
_PAIR = struct.Struct(">II")
_CONTROL = 0x8000
_ID = 0x7FFFFFFF


class Type(IntEnum):
    """Control frames."""

    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class Reset(IntEnum):
    """Why a stream is cut off (RST_STREAM)."""

    PROTOCOL_ERROR = 1
    INVALID_STREAM = 2
    REFUSED_STREAM = 3
    CANCEL = 5
    INTERNAL_ERROR = 6
    FLOW_CONTROL_ERROR = 7
    STREAM_IN_USE = 8
    STREAM_ALREADY_CLOSED = 9


class Farewell(IntEnum):
    """Why a connection ends (GOAWAY)."""

    OK = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2


SETTINGS_INITIAL_WINDOW = 7


@dataclass(frozen=True, slots=True)
class Control:
    """A whole control frame; `type` may be one that is not known."""

    type: int
    flags: int
    payload: bytes

    @property
    def stream(self) -> int:
        """The stream that begins the payload of most types; raises SpdyError where it is too short."""
        return self.numbers(1)[0] & _ID

    def numbers(self, count: int) -> tuple[int, ...]:
        """The 32-bit numbers that the payload begins with; raises SpdyError where it is too short."""
        if len(self.payload) < count * _NUMBER.size:
            raise SpdyError(f"a frame of type {self.type} has only {len(self.payload)} bytes")
        return struct.unpack_from(f">{count}I", self.payload)


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of a data frame; `last` is its end, only there FIN counts."""

    stream: int
    payload: bytes
    fin: bool
    last: bool


class FrameReader:
    """Cuts frames out of bytes."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._rest = 0
        """Bytes that are still to come of the data frame `_stream`."""
        self._stream = 0
        self._fin = False

    def feed(self, data: bytes) -> Iterator[Control | Data]:
        """The frames that are complete with `data`; raises SpdyError for what is not SPDY/3.1."""
        self._held += data
        while self._held:
            if self._rest:
                yield self._piece()
                continue
            if len(self._held) < _HEAD.size:
                return
            first, second, tail = _HEAD.unpack_from(self._held)
            flags, length = tail >> 24, tail & LONGEST_DATA
            if not first & _CONTROL:
                del self._held[: _HEAD.size]
                self._stream, self._fin, self._rest = (first << 16 | second), bool(flags & FIN), length
                if not length:
                    yield Data(self._stream, b"", self._fin, True)
                continue
            if first & ~_CONTROL != VERSION:
                raise SpdyError(f"SPDY version {first & ~_CONTROL} is not spoken here")
            if length > LONGEST_CONTROL:
                raise SpdyError(f"a control frame of {length} bytes is too long")
            if len(self._held) < _HEAD.size + length:
                return
            payload = bytes(self._held[_HEAD.size : _HEAD.size + length])
            del self._held[: _HEAD.size + length]
            yield Control(second, flags, payload)

    def _piece(self) -> Data:
        payload = bytes(self._held[: self._rest])
        del self._held[: len(payload)]
        self._rest -= len(payload)
        last = self._rest == 0
        return Data(self._stream, payload, self._fin and last, last)


def control(type_: Type, payload: bytes, flags: int = 0) -> bytes:
    """A control frame."""
    return _HEAD.pack(_CONTROL | VERSION, type_, flags << 24 | len(payload)) + payload


def data(stream: int, payload: bytes, *, fin: bool = False) -> bytes:
    """A data frame with at most LONGEST_DATA bytes."""
    return _PAIR.pack(stream, (FIN if fin else 0) << 24 | len(payload)) + payload


def syn_stream(stream: int, block: bytes, *, fin: bool = False) -> bytes:
    """The beginning of a stream; `block` are its compressed headers."""
    return control(Type.SYN_STREAM, _PAIR.pack(stream, 0) + b"\0\0" + block, FIN if fin else 0)


def syn_reply(stream: int, block: bytes) -> bytes:
    """The acceptance of a stream."""
    return control(Type.SYN_REPLY, _NUMBER.pack(stream) + block)


def rst_stream(stream: int, why: int) -> bytes:
    """The abrupt end of a stream, in both directions."""
    return control(Type.RST_STREAM, _PAIR.pack(stream, why))


def ping(number: int) -> bytes:
    """A ping, or its answer."""
    return control(Type.PING, _NUMBER.pack(number))


def goaway(last_stream: int, why: int) -> bytes:
    """No further streams are taken."""
    return control(Type.GOAWAY, _PAIR.pack(last_stream, why))


def window_update(stream: int, more: int) -> bytes:
    """The peer may send `more` bytes on a stream (0: on the connection)."""
    return control(Type.WINDOW_UPDATE, _PAIR.pack(stream, more))


def settings(values: dict[int, int]) -> bytes:
    """Settings by their numbers."""
    entries = b"".join(_PAIR.pack(number, value) for number, value in values.items())
    return control(Type.SETTINGS, _NUMBER.pack(len(values)) + entries)
