"""Packets on the spawner's socket: a number, a message, and descriptors."""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from podrun.spawner import codec

INLINE = 64 << 10
"""Packets up to this many bytes travel in the socket's buffer, longer ones in a memfd (SO_SNDBUF is about 200 KiB)."""
_MOST_DESCRIPTORS = 253
"""SCM_MAX_FD of the kernel."""
_IN_MEMFD = b"\0"


class Closed(ConnectionError):
    """The other side has gone."""


@dataclass(frozen=True, slots=True)
class Packet:
    number: int
    message: Any
    descriptors: tuple[int, ...] = ()
    text: bytes = b""
    """What was received, as it came."""


def send(sock: socket.socket, packet: Packet) -> None:
    """Send one packet. Raises BlockingIOError when it must wait, Closed when nobody is there."""
    data = json.dumps({"n": packet.number, "m": codec.encode(packet.message)}).encode("ascii")
    descriptors: Sequence[int] = packet.descriptors
    spill = -1
    if len(data) > INLINE:
        spill = os.memfd_create("podrun-packet", os.MFD_CLOEXEC)
        os.write(spill, data)
        descriptors = (spill, *descriptors)
        data = _IN_MEMFD
    if len(descriptors) > _MOST_DESCRIPTORS:
        raise ValueError(f"{len(descriptors)} descriptors in one packet; the kernel passes {_MOST_DESCRIPTORS}")
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    try:
        sock.sendmsg([data], rights, socket.MSG_NOSIGNAL)
    except (BrokenPipeError, ConnectionResetError, ConnectionRefusedError) as error:
        raise Closed(str(error)) from None
    finally:
        if spill >= 0:
            os.close(spill)


def receive(sock: socket.socket, without: Sequence[str] = ()) -> Packet:
    """The next packet; its descriptors are close-on-exec and the caller's.

    Fields of the message named in `without` are left at their defaults: they are still in `text`.

    Raises BlockingIOError, Closed, or codec.CodecError (descriptors are then closed, and `error.number` says which
    request it was, 0 when that cannot be known).
    """
    room = socket.CMSG_SPACE(_MOST_DESCRIPTORS * 4)
    try:
        data, ancillary, flags, _ = sock.recvmsg(INLINE + 1, room, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError as error:
        raise Closed(str(error)) from None
    descriptors: list[int] = []
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers = array.array("i")
            numbers.frombytes(value[: len(value) - len(value) % 4])
            descriptors.extend(numbers)
    if not data:
        raise Closed("end of stream")
    number = 0
    try:
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise codec.CodecError("a packet was cut off")
        if data == _IN_MEMFD:
            spill = descriptors.pop(0)
            with open(spill, "rb") as file:
                file.seek(0)
                data = file.read()
        outer = json.loads(data)
        number = int(outer["n"])
        for name in without:
            outer["m"].pop(name, None)
        return Packet(number, codec.decode(outer["m"]), tuple(descriptors), data)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        for descriptor in descriptors:
            os.close(descriptor)
        raise Malformed(number, str(error)) from None


class Malformed(codec.CodecError):
    """A packet that is not of this protocol; `number` is its request's, 0 when that is not known."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number
