"""What cluster DNS says of names, and how it says it in messages."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import dnslib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podrun.network import dns_packets as packets
from podrun.network.dns_zone import NODATA, NXDOMAIN, Answer, Endpoint, Port, Record, Service, Zone

HTTP = Port("http", "tcp", 80)
SQL = Port("sql", "tcp", 5432)
ENDPOINTS = (Endpoint("10.244.0.5", "db-0", (SQL,)), Endpoint("10.244.0.6", "", (SQL,)))
SERVICES = {
    ("shop", "web"): Service("10.96.0.20", ports=(HTTP, Port("", "udp", 53)), endpoints=ENDPOINTS[:1]),
    ("shop", "db"): Service(ports=(SQL,), endpoints=ENDPOINTS),
    ("shop", "idle"): Service(ports=(SQL,)),
    ("shop", "out"): Service(external_name="Example.org."),
    ("shop", "alias"): Service(external_name="web.shop.svc.cluster.local"),
}


class View:
    def has_namespace(self, name: str) -> bool:
        return name == "shop"

    def service(self, namespace: str, name: str) -> Service | None:
        return SERVICES.get((namespace, name))

    def service_at(self, address: str) -> tuple[str, str] | None:
        return next((key for key, one in SERVICES.items() if one.address == address), None)

    def endpoints_at(self, address: str) -> Sequence[tuple[str, str, str]]:
        return [("shop", "db", one.label) for one in ENDPOINTS if one.address == address]


RANGES = (ipaddress.IPv4Network("10.244.0.0/16"), ipaddress.IPv4Network("10.96.0.0/16"))
ZONE = Zone(View(), RANGES, "10.96.0.10")
WEB, DB = "web.shop.svc.cluster.local", "db.shop.svc.cluster.local"


def a(name: str, *addresses: str) -> Answer:
    return Answer(tuple(Record(name, "A", address) for address in addresses))


@pytest.mark.parametrize(
    ("why", "name", "kind", "answer"),
    [
        ("a Service is its cluster address", WEB, "A", a(WEB, "10.96.0.20")),
        ("a Service has no IPv6: no data, but a name", WEB, "AAAA", NODATA),
        ("a Service that is not there", "nope.shop.svc.cluster.local", "A", NXDOMAIN),
        ("also for IPv6", "nope.shop.svc.cluster.local", "AAAA", NXDOMAIN),
        ("a Service of another namespace", "web.other.svc.cluster.local", "A", NXDOMAIN),
        ("a headless Service is its pods", DB, "A", a(DB, "10.244.0.5", "10.244.0.6")),
        ("a headless Service without ready pods is no name", "idle.shop.svc.cluster.local", "A", NXDOMAIN),
        ("a pod of it by its hostname", f"db-0.{DB}", "A", a(f"db-0.{DB}", "10.244.0.5")),
        ("a pod of it by its address", f"10-244-0-6.{DB}", "A", a(f"10-244-0-6.{DB}", "10.244.0.6")),
        ("a pod with a hostname has no other name", f"10-244-0-5.{DB}", "A", NXDOMAIN),
        ("a pod that is not of it", f"db-9.{DB}", "A", NXDOMAIN),
        (
            "a named port",
            f"_http._tcp.{WEB}",
            "SRV",
            Answer((Record(f"_http._tcp.{WEB}", "SRV", WEB, 80),), a(WEB, "10.96.0.20").records),
        ),
        ("a named port is a name for its address too", f"_http._tcp.{WEB}", "A", a(f"_http._tcp.{WEB}", "10.96.0.20")),
        ("a port of another protocol", f"_http._udp.{WEB}", "SRV", NXDOMAIN),
        ("between a Service and its ports there is nothing, but something below", f"_tcp.{WEB}", "SRV", NODATA),
        (
            "a named port of a headless Service is one for each pod",
            f"_sql._tcp.{DB}",
            "SRV",
            Answer(
                (
                    Record(f"_sql._tcp.{DB}", "SRV", f"db-0.{DB}", 5432),
                    Record(f"_sql._tcp.{DB}", "SRV", f"10-244-0-6.{DB}", 5432),
                ),
                (Record(f"db-0.{DB}", "A", "10.244.0.5"), Record(f"10-244-0-6.{DB}", "A", "10.244.0.6")),
            ),
        ),
        (
            "a pod by what its address looks like",
            "10-244-0-9.shop.pod.cluster.local",
            "A",
            a("10-244-0-9.shop.pod.cluster.local", "10.244.0.9"),
        ),
        ("but not in a namespace that is not there", "10-244-0-9.no.pod.cluster.local", "A", NXDOMAIN),
        ("and not what is no address", "10-244-0.shop.pod.cluster.local", "A", NXDOMAIN),
        ("a namespace is a name", "shop.svc.cluster.local", "A", NODATA),
        ("a namespace that is not there is none", "no.svc.cluster.local", "A", NXDOMAIN),
        ("the parts of names are names", "svc.cluster.local", "A", NODATA),
        ("the zone itself", "cluster.local", "A", NODATA),
        ("its authority", "cluster.local", "SOA", Answer(authority=True)),
        ("what is in no part of it", "x.cluster.local", "A", NXDOMAIN),
        ("what only looks like it is another's", "xcluster.local", "A", None),
        (
            "the version of the rules",
            "dns-version.cluster.local",
            "TXT",
            Answer((Record("dns-version.cluster.local", "TXT", "1.1.0"),)),
        ),
        ("other names are others' to answer", "example.org", "A", None),
        (
            "a Service that is a name leads there",
            "out.shop.svc.cluster.local",
            "A",
            Answer((Record("out.shop.svc.cluster.local", "CNAME", "example.org"),), follow="example.org"),
        ),
        (
            "unless only the alias is asked for",
            "out.shop.svc.cluster.local",
            "CNAME",
            Answer((Record("out.shop.svc.cluster.local", "CNAME", "example.org"),)),
        ),
        (
            "the Service of an address",
            "20.0.96.10.in-addr.arpa",
            "PTR",
            Answer((Record("20.0.96.10.in-addr.arpa", "PTR", WEB),)),
        ),
        (
            "the pod of an address",
            "5.0.244.10.in-addr.arpa",
            "PTR",
            Answer((Record("5.0.244.10.in-addr.arpa", "PTR", f"db-0.{DB}"),)),
        ),
        ("an address of ours that nobody has", "99.0.244.10.in-addr.arpa", "PTR", NXDOMAIN),
        ("an address of others", "1.2.0.192.in-addr.arpa", "PTR", None),
        ("part of an address", "244.10.in-addr.arpa", "PTR", None),
    ],
)
def test_a_name(why: str, name: str, kind: str, answer: Answer | None) -> None:
    assert ZONE.answer(name, kind) == answer, why


def asked(name: str, kind: str = "A") -> packets.Query:
    query = packets.read(dnslib.DNSRecord.question(name, kind).pack())
    assert isinstance(query, packets.Query)
    return query


def told(query: packets.Query, *, over_tcp: bool = False) -> dnslib.DNSRecord:
    answer = ZONE.answer(query.name, query.kind)
    assert answer is not None
    return dnslib.DNSRecord.parse(packets.write(query, answer, [], over_tcp=over_tcp))


def test_an_answer_repeats_the_name_as_it_was_written() -> None:
    reply = told(asked("WeB.shop.SVC.cluster.local"))
    assert str(reply.q.qname) == str(reply.rr[0].rname) == "WeB.shop.SVC.cluster.local."
    assert (str(reply.rr[0].rdata), reply.rr[0].ttl) == ("10.96.0.20", 30)
    assert (reply.header.qr, reply.header.aa, reply.header.ra, reply.header.rcode) == (1, 1, 1, 0)


@pytest.mark.parametrize(("name", "code"), [("web.shop.svc.cluster.local", 0), ("x.shop.svc.cluster.local", 3)])
def test_a_negative_answer_says_how_long_it_may_be_believed(name: str, code: int) -> None:
    reply = told(asked(name, "AAAA"))
    assert (reply.header.rcode, reply.rr) == (code, [])
    (authority,) = reply.auth
    assert (str(authority.rname), authority.rtype, authority.ttl) == ("cluster.local.", dnslib.QTYPE.SOA, 30)


def test_an_answer_that_is_too_long_for_udp_is_cut_and_whole_over_tcp(monkeypatch: pytest.MonkeyPatch) -> None:
    many = Service(endpoints=tuple(Endpoint(f"10.244.1.{n}", "", ()) for n in range(1, 101)))
    monkeypatch.setitem(SERVICES, ("shop", "many"), many)
    query = asked("many.shop.svc.cluster.local")
    answer = ZONE.answer(query.name, query.kind)
    assert answer is not None
    short = packets.write(query, answer, [], over_tcp=False)
    reply = dnslib.DNSRecord.parse(short)
    assert len(short) <= 512
    assert reply.header.tc == 1
    assert len(told(query, over_tcp=True).rr) == 100
    wide = dnslib.DNSRecord.question("many.shop.svc.cluster.local")
    wide.add_ar(dnslib.EDNS0(udp_len=4096))
    roomy = packets.read(wide.pack())
    assert isinstance(roomy, packets.Query)
    assert len(told(roomy).rr) == 100


@pytest.mark.parametrize(
    ("why", "change", "code"),
    [
        ("an update", {"opcode": 5}, 4),
        ("a question of another class", {"qclass": 3}, 5),
    ],
)
def test_what_is_not_served_is_refused(why: str, change: dict[str, int], code: int) -> None:
    message = dnslib.DNSRecord.question(WEB)
    message.header.opcode = change.get("opcode", 0)
    message.questions[0].qclass = change.get("qclass", 1)
    reply = packets.read(bytes(message.pack()))
    assert isinstance(reply, bytes), why
    assert (reply[2] & 0x80, reply[3] & 0x0F) == (0x80, code), why


def test_an_answer_is_not_answered() -> None:
    assert packets.read(bytes(dnslib.DNSRecord.question(WEB).reply().pack())) is None


LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=20)
PARTS = st.lists(
    st.one_of(LABEL, st.sampled_from(["svc", "pod", "cluster", "local", "web", "db", "shop", "_tcp"])), max_size=9
)


@given(PARTS, st.sampled_from(["A", "AAAA", "SRV", "PTR", "TXT", "SOA", "NS", "ANY", "CNAME", "TYPE65"]))
def test_every_name_has_an_answer_that_can_be_written(parts: list[str], kind: str) -> None:
    name = ".".join([*parts, "cluster", "local"])
    answer = ZONE.answer(name, kind)
    assert answer is not None
    if len(name) < 250 and kind != "TYPE65":
        query = asked(name, kind)
        assert dnslib.DNSRecord.parse(packets.write(query, answer, [], over_tcp=False)).header.qr == 1


@given(st.binary(max_size=600))
def test_any_bytes_are_a_query_or_refused_or_ignored(raw: bytes) -> None:
    done = packets.read(raw)
    if isinstance(done, packets.Query):
        answer = ZONE.answer(done.name, done.kind) or NODATA
        packets.write(done, answer, [], over_tcp=False)
        packets.failure(done)
    elif done is not None:
        assert (len(done), done[2] & 0x80) == (12, 0x80)


@given(st.binary(min_size=1, max_size=60), st.integers(0, 60), st.integers(0, 40))
def test_a_query_with_bytes_changed_is_answered_or_refused(noise: bytes, at: int, cut: int) -> None:
    raw = bytearray(dnslib.DNSRecord.question(WEB).pack())
    raw[at : at + len(noise)] = noise
    done = packets.read(bytes(raw[: len(raw) - cut]))
    if isinstance(done, packets.Query):
        packets.write(done, ZONE.answer(done.name, done.kind) or NODATA, [], over_tcp=True)
