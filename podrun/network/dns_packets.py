"""DNS messages (RFC 1035, 6891): queries read, answers written, on top of dnslib.

Imported with the first query, since dnslib is needed for nothing else.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import dnslib

from podrun.network.dns_upstream import HEADER, question
from podrun.network.dns_zone import DOMAIN, TTL, Answer, Record

SMALLEST = 512
"""Bytes that any resolver takes over UDP."""
LARGEST = 4096
_FORMAT_ERROR, _SERVER_FAILURE, _NO_NAME, _NOT_IMPLEMENTED, _REFUSED = 1, 2, 3, 4, 5
_QUERY, _INTERNET = 0, 1


@dataclass(frozen=True, slots=True)
class Query:
    """A question as it came."""

    raw: bytes
    message: Any
    """dnslib's record."""
    name: str
    """Lower case, without the last dot."""
    kind: str
    """`A`, `SRV`, ...; `TYPE65` for one without a name."""
    size: int
    """Bytes of an answer that may go over UDP."""

    @property
    def question(self) -> bytes:
        """The question section: an answer to this query repeats it."""
        return question(self.raw)


def read(raw: bytes) -> Query | bytes | None:
    """A query; the answer to one that cannot be served (not a question, more than one); None for what deserves none."""
    if len(raw) < HEADER or raw[2] & 0x80:
        return None  # no message, or an answer: answering it could go on for ever
    try:
        message = dnslib.DNSRecord.parse(raw)
        asked = message.questions
        if message.header.opcode != _QUERY:
            return _refusal(raw, _NOT_IMPLEMENTED)
        if len(asked) != 1:
            return _refusal(raw, _FORMAT_ERROR)
        if asked[0].qclass != _INTERNET:
            return _refusal(raw, _REFUSED)
        name = b".".join(asked[0].qname.label).decode("ascii").lower()
        question(raw)
    except Exception:  # dnslib raises whatever its parts do on malformed messages
        return _refusal(raw, _FORMAT_ERROR)
    return Query(raw, message, name, _type_name(asked[0].qtype), _size(message))


def query_for(name: str, kind: str) -> bytes:
    """A query of our own for an upstream server."""
    message = dnslib.DNSRecord.question(name, kind)
    message.header.rd = 1
    return bytes(message.pack())


def answers_in(raw: bytes) -> list[Any]:
    """The answer records of an upstream's message; none of one that cannot be read."""
    try:
        return list(dnslib.DNSRecord.parse(raw).rr)
    except Exception:  # as in `read`
        return []


def write(query: Query, answer: Answer, more: list[Any], *, over_tcp: bool) -> bytes:
    """The answer to a query, `more` being records of others that follow (behind a CNAME)."""
    reply = _reply(query)
    reply.header.aa = 1
    if not answer.exists:
        reply.header.rcode = _NO_NAME
    listed = [_record(one, query) for one in answer.records]
    if answer.records and answer.records[0].type == "A":
        random.shuffle(listed)
    for record in (*listed, *more):
        reply.add_answer(record)
    for one in answer.additional:
        reply.add_ar(_record(one, query))
    if answer.authority:
        reply.add_answer(_authority())
    elif not answer.records:
        reply.add_auth(_authority())
    return _packed(reply, query, over_tcp)


def records(answer: Answer) -> list[Any]:
    """An answer's records, to follow others in a message."""
    return [_record(one) for one in answer.records]


def failure(query: Query) -> bytes:
    """SERVFAIL."""
    reply = _reply(query)
    reply.header.rcode = _SERVER_FAILURE
    return bytes(reply.pack())


def _packed(reply: Any, query: Query, over_tcp: bool) -> bytes:
    raw = bytes(reply.pack())
    if over_tcp or len(raw) <= query.size:
        return raw
    reply.header.tc = 1
    reply.ar = [one for one in reply.ar if one.rtype == dnslib.QTYPE.OPT]
    while len(raw) > query.size and reply.rr:
        reply.rr = reply.rr[: len(reply.rr) // 2]
        raw = bytes(reply.pack())
    return raw


def _reply(query: Query) -> Any:
    header = query.message.header
    made = dnslib.DNSRecord(dnslib.DNSHeader(id=header.id, bitmap=header.bitmap, qr=1, aa=0, ra=1), q=query.message.q)
    made.header.rcode = 0
    made.header.tc = 0
    made.header.ad = made.header.z = 0
    if any(one.rtype == dnslib.QTYPE.OPT for one in query.message.ar):
        made.add_ar(dnslib.EDNS0(udp_len=LARGEST))
    return made


def _refusal(raw: bytes, code: int) -> bytes:
    """A header alone: what came cannot be repeated safely."""
    flags = 0x8000 | (raw[2] & 0x79) << 8 | code
    return raw[:2] + flags.to_bytes(2, "big") + bytes(8)


def _size(message: Any) -> int:
    for one in message.ar:
        if one.rtype == dnslib.QTYPE.OPT:
            return max(SMALLEST, min(int(one.rclass), LARGEST))
    return SMALLEST


def _type_name(number: int) -> str:
    return str(dnslib.QTYPE.get(number))


def _record(record: Record, query: Query | None = None) -> Any:
    match record.type:
        case "A":
            data: Any = dnslib.A(record.data)
        case "CNAME":
            data = dnslib.CNAME(record.data)
        case "PTR":
            data = dnslib.PTR(record.data)
        case "NS":
            data = dnslib.NS(record.data)
        case "TXT":
            data = dnslib.TXT(record.data)
        case "SRV":
            data = dnslib.SRV(0, 100, record.port, record.data)
    number = getattr(dnslib.QTYPE, record.type)
    # The asked name is repeated as it was written: some resolvers look at its upper and lower case.
    name = query.message.q.qname if query is not None and record.name == query.name else record.name
    return dnslib.RR(name, number, ttl=TTL, rdata=data)


def _authority() -> Any:
    """The zone's SOA: with a negative answer it says how long that may be believed."""
    times = (1, 7200, 1800, 86400, TTL)
    data = dnslib.SOA(f"ns.dns.{DOMAIN}", f"hostmaster.{DOMAIN}", times)
    return dnslib.RR(DOMAIN, dnslib.QTYPE.SOA, ttl=TTL, rdata=data)
