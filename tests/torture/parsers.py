"""Whatever reads bytes of others, asked with spoilt ones, in this process: an answer or its own refusal, soon."""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from podrun.api import apply, patches, protobuf, selectors
from podrun.api.decode import decode_read, read_body
from podrun.api.errors import ApiError
from podrun.api.gvk import KindRef
from podrun.apiserver.options import PROTOBUF
from podrun.apiserver.streams import spdy_frames as frames
from podrun.apiserver.streams.spdy_engine import Engine
from podrun.apiserver.streams.spdy_errors import SpdyError, StreamClosed
from podrun.images.archive import ArchiveError
from podrun.images.store import ImageStore
from podrun.network import dns_packets, resolver
from podrun.spawner import codec, plan, protocol
from tests.images.archives import Entry, directory, docker_save, hard_link, symlink, tar_of
from tests.pods.living import Object
from tests.torture.fuzz import GROUP, PATCHES
from tests.torture.nonsense import STORED, TEXTS, Maker, spoilt, spoilt_bytes
from tests.torture.row import Round, Row

TRIES = 100
"""Inputs of a round."""
LONGEST = 5.0
"""Seconds that one may take, on a busy machine."""


def ask(refusals: tuple[type[Exception], ...], read: Callable[..., object], *given: Any) -> None:
    """Raises AssertionError where `read(*given)` raises anything but `refusals`, or takes too long."""
    began = time.monotonic()
    try:
        read(*given)
    except refusals:
        pass
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error} for {given!r}") from error
    seconds = time.monotonic() - began
    assert seconds < LONGEST, f"{seconds:.1f} s for {given!r}"


@contextmanager
def bodies() -> Iterator[Round]:
    """Bodies of requests: JSON, YAML, protobuf, patches, server-side apply, selectors."""
    maker = Maker()

    def play(r: random.Random) -> None:
        for _ in range(TRIES):
            kind = r.choice(STORED)
            reference = KindRef(kind.group, kind.version, kind.kind)
            sound = maker.obj(r, kind, "a")
            value = spoilt(r, sound) if r.random() < 0.7 else sound
            text = json.dumps(value) if r.random() < 0.6 else yaml.safe_dump(value)
            body = text.encode()
            if r.random() < 0.4:
                body = spoilt_bytes(r, body)
            form = "application/json" if body[:1] == b"{" else "application/yaml"
            ask((ApiError,), _decoded, body, form, reference)
            message = b"k8s\x00" + _message(r, 0)
            ask((ApiError,), _decoded, message, PROTOBUF, reference)
            current = _stored(sound, reference)
            ask((ApiError,), patches.apply_patch, reference, current, body, r.choice(PATCHES[:3]))
            ask((ApiError,), _applied, reference, current, body)
            chosen = "".join(r.choice(("a", "in", "(", ")", ",", "!", "=", " ", "b", *TEXTS)) for _ in range(8))
            ask((ApiError, ValueError), selectors.parse_labels, chosen)

    yield play


def _stored(obj: Object, kind: KindRef) -> Object:
    """The object as it would be stored: what the decoder makes of it, or the least of its kind."""
    with suppress(ApiError):
        read = read_body(json.dumps(obj).encode(), "application/json", kind)
        return decode_read(read, kind, "Ignore").object
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "a"}}


def _decoded(body: bytes, form: str, kind: KindRef) -> object:
    read = protobuf.read_body(body, kind) if form == PROTOBUF else read_body(body, form, kind)
    return decode_read(read, kind, "Strict")


def _applied(kind: KindRef, old: dict[str, Any], body: bytes) -> object:
    return apply.server_side_apply(kind, old, body, manager="f", force=True, now=0.0)


def _message(r: random.Random, depth: int) -> bytes:
    """Fields of protobuf, nested, their ends not always where they say."""
    made = b""
    for _ in range(r.randint(0, 5)):
        number, wire = r.choice((1, 2, 3, 4, 8, 15, 40, 2000)), r.choice((0, 1, 2, 2, 2, 5, 3, 7))
        made += _varint(number << 3 | wire)
        if wire == 2:
            inner = _message(r, depth + 1) if depth < 12 and r.random() < 0.6 else r.choice(TEXTS).encode()
            made += _varint(len(inner) + r.choice((0, 0, 0, 0, 1, -1 if inner else 0, 1 << 40))) + inner
        else:
            made += (
                _varint(r.getrandbits(r.choice((7, 32, 64, 90)))) if wire == 0 else r.randbytes(8 if wire == 1 else 4)
            )
    return spoilt_bytes(r, made) if r.random() < 0.1 else made


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


