"""The rules for Services: what is rendered, that the kernel takes every change, and where packets then go."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podrun.controllers.service_network import service_ports
from podrun.kernel import namespaces, nftables
from podrun.kernel.flags import Clone
from podrun.network import netlink, rules
from podrun.network.pods import OWN_ADDRESSES, PodNetwork
from podrun.network.services import TABLE, Backend, Plan, ServicePort, ServiceRules, changes, frame, render
from tests.network.namespaces import own_network

Object = dict[str, Any]
A, B = Backend("10.244.0.5", 8080), Backend("10.244.0.6", 8080)
AT_A = ("hairpins", "10.244.0.5 . 10.244.0.5")


def web(*backends: Backend, **more: Any) -> ServicePort:
    return ServicePort("n/web", "TCP", 80, backends, ("10.96.1.1",), **more)


@pytest.mark.parametrize(
    ("why", "port", "plan"),
    [
        (
            "one backend",
            web(A),
            Plan(
                {"service/n/web/tcp/80": ("meta l4proto tcp dnat to 10.244.0.5:8080",)},
                {},
                {("addresses", "10.96.1.1 . tcp . 80"): "goto service/n/web/tcp/80", AT_A: ""},
            ),
        ),
        ("no backend: nothing, and what is left is refused", web(), Plan()),
        (
            "a node port without backends is refused by name",
            web(node_port=30080),
            Plan({}, {}, {("silent-node-ports", "tcp . 30080"): ""}),
        ),
        (
            "a node port leads where the address leads",
            web(A, node_port=30080, outer_backends=(A,)),
            Plan(
                {"service/n/web/tcp/80": ("meta l4proto tcp dnat to 10.244.0.5:8080",)},
                {},
                {
                    ("addresses", "10.96.1.1 . tcp . 80"): "goto service/n/web/tcp/80",
                    ("node-ports", "tcp . 30080"): "goto service/n/web/tcp/80",
                    AT_A: "",
                },
            ),
        ),
        (
            "unless its policy is another",
            web(A, node_port=30080),
            Plan(
                {"service/n/web/tcp/80": ("meta l4proto tcp dnat to 10.244.0.5:8080",)},
                {},
                {
                    ("addresses", "10.96.1.1 . tcp . 80"): "goto service/n/web/tcp/80",
                    ("silent-node-ports", "tcp . 30080"): "",
                    AT_A: "",
                },
            ),
        ),
    ],
)
def test_what_is_rendered(why: str, port: ServicePort, plan: Plan) -> None:
    assert render([port]) == plan, why


def test_several_backends_share_at_random() -> None:
    (rule,) = render([web(A, B)]).chains["service/n/web/tcp/80"]
    assert rule == (
        "meta l4proto tcp dnat ip addr . port to numgen random mod 2 map "
        "{ 0 : 10.244.0.5 . 8080, 1 : 10.244.0.6 . 8080 }"
    )


def test_of_two_that_claim_one_address_the_first_has_it() -> None:
    other = ServicePort("n/other", "TCP", 80, (B,), ("10.96.1.1",))
    assert render([web(A), other]).elements["addresses", "10.96.1.1 . tcp . 80"] == "goto service/n/web/tcp/80"


def test_a_backend_that_goes_changes_its_service_only() -> None:
    other = ServicePort("n/other", "TCP", 80, (A,), ("10.96.1.2",))
    text = changes(render([web(A, B), other]), render([web(A), other]))
    assert text == (
        "flush chain ip podrun-services service/n/web/tcp/80\n"
        "add rule ip podrun-services service/n/web/tcp/80 meta l4proto tcp dnat to 10.244.0.5:8080\n"
        "delete element ip podrun-services hairpins { 10.244.0.6 . 10.244.0.6 }\n"
    )
    assert changes(render([web(A)]), render([web(A)])) == ""


# From objects


def service(**spec: Any) -> Object:
    ports = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]
    made = {"type": "ClusterIP", "clusterIPs": ["10.96.1.1"], "sessionAffinity": "None", "ports": ports, **spec}
    return {"metadata": {"name": "web", "namespace": "n"}, "spec": made}


def slice_of(*endpoints: tuple[str, bool | None, bool, bool], node: str = "here") -> Object:
    """Endpoints are (address, ready, serving, terminating)."""
    return {
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {
                "addresses": [address],
                "nodeName": node,
                "conditions": {"serving": serving, "terminating": terminating}
                | ({} if ready is None else {"ready": ready}),
            }
            for address, ready, serving, terminating in endpoints
        ],
    }


READY, NOT_READY = ("10.244.0.5", True, True, False), ("10.244.0.6", False, False, False)
ENDING = ("10.244.0.6", False, True, True)


@pytest.mark.parametrize(
    ("why", "given_service", "slices", "expected"),
    [
        ("ready endpoints", service(), [slice_of(READY, NOT_READY)], [(A,)]),
        ("one that says nothing is ready", service(), [slice_of(("10.244.0.5", None, False, False))], [(A,)]),
        ("of several slices", service(), [slice_of(READY), slice_of(("10.244.0.6", True, True, False))], [(A, B)]),
        ("one that ends is left out", service(), [slice_of(READY, ENDING)], [(A,)]),
        ("unless there is no other", service(), [slice_of(NOT_READY, ENDING)], [(B,)]),
        ("no ready endpoint", service(), [slice_of(NOT_READY)], [()]),
        ("on this node only", service(internalTrafficPolicy="Local"), [slice_of(READY, node="there")], [()]),
        ("a headless Service is for DNS alone", service(clusterIPs=["None"]), [slice_of(READY)], []),
        ("so is a name", service(type="ExternalName", clusterIPs=[]), [], []),
        (
            "a port by its name",
            service(ports=[{"name": "other", "port": 81, "protocol": "TCP"}]),
            [slice_of(READY)],
            [()],
        ),
    ],
)
def test_backends(why: str, given_service: Object, slices: list[Object], expected: list[tuple[Backend, ...]]) -> None:
    assert [port.backends for port in service_ports(given_service, slices, "here")] == expected, why


def test_policies_addresses_and_affinity() -> None:
    spec = {
        "type": "NodePort",
        "externalTrafficPolicy": "Local",
        "externalIPs": ["192.0.2.1", "2001:db8::1"],
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
        "ports": [{"name": "http", "port": 80, "protocol": "TCP", "nodePort": 30080}],
    }
    (port,) = service_ports(
        service(**spec), [slice_of(READY), slice_of(("10.244.0.6", True, True, False), node="x")], "here"
    )
    assert port == ServicePort("n/web", "TCP", 80, (A, B), ("10.96.1.1",), 30080, (A,), ("192.0.2.1",), 60)


# With a kernel

BACKENDS = st.lists(st.sampled_from([A, B, Backend("10.244.0.7", 81)]), unique=True, max_size=3).map(tuple)
PORTS = st.builds(
    ServicePort,
    st.sampled_from(["n/web", "1n/0-db", "default/x"]),
    st.sampled_from(["TCP", "UDP", "SCTP"]),
    st.sampled_from([80, 5432]),
    BACKENDS,
    st.lists(st.sampled_from(["10.96.1.1", "10.96.1.2"]), unique=True, max_size=2).map(tuple),
    st.sampled_from([0, 30080, 30081]),
    BACKENDS,
    st.sampled_from([(), ("192.0.2.1",)]),
    st.sampled_from([0, 10, 10800]),
)
SETS = st.lists(PORTS, max_size=4, unique_by=lambda port: (port.service, port.protocol, port.port))


@pytest.fixture(scope="module")
def kernel() -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("networks are made by root")
    with own_network():
        yield


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(SETS, min_size=2, max_size=4))
def test_every_change_is_taken_and_leads_to_what_would_be_made_anew(
    kernel: None, steps: list[list[ServicePort]]
) -> None:
    nftables.run(frame(OWN_ADDRESSES))
    plan = Plan()
    for ports in steps:
        wanted = render(ports)
        nftables.run(changes(plan, wanted))
        plan = wanted
    changed = table()
    nftables.run(frame(OWN_ADDRESSES) + changes(Plan(), plan))
    assert table() == changed


def table() -> list[str]:
    """What the kernel has, as sorted lines, elements apart."""
    text = subprocess.run(["nft", "list", "table", "ip", TABLE], capture_output=True, text=True, check=True).stdout
    chains = re.findall(r"(?:chain|set|map) (\S+) \{(.*?)\n\t\}", text, re.DOTALL)
    return sorted(f"{name}: {' '.join(sorted(body.replace(',', ' ').split()))}" for name, body in chains)


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[PodNetwork]:
    """A started PodNetwork on a host of our own."""
    if os.geteuid() != 0:
        pytest.skip("networks are made by root")
    with own_network():
        pods = PodNetwork(tmp_path)
        await pods.start()
        yield pods
        await pods.reset()
        pods.close()
        assert not [entry for entry in json.loads(await rules.listing())["nftables"] if "table" in entry]


async def udp_pod(network: PodNetwork, name: str) -> socket.socket:
    """A pod's socket at port 53 of its address."""
    wire = network.wire(name * 64, name)
    batch = network.pod_batch(wire)
    messages = bytearray(batch.messages)
    struct.pack_into("=I", messages, batch.namespace_at[0], network.namespace)
    namespaces.unshare(Clone.NET)
    netlink.send(bytes(messages))
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((str(wire.address), 53))
    server.settimeout(5)
    namespaces.setns(network.namespace, Clone.NET)
    await network.connect(wire, [])
    return server


