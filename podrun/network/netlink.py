"""rtnetlink messages as bytes, and the socket that sends a batch of them.

Written by hand because it is little (five kinds of messages) and because pyroute2, which serves the tests as the judge
of these bytes, would cost the daemon 24 MiB and 98 ms.

    message:   length u32 | type u16 | flags u16 | sequence u32 | port u32 | body | attributes
    attribute: length u16 | type u16 | value, padded to 4 bytes; attributes nest

A batch is many messages in one send; the kernel does them in order, answers each with its own acknowledgement and
goes on after one that fails.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

IPv4 = ipaddress.IPv4Address

_NEW_LINK, _DELETE_LINK, _NEW_ADDRESS, _DELETE_ADDRESS, _NEW_ROUTE, _DELETE_ROUTE, _NEW_NEIGHBOUR = (
    16,
    17,
    20,
    21,
    24,
    25,
    28,
)
_REQUEST, _ACKNOWLEDGE, _REPLACE, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x100, 0x200, 0x400
_ERROR = 2
_UP = 1
_PERMANENT = 0x80
_SCOPE_UNIVERSE, _SCOPE_LINK = 0, 253
_MAIN_TABLE, _PROTOCOL_STATIC, _UNICAST = 254, 4, 1
_NESTED = 0x8000


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages to send in one piece. `namespace_at` are the offsets of 32-bit fields that hold the sender's own number
    of a descriptor of the host's network namespace: only the sender knows it."""

    messages: bytes
    namespace_at: tuple[int, ...] = ()


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _name(value: str) -> bytes:
    return value.encode() + b"\0"


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack("=LHHLL", 16 + len(body), kind, _REQUEST | _ACKNOWLEDGE | flags, 0, 0) + body


def _link_body(index: int = 0, *, up: bool = False) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, _UP if up else 0, _UP if up else 0)


@dataclass(frozen=True, slots=True)
class LinkEnd:
    """One end of a veth: its name and hardware address (six bytes)."""

    name: str
    mac: bytes


def veth(here: LinkEnd, peer: LinkEnd, index: int = 0) -> Batch:
    """A veth with `here` in the sender's namespace (numbered `index` unless 0) and `peer` in the host's."""
    namespace = _attribute(28, b"\xff\xff\xff\xff")  # IFLA_NET_NS_FD, filled in by the sender
    peer_body = _link_body() + _attribute(3, _name(peer.name)) + _attribute(1, peer.mac) + namespace
    info = _attribute(1, b"veth") + _attribute(2 | _NESTED, _attribute(1 | _NESTED, peer_body))
    attributes = _attribute(3, _name(here.name)) + _attribute(1, here.mac) + _attribute(18 | _NESTED, info)
    message = _message(_NEW_LINK, _CREATE | _EXCLUSIVE, _link_body(index) + attributes)
    # The namespace is the last attribute of the last attribute: its four bytes end the message.
    return Batch(message, (len(message) - 4,))


def dummy(name: str) -> bytes:
    """A dummy link, up from the start."""
    info = _attribute(1, b"dummy")
    body = _link_body(up=True) + _attribute(3, _name(name)) + _attribute(18 | _NESTED, info)
    return _message(_NEW_LINK, _CREATE | _EXCLUSIVE, body)


def up(index: int) -> bytes:
    """Set the link up."""
    return _message(_NEW_LINK, 0, _link_body(index, up=True))


def down(index: int) -> bytes:
    """Set the link down."""
    return _message(_NEW_LINK, 0, struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, 0, _UP))


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What /proc/sys/net/ipv*/conf/LINK would be written for, one file at a time."""

    strict_source: bool = False
    """rp_filter 1: a packet comes in only where its source's route leads out."""
    loopback_routed: bool = False
    """route_localnet 1: 127.0.0.0/8 may be a destination here (of translated replies)."""
    no_link_local: bool = False
    """IPv6 addr_gen_mode none; only for kernels with IPv6."""


def settings(index: int, values: LinkSettings) -> bytes:
    """Set them, before the link is set up."""
    conf = _attribute(8, struct.pack("=I", 1)) if values.strict_source else b""
    conf += _attribute(26, struct.pack("=I", 1)) if values.loopback_routed else b""
    families = _attribute(socket.AF_INET, _attribute(1, conf)) if conf else b""
    families += _attribute(socket.AF_INET6, _attribute(8, b"\x01")) if values.no_link_local else b""
    return _message(_NEW_LINK, 0, _link_body(index) + _attribute(26, families)) if families else b""


