"""What Services are given: addresses, families, ports of the node; and what an update keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from podrun.api.allocation import Taken, allocate_changed, allocate_new, taken_by
from podrun.api.errors import ApiError

Object = dict[str, Any]


def first(free: Sequence[int]) -> int:
    return free[0]


def service(**spec: Any) -> Object:
    made = {
        "type": "ClusterIP",
        "selector": {"a": "b"},
        "ports": [{"name": "x", "port": 80, "protocol": "TCP"}],
        **spec,
    }
    return {"metadata": {"name": "s"}, "spec": {key: value for key, value in made.items() if value is not None}}


def given(address: str = "10.96.1.0", **more: Any) -> Object:
    return {
        "clusterIP": address,
        "clusterIPs": [address],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        **more,
    }


def port(number: int = 80, node: int = 0, name: str = "x", protocol: str = "TCP") -> Object:
    return {"name": name, "port": number, "protocol": protocol, **({"nodePort": node} if node else {})}


NODE = {"type": "NodePort"}


@pytest.mark.parametrize(
    ("why", "asked", "taken", "expected"),
    [
        ("the first addresses are kept for those who ask", service(), Taken(), given("10.96.1.0")),
        ("one that is taken is not given again", service(), Taken(frozenset({"10.96.1.0"})), given("10.96.1.1")),
        ("one that is asked for is given", service(clusterIP="10.96.0.77"), Taken(), given("10.96.0.77")),
        (
            "a headless Service has none",
            service(clusterIP="None"),
            Taken(),
            given("None"),
        ),
        (
            "a headless Service without a selector may have endpoints of both families",
            service(clusterIP="None", selector=None),
            Taken(),
            given("None", ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="RequireDualStack"),
        ),
        ("a name has nothing", service(type="ExternalName", ports=None), Taken(), {}),
        (
            "who prefers two families gets the one there is",
            service(ipFamilyPolicy="PreferDualStack"),
            Taken(),
            given(ipFamilyPolicy="PreferDualStack"),
        ),
        ("a port of the node", service(**NODE), Taken(), given(ports=[port(node=30086)])),
        (
            "the same for the same port of two protocols",
            service(**NODE, ports=[port(), port(name="y", protocol="UDP")]),
            Taken(),
            given(ports=[port(node=30086), port(node=30086, name="y", protocol="UDP")]),
        ),
        (
            "another for another port, and the one that is asked for",
            service(**NODE, ports=[port(), port(81, 30001, "y")]),
            Taken(ports=frozenset({30086})),
            given(ports=[port(node=30087), port(81, 30001, "y")]),
        ),
    ],
)
def test_what_a_new_service_is_given(why: str, asked: Object, taken: Taken, expected: Object) -> None:
    made = allocate_new(asked, taken, first)["spec"]
    assert made == asked["spec"] | expected, why


IN_USE = Taken(frozenset({"10.96.0.77"}), frozenset({30001}))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            service(clusterIP="10.96.0.77"),
            'Service "s" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.77"]: failed to allocate IP 10.96.0.77: '
            "provided IP is already allocated",
        ),
        (
            service(clusterIP="10.97.0.1"),
            'Service "s" is invalid: spec.clusterIPs: Invalid value: ["10.97.0.1"]: failed to allocate IP 10.97.0.1: '
            "the provided IP (10.97.0.1) is not in the valid range. The range of valid IPs is 10.96.0.0/16",
        ),
        (
            service(clusterIP="2001:db8::1"),
            'Service "s" is invalid: spec.clusterIPs[0]: Invalid value: ["2001:db8::1"]: '
            "IPv6 is not configured on this cluster",
        ),
        (
            service(ipFamilies=["IPv6"]),
            'Service "s" is invalid: spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
        ),
        (
            service(ipFamilyPolicy="RequireDualStack"),
            'Service "s" is invalid: spec.ipFamilyPolicy: Invalid value: "RequireDualStack": '
            "this cluster is not configured for dual-stack services",
        ),
        (
            service(**NODE, ports=[port(node=30001)]),
            'Service "s" is invalid: spec.ports[0].nodePort: Invalid value: 30001: provided port is already allocated',
        ),
        (
            service(**NODE, ports=[port(node=80)]),
            'Service "s" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid '
            "range. The range of valid ports is 30000-32767",
        ),
    ],
)
def test_what_cannot_be_given(asked: Object, message: str) -> None:
    with pytest.raises(ApiError) as refused:
        allocate_new(asked, IN_USE, first)
    assert refused.value.message == message


def test_when_every_port_is_taken_there_is_an_error_that_says_so() -> None:
    with pytest.raises(ApiError, match="failed to allocate a nodePort: range is full"):
        allocate_new(service(**NODE), Taken(ports=frozenset(range(30000, 32768))), first)


STORED = service(**NODE, **given(ports=[port(node=30001), port(81, 30002, "y")]))


@pytest.mark.parametrize(
    ("why", "new", "changed"),
    [
        ("the same manifest again keeps what was given", service(**NODE, ports=[port(), port(81, name="y")]), {}),
        (
            "a port that is new gets one, the others keep theirs by name",
            service(**NODE, ports=[port(82, name="z"), port(80)]),
            {"ports": [port(82, 30086, "z"), port(80, 30001)]},
        ),
        (
            "a port may be changed to one that is free",
            service(**NODE, ports=[port(node=30005), port(81, name="y")]),
            {"ports": [port(node=30005), port(81, 30002, "y")]},
        ),
    ],
)
def test_what_an_update_keeps_and_gets(why: str, new: Object, changed: Object) -> None:
    made = allocate_changed(new, STORED, taken_by([STORED]), first)["spec"]
    assert made == STORED["spec"] | changed, why


def test_a_name_that_becomes_a_service_gets_an_address() -> None:
    old = service(type="ExternalName", externalName="a.example", ports=None)
    assert allocate_changed(service(), old, Taken(), first)["spec"]["clusterIP"] == "10.96.1.0"


def test_what_services_have_is_taken() -> None:
    balanced = service(type="LoadBalancer", healthCheckNodePort=30009, ports=[port(node=30001)])
    assert taken_by([service(**given()), balanced]) == Taken(frozenset({"10.96.1.0"}), frozenset({30001, 30009}))
