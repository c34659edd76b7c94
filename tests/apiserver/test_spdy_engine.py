"""The SPDY engine alone: two of them speak with each other, and any bytes are an answer or a protocol error."""

from __future__ import annotations

import contextlib
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podrun.apiserver.streams import spdy_frames as frames
from podrun.apiserver.streams.spdy_engine import (
    MOST_STREAMS,
    WINDOW,
    CutOff,
    Ended,
    Engine,
    Leaving,
    Opened,
    Received,
    Replied,
    WindowGrew,
)
from podrun.apiserver.streams.spdy_errors import SpdyError, StreamClosed
from podrun.apiserver.streams.spdy_frames import Reset
from podrun.apiserver.streams.spdy_headers import DICTIONARY, LONGEST_BLOCK, HeaderCompressor, HeaderDecompressor

HEADERS = {"streamtype": "data", "port": "80", "requestid": "0"}


def opened(**more: str) -> tuple[Engine, Engine, int]:
    """A client and a server with an accepted stream."""
    client, server = Engine(client=True), Engine()
    number = client.open(HEADERS | more)
    assert server.receive(client.take()) == [Opened(number, HEADERS | more)]
    server.reply(number)
    assert client.receive(server.take()) == [Replied(number)]
    return client, server, number


def test_the_dictionary_is_the_protocols() -> None:
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


def test_bytes_go_both_ways_and_each_side_ends_its_own() -> None:
    client, server, number = opened()
    client.send(number, b"hello", fin=True)
    assert server.receive(client.take()) == [Received(number, b"hello"), Ended(number)]
    server.send(number, b"hi")
    server.send(number, b"", fin=True)
    assert client.receive(server.take()) == [Received(number, b"hi"), Ended(number)]
    assert client.open_streams == server.open_streams == 0
    with pytest.raises(StreamClosed):
        server.send(number, b"more")


def test_a_reset_ends_both_directions() -> None:
    client, server, number = opened()
    server.reset(number, Reset.CANCEL)
    assert client.receive(server.take()) == [CutOff(number)]
    with pytest.raises(StreamClosed):
        client.send(number, b"x")
    assert server.receive(frames.data(number, b"on its way")) == []
    assert server.take() == b""


def test_pings_of_the_peer_are_answered_ours_are_not() -> None:
    server = Engine()
    assert server.receive(frames.ping(1) + frames.ping(2)) == []
    assert server.take() == frames.ping(1)


def test_a_sign_of_life_is_asked_for_and_given() -> None:
    client, server = Engine(client=True), Engine()
    server.ping()
    assert client.receive(server.take()) == []
    assert server.receive(client.take()) == []
    assert server.take() == b""


def test_a_peer_that_says_nothing_of_windows_is_sent_everything() -> None:
    _, server, number = opened()
    server.send(number, bytes(10 * WINDOW))
    assert server.sendable(number) > WINDOW


def test_a_peer_that_speaks_of_windows_is_heeded() -> None:
    _, server, number = opened()
    assert server.receive(frames.settings({frames.SETTINGS_INITIAL_WINDOW: 100})) == [WindowGrew(0)]
    assert server.sendable(number) == 100
    server.send(number, bytes(100))
    assert server.sendable(number) == 0
    assert server.receive(frames.window_update(number, 7)) == [WindowGrew(number)]
    assert server.sendable(number) == 7


def test_consumed_bytes_are_told_to_the_peer() -> None:
    client, server, number = opened()
    client.send(number, bytes(WINDOW))
    server.receive(client.take())
    server.consumed(number, WINDOW)
    assert client.receive(server.take()) == [WindowGrew(0), WindowGrew(number)]


def test_streams_beyond_the_limit_are_refused() -> None:
    client, server = Engine(client=True), Engine()
    for _ in range(MOST_STREAMS + 1):
        number = client.open(HEADERS)
    server.receive(client.take())
    assert server.take() == frames.rst_stream(number, Reset.REFUSED_STREAM)
    assert server.open_streams == MOST_STREAMS


def test_no_stream_is_taken_after_the_farewell() -> None:
    client, server, _ = opened()
    server.leave()
    client.open(HEADERS)
    assert server.receive(client.take()) == []
    assert client.receive(server.take()) == [Leaving()]