def _asked(client: socket.socket, server: socket.socket, word: bytes) -> bytes:
    """What the server's answer to the client brings. The client asks again, as UDP clients do: the kernel may take up
    to a second before a new link of a pod sends, where its number is the other end's by chance (linkwatch)."""
    for _ in range(5):
        client.send(word)
        data, back = server.recvfrom(100)
        server.sendto(data, back)
        with suppress(TimeoutError):
            return client.recv(100)
    raise AssertionError(f"{word!r} is never answered")


async def test_a_udp_client_is_led_to_another_pod_when_its_own_goes(network: PodNetwork, tmp_path: Path) -> None:
    one, two = await udp_pod(network, "a"), await udp_pod(network, "b")
    first, second = (Backend(*server.getsockname()) for server in (one, two))
    services = ServiceRules(OWN_ADDRESSES, tmp_path / "services.json")

    def dns(*backends: Backend) -> list[ServicePort]:
        return [ServicePort("n/dns", "UDP", 53, backends, ("10.96.1.1",))]

    await services.apply(dns(first))
    with one, two, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        client.connect(("10.96.1.1", 53))
        assert _asked(client, one, b"one") == b"one"
        await services.apply(dns(second))
        assert _asked(client, two, b"two") == b"two"
        await services.apply(dns())
        with pytest.raises(PermissionError):  # how Linux tells a sender on this host of a rejection
            client.send(b"to nobody")


async def test_what_no_backend_serves_is_refused_at_once(network: PodNetwork, tmp_path: Path) -> None:
    services = ServiceRules(OWN_ADDRESSES, tmp_path / "services.json")
    await services.apply([web(node_port=30080)])
    for where in (("10.96.1.1", 80), ("10.96.200.200", 80), ("127.0.0.1", 30080)):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(where, timeout=5)


async def test_a_table_that_somebody_has_taken_away_is_made_anew(network: PodNetwork, tmp_path: Path) -> None:
    state = tmp_path / "services.json"
    services = ServiceRules(OWN_ADDRESSES, state)
    await services.apply([web(A)])
    before = table()
    await rules.apply(f"delete table ip {TABLE}\n")
    await services.apply([web(A, B)])
    await services.apply([web(A)])
    assert _without_mark(table()) == _without_mark(before)
    again = ServiceRules(OWN_ADDRESSES, state)
    await again.apply([web(A)])
    assert _without_mark(table()) == _without_mark(before)
    state.write_text("not what it was")
    await ServiceRules(OWN_ADDRESSES, state).apply([web(A)])
    assert _without_mark(table()) == _without_mark(before)


def _without_mark(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith("last-change")]