def delete_link(index: int) -> bytes:
    """Delete the link (a veth with its peer)."""
    return _message(_DELETE_LINK, 0, _link_body(index))


def address(index: int, ip: IPv4, prefix: int = 32) -> bytes:
    """Give the link an address."""
    return _message(_NEW_ADDRESS, _CREATE | _REPLACE, _address_body(index, ip, prefix))


def delete_address(index: int, ip: IPv4, prefix: int = 32) -> bytes:
    """Take `address` back."""
    return _message(_DELETE_ADDRESS, 0, _address_body(index, ip, prefix))


def _address_body(index: int, ip: IPv4, prefix: int) -> bytes:
    body = struct.pack("=BBBBI", socket.AF_INET, prefix, 0, _SCOPE_UNIVERSE, index)
    return body + _attribute(2, ip.packed) + _attribute(1, ip.packed)


def route(index: int, to: IPv4 | None, via: IPv4 | None = None, *, prefix: int = 32) -> bytes:
    """A route to an address or a network (None: the default route) out of the link, over the gateway `via`."""
    return _message(_NEW_ROUTE, _CREATE | _REPLACE, _route_body(index, to, via, prefix))


def delete_route(index: int, to: IPv4, *, prefix: int = 32) -> bytes:
    """Take `route` back."""
    return _message(_DELETE_ROUTE, 0, _route_body(index, to, None, prefix))


def _route_body(index: int, to: IPv4 | None, via: IPv4 | None, prefix: int) -> bytes:
    scope = _SCOPE_LINK if via is None else _SCOPE_UNIVERSE
    prefix = 0 if to is None else prefix
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, prefix, 0, 0, _MAIN_TABLE, _PROTOCOL_STATIC, scope, _UNICAST, 0)
    body += _attribute(1, to.packed) if to is not None else b""
    body += _attribute(5, via.packed) if via is not None else b""
    return body + _attribute(4, struct.pack("=I", index))


def neighbour(index: int, ip: IPv4, mac: bytes) -> bytes:
    """A permanent neighbour: no ARP is ever sent for it."""
    body = struct.pack("=BxHiHBB", socket.AF_INET, 0, index, _PERMANENT, 0, 0)
    return _message(_NEW_NEIGHBOUR, _CREATE | _REPLACE, body + _attribute(1, ip.packed) + _attribute(2, mac))


def join(*parts: bytes | Batch) -> Batch:
    """One batch of all, in order, each with its sequence number from 1 on."""
    messages, offsets = bytearray(), []
    for part in parts:
        if isinstance(part, Batch):
            offsets += [len(messages) + offset for offset in part.namespace_at]
            messages += part.messages
        else:
            messages += part
    at = number = 0
    while at < len(messages):
        number += 1
        struct.pack_into("=L", messages, at + 8, number)
        at += struct.unpack_from("=L", messages, at)[0]
    return Batch(bytes(messages), tuple(offsets))


def count(messages: bytes) -> int:
    """How many messages a batch has, which is how many acknowledgements come back."""
    number, at = 0, 0
    while at < len(messages):
        at += struct.unpack_from("=L", messages, at)[0]
        number += 1
    return number


def send(messages: bytes, tolerate: Callable[[int], bool] = lambda error: False) -> None:
    """Send a batch in the caller's network namespace and read every acknowledgement.

    Raises OSError for the first refusal (errno, `message N of M`) that `tolerate` (told its errno) does not accept; the
    messages after it have been carried out all the same.
    """
    expected = count(messages)
    refused: OSError | None = None
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as channel:
        channel.setsockopt(270, 10, 1)  # SOL_NETLINK, NETLINK_CAP_ACK: the answer does not repeat the request
        channel.sendall(messages)
        answered = 0
        while answered < expected:
            data = channel.recv(65536)
            at = 0
            while at < len(data):
                length, kind = struct.unpack_from("=LH", data, at)
                if kind == _ERROR:
                    answered += 1
                    error = -struct.unpack_from("=i", data, at + 16)[0]
                    if error and refused is None and not tolerate(error):
                        refused = OSError(error, f"{os.strerror(error)} (netlink message {answered} of {expected})")
                at += (length + 3) & ~3
    if refused is not None:
        raise refused