def syn(number: int, *, block: bytes | None = None, flags: int = 0) -> bytes:
    body = HeaderCompressor().block(HEADERS) if block is None else block
    return frames.control(frames.Type.SYN_STREAM, struct.pack(">IIH", number, 0, 0) + body, flags)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02\x00\x01\x00\x00\x00\x00",
        struct.pack(">HHI", 0x8003, 1, 0xFFFFFF),
        syn(1, block=b"not zlib"),
        syn(1)[:4] + b"\0\0\0\3" + b"\0\0\1",
        frames.control(frames.Type.SETTINGS, struct.pack(">I", 0xFFFFFFFF)),
        frames.settings({frames.SETTINGS_INITIAL_WINDOW: 0xFFFFFFFF}),
        frames.window_update(0, 0x7FFFFFFF),
        frames.control(frames.Type.PING, b""),
    ],
    ids=["SPDY/2", "16 MiB of headers", "no zlib", "a short one", "settings", "a window", "a sum of windows", "a ping"],
)
def test_nonsense_ends_the_connection_with_a_farewell(data: bytes) -> None:
    server = Engine()
    with pytest.raises(SpdyError):
        server.receive(data + b"\x80\x02" + bytes(8))
    assert server.take().endswith(frames.goaway(0, frames.Farewell.PROTOCOL_ERROR))
    with pytest.raises(SpdyError):
        server.receive(b"")


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (syn(2), frames.rst_stream(2, Reset.PROTOCOL_ERROR)),
        (frames.data(7, b"x"), frames.rst_stream(7, Reset.INVALID_STREAM)),
        (syn(1, flags=frames.FIN) + frames.data(1, b"x"), frames.rst_stream(1, Reset.STREAM_ALREADY_CLOSED)),
        (syn(1) + frames.window_update(1, 0x7FFFFFFF), frames.rst_stream(1, Reset.FLOW_CONTROL_ERROR)),
        (frames.control(frames.Type.PING, b"\0\0\0\2") + b"\x80\x03\x00\x63" + bytes(4), b""),
    ],
    ids=["our number", "never opened", "after its end", "a window beyond 2^31", "what is not known"],
)
def test_what_is_wrong_with_one_stream_ends_that_stream(data: bytes, answer: bytes) -> None:
    server = Engine()
    server.receive(data)
    assert server.take() == answer


def test_a_header_bomb_is_not_unpacked() -> None:
    bomb = zlib.compressobj(zdict=DICTIONARY)
    block = bomb.compress(bytes(LONGEST_BLOCK * 100)) + bomb.flush(zlib.Z_SYNC_FLUSH)
    assert len(block) < frames.LONGEST_CONTROL
    with pytest.raises(SpdyError, match="longer"):
        Engine().receive(syn(1, block=block))


@given(st.dictionaries(st.text("abcdefghij-", min_size=1), st.text(), max_size=5))
def test_headers_survive(headers: dict[str, str]) -> None:
    headers = {name: value.encode(errors="replace").decode() for name, value in headers.items()}
    assert HeaderDecompressor().headers(HeaderCompressor().block(headers)) == headers


@given(st.lists(st.binary(max_size=300), max_size=5), st.lists(st.integers(1, 50), min_size=1))
def test_bytes_survive_pieces_of_any_size(messages: list[bytes], sizes: list[int]) -> None:
    client, server = Engine(client=True), Engine()
    number = client.open(HEADERS)
    for message in messages:
        client.send(number, message)
    client.send(number, b"", fin=True)
    wire, events, place, turn = client.take(), [], 0, 0
    while place < len(wire):
        size = sizes[turn % len(sizes)]
        events += server.receive(wire[place : place + size])
        place, turn = place + size, turn + 1
    assert events[0] == Opened(number, HEADERS)
    assert events[-1] == Ended(number)
    assert b"".join(event.data for event in events if isinstance(event, Received)) == b"".join(messages)


_frame = st.one_of(
    st.binary(max_size=40),
    st.builds(frames.data, st.integers(0, 5), st.binary(max_size=20), fin=st.booleans()),
    st.builds(
        lambda kind, flags, body: struct.pack(">HHI", 0x8003, kind, flags << 24 | len(body)) + body,
        st.integers(0, 11),
        st.sampled_from([0, 1, 2, 255]),
        st.binary(max_size=30),
    ),
    st.builds(syn, st.integers(0, 6), flags=st.sampled_from([0, 1, 2, 3])),
    st.builds(frames.window_update, st.integers(0, 5), st.integers(0, 0x7FFFFFFF)),
    st.builds(frames.rst_stream, st.integers(0, 5), st.integers(0, 20)),
    st.builds(frames.settings, st.dictionaries(st.integers(0, 9), st.integers(0, 0xFFFFFFFF), max_size=3)),
)


@given(st.lists(_frame, max_size=12), st.booleans())
def test_any_bytes_are_answered_or_a_protocol_error(given_frames: list[bytes], client: bool) -> None:
    engine = Engine(client=client)
    try:
        for frame in given_frames:
            for event in engine.receive(frame):
                match event:
                    case Opened(number):
                        engine.reply(number)
                    case Received(number, data):
                        engine.consumed(number, len(data))
                        with contextlib.suppress(StreamClosed):
                            engine.send(number, data[: engine.sendable(number)])
    except SpdyError:
        pass
    assert engine.open_streams <= len(given_frames)
    assert len(engine.take()) <= 100 * (len(given_frames) + 1)