@contextmanager
def streams() -> Iterator[Round]:
    """SPDY frames between two engines, spoilt on the way."""

    def play(r: random.Random) -> None:
        for _ in range(TRIES):
            client, server = Engine(client=True), Engine()
            sent = b""
            for _ in range(r.randint(1, 5)):
                number = client.open({r.choice(TEXTS) or "a": r.choice(TEXTS) for _ in range(3)})
                sent += client.take() + frames.data(number, r.randbytes(r.randint(0, 50)), fin=r.random() < 0.3)
                sent += r.choice((frames.ping(1), frames.rst_stream(number, 3), frames.window_update(number, 1 << 30)))
                sent += frames.settings({4: r.getrandbits(32), 7: r.getrandbits(32)})
            data = spoilt_bytes(r, sent) if r.random() < 0.8 else sent
            pieces = sorted(r.randrange(len(data) + 1) for _ in range(3))
            for begin, end in zip([0, *pieces], [*pieces, len(data)], strict=True):
                ask((SpdyError, StreamClosed), server.receive, data[begin:end])
            assert len(server.take()) < 1 << 20

    yield play


@contextmanager
def packets() -> Iterator[Round]:
    """The spawner's messages, questions and answers of DNS, resolv.conf."""
    sound = protocol.Spawn("a", "container", ("/bin/true",), plan=(plan.Hostname("x"), plan.Mount("tmpfs", "/tmp")))
    text = json.dumps(codec.encode(sound))
    queries = [dns_packets.query_for(name, kind) for name, kind in (("a.b.svc.cluster.local", "A"), ("x", "SRV"))]

    def play(r: random.Random) -> None:
        for _ in range(TRIES):
            value = spoilt(r, json.loads(text))
            ask((codec.CodecError,), codec.decode, value)
            query = spoilt_bytes(r, r.choice(queries) * r.choice((1, 1, 2)))
            ask((), dns_packets.read, query)
            ask((), dns_packets.answers_in, query)
            lines = "\n".join(
                f"{r.choice(('nameserver', 'search', 'options', 'x', ''))} {r.choice(TEXTS)}" for _ in range(5)
            )
            ask((), resolver.parse, lines)

    yield play


@contextmanager
def archives() -> Iterator[Round]:
    """Images whose layers want to write elsewhere, and whose bytes are spoilt: nothing is made outside."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="pr-") as place:
        outside, root = Path(place, "outside"), Path(place, "images")
        outside.mkdir()
        (outside / "kept").write_text("as it was")

        def play(r: random.Random) -> None:
            path = docker_save(Path(place, "image.tar"), {("x:1",): [_layer(r, outside) for _ in range(2)]})
            data = path.read_bytes()
            if r.random() < 0.6:
                path.write_bytes(spoilt_bytes(r, data))
            ask((ArchiveError,), _load, root, path)
            assert (outside / "kept").read_text() == "as it was"
            assert os.listdir(outside) == ["kept"]

        yield play


def _layer(r: random.Random, outside: Path) -> bytes:
    ups = "../" * 12
    names = (
        "a",
        "a/b",
        "l",
        "l/c",
        f"{ups}{outside}/evil",
        f"{outside}/evil",
        "./..//x",
        "a" * 300,
        ".wh.a",
        "a/.wh..wh..opq",
    )
    entries: list[Entry] = []
    for _ in range(r.randint(1, 8)):
        name = r.choice(names)
        entries.append(
            r.choice(
                (
                    Entry(name, b"evil"),
                    directory(name, r.choice((0o755, 0o000, 0o7777))),
                    symlink(name, r.choice((str(outside), f"{ups}{outside}", "a", "l", "/", ""))),
                    hard_link(name, r.choice((f"{outside}/kept", f"{ups}{outside}/kept", "a", "l/kept"))),
                    Entry(name, kind=b"3", device=(1, 3)),
                    Entry(name, kind=b"6"),
                    Entry(name, b"x", xattrs={"trusted.overlay.redirect": b"/", "user.a": b"b"}),
                )
            )
        )
    return tar_of(entries)


def _load(root: Path, path: Path) -> None:
    asyncio.run(ImageStore(root).load(path))


ROWS = (
    Row("bodies", GROUP, f"{TRIES} spoilt bodies of each form a round: read or refused", 300, bodies),
    Row("streams", GROUP, f"{TRIES} spoilt SPDY conversations a round: understood or refused", 100, streams),
    Row("packets", GROUP, f"{TRIES} spoilt packets of spawner and DNS a round: read or refused", 100, packets),
    Row(
        "archives", GROUP, "an image that writes elsewhere, spoilt: nothing outside, refused or unpacked", 200, archives
    ),
)
