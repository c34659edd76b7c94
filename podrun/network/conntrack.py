"""Forgetting UDP flows that lead to a backend which is none any more.

nftables leads only the first packet of a flow; later ones follow what the kernel's connection tracking remembers. TCP
connections end with their pod, but a UDP client that goes on sending from one port would be led to a pod that is gone
for as long as it sends. So when a UDP backend goes, the flows to it are deleted and the next packet is led anew.

Written by hand on nfnetlink (linux/netfilter/nfnetlink_conntrack.h): a dump, and a deletion for each flow found.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Collection, Iterator

_NETFILTER = 12
_GET, _DELETE = 1 << 8 | 1, 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_*
_REQUEST, _ACKNOWLEDGE, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_ORIGINAL, _REPLY = 1, 2  # CTA_TUPLE_*
_ADDRESSES, _PORTS = 1, 2  # CTA_TUPLE_IP, CTA_TUPLE_PROTO
_SOURCE = 1  # CTA_IP_V4_SRC
_PROTOCOL, _SOURCE_PORT = 1, 2  # CTA_PROTO_NUM, CTA_PROTO_SRC_PORT
_NESTED = 0x8000
_TYPE = 0x3FFF
_UDP = 17


def forget_udp(backends: Collection[tuple[str, int]]) -> int:
    """Delete the flows whose answers come from these (address, port); how many there were. Raises OSError."""
    wanted = {(socket.inet_aton(address), port) for address, port in backends}
    forgotten = 0
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER) as channel:
        for flow in [flow for flow in _flows(channel) if _answering(flow) in wanted]:
            original = _attribute(_ORIGINAL | _NESTED, flow[_ORIGINAL])
            channel.send(_message(_DELETE, _REQUEST | _ACKNOWLEDGE, original))
            error = -struct.unpack_from("=i", channel.recv(65536), 16)[0]
            if error and error != errno.ENOENT:
                raise OSError(error, "a UDP flow could not be forgotten")
            forgotten += 1
    return forgotten


def _flows(channel: socket.socket) -> Iterator[dict[int, bytes]]:
    """The attributes of every flow that is tracked."""
    channel.send(_message(_GET, _REQUEST | _DUMP, b""))
    while True:
        data = channel.recv(1 << 17)
        at = 0
        while at < len(data):
            length, kind = struct.unpack_from("=LH", data, at)
            if kind == _DONE:
                return
            if kind == _ERROR:
                raise OSError(-struct.unpack_from("=i", data, at + 16)[0], "the tracked flows cannot be listed")
            yield _attributes(data[at + 20 : at + length])
            at += (length + 3) & ~3


def _answering(flow: dict[int, bytes]) -> tuple[bytes, int] | None:
    """Address and port that a UDP flow's answers come from."""
    reply = _attributes(flow.get(_REPLY, b""))
    addresses, ports = _attributes(reply.get(_ADDRESSES, b"")), _attributes(reply.get(_PORTS, b""))
    if ports.get(_PROTOCOL) != bytes([_UDP]):
        return None
    return addresses.get(_SOURCE, b""), int.from_bytes(ports.get(_SOURCE_PORT, b""), "big")


def _message(kind: int, flags: int, attributes: bytes) -> bytes:
    body = struct.pack("=BBH", socket.AF_INET, 0, 0) + attributes
    return struct.pack("=LHHLL", 16 + len(body), kind, flags, 1, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        found[kind & _TYPE] = data[at + 4 : at + length]
        at += max((length + 3) & ~3, 4)
    return found
