"""Endpoints and EndpointSlices: what they hold by the rules, and that they follow Services and pods in a store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from podrun.api import names
from podrun.controllers import endpoint_rules as rules
from podrun.controllers.endpoints import EndpointsController
from podrun.controllers.slices import SERVICE_NAME, SLICES, SliceIndex
from podrun.store.store import Store

Object = dict[str, Any]


def pod(name: str, ip: str = "10.244.0.5", *, ready: bool = True, ending: bool = False, **fields: Any) -> Object:
    """A pod of app=web, with a port named http."""
    metadata: Object = {"name": name, "namespace": "n", "uid": f"uid-{name}", "labels": {"app": "web"}}
    if ending:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    container = {"name": "a", "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]}
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    status = {"phase": fields.pop("phase", "Running"), "conditions": [condition]}
    if ip:
        status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    return {
        "metadata": metadata,
        "spec": {"nodeName": "node", "containers": [container], **fields},
        "status": status,
    }


def service(name: str = "web", **spec: Any) -> Object:
    ports = [{"port": 80, "targetPort": "http", "protocol": "TCP"}]
    made = {"selector": {"app": "web"}, "clusterIP": "10.96.1.1", "ipFamilies": ["IPv4"], "ports": ports, **spec}
    return {
        "metadata": {"name": name, "namespace": "n", "uid": f"uid-{name}", "labels": {"team": "a"}},
        "spec": {key: value for key, value in made.items() if value is not None},
    }


def target(name: str) -> Object:
    return {"kind": "Pod", "namespace": "n", "name": name, "uid": f"uid-{name}"}


def address(name: str, ip: str = "10.244.0.5", **more: str) -> Object:
    return {"ip": ip, "nodeName": "node", "targetRef": target(name), **more}


def endpoint(name: str, ip: str, ready: bool, serving: bool, terminating: bool, **more: str) -> Object:
    conditions = {"ready": ready, "serving": serving, "terminating": terminating}
    return {"addresses": [ip], "conditions": conditions, "nodeName": "node", "targetRef": target(name), **more}


HTTP = {"port": 8080, "protocol": "TCP"}


@pytest.mark.parametrize(
    ("why", "given", "pods", "subsets"),
    [
        ("a ready pod is an address", service(), [pod("p")], [{"addresses": [address("p")], "ports": [HTTP]}]),
        (
            "a pod that is not ready is told apart",
            service(),
            [pod("p", ready=False)],
            [{"notReadyAddresses": [address("p")], "ports": [HTTP]}],
        ),
        (
            "unless such pods are published",
            service(publishNotReadyAddresses=True),
            [pod("p", ready=False)],
            [{"addresses": [address("p")], "ports": [HTTP]}],
        ),
        ("a pod that ends is left out", service(), [pod("p", ending=True)], []),
        (
            "unless such pods are published",
            service(publishNotReadyAddresses=True),
            [pod("p", ending=True)],
            [{"addresses": [address("p")], "ports": [HTTP]}],
        ),
        ("a pod that has ended is left out", service(publishNotReadyAddresses=True), [pod("p", phase="Failed")], []),
        ("a pod without an address is left out", service(), [pod("p", "")], []),
        ("a pod with other labels is left out", service(selector={"app": "db"}), [pod("p")], []),
        (
            "a port that the pod does not have is left out",
            service(ports=[{"port": 80, "targetPort": "sql", "protocol": "TCP"}]),
            [pod("p")],
            [],
        ),
        (
            "a port's name is of its protocol",
            service(ports=[{"port": 80, "targetPort": "http", "protocol": "UDP"}]),
            [pod("p")],
            [],
        ),
        (
            "addresses are in their order and share what they share",
            service(),
            [pod("a", "10.244.0.10"), pod("b", "10.244.0.9"), pod("c", "10.244.0.11", ready=False)],
            [
                {
                    "addresses": [address("b", "10.244.0.9"), address("a", "10.244.0.10")],
                    "notReadyAddresses": [address("c", "10.244.0.11")],
                    "ports": [HTTP],
                }
            ],
        ),
        (
            "pods whose named port has other numbers are subsets of their own",
            service(),
            [
                pod("a", "10.244.0.9"),
                pod(
                    "b", containers=[{"name": "a", "ports": [{"name": "http", "containerPort": 81, "protocol": "TCP"}]}]
                ),
            ],
            [
                {"addresses": [address("b")], "ports": [{"port": 81, "protocol": "TCP"}]},
                {"addresses": [address("a", "10.244.0.9")], "ports": [HTTP]},
            ],
        ),
        (
            "a headless Service needs no ports",
            service(clusterIP="None", ports=None),
            [pod("p")],
            [{"addresses": [address("p")]}],
        ),
        (
            "a pod of the Service's subdomain has its hostname",
            service(),
            [pod("p", hostname="db-0", subdomain="web")],
            [{"addresses": [address("p", hostname="db-0")], "ports": [HTTP]}],
        ),
        (
            "a pod of another subdomain has none",
            service(),
            [pod("p", hostname="db-0", subdomain="other")],
            [{"addresses": [address("p")], "ports": [HTTP]}],
        ),
    ],
)
def test_endpoints(why: str, given: Object, pods: list[Object], subsets: list[Object]) -> None:
    assert rules.endpoints_of(given, pods) == subsets, why


SLICE_PORT = {"name": "", "port": 8080, "protocol": "TCP"}


@pytest.mark.parametrize(
    ("why", "given", "pods", "slices"),
    [
        ("no pods: one slice that says so", service(), [], [("IPv4", None, None)]),
        (
            "a ready pod",
            service(),
            [pod("p")],
            [("IPv4", [endpoint("p", "10.244.0.5", True, True, False)], [SLICE_PORT])],
        ),
        (
            "a pod that is not ready",
            service(),
            [pod("p", ready=False)],
            [("IPv4", [endpoint("p", "10.244.0.5", False, False, False)], [SLICE_PORT])],
        ),
        (
            "a pod that ends still serves, but is not ready",
            service(),
            [pod("p", ending=True)],
            [("IPv4", [endpoint("p", "10.244.0.5", False, True, True)], [SLICE_PORT])],
        ),
        (
            "where unready pods are published, all are ready",
            service(publishNotReadyAddresses=True),
            [pod("p", ready=False, ending=True)],
            [("IPv4", [endpoint("p", "10.244.0.5", True, False, True)], [SLICE_PORT])],
        ),
        (
            "a pod without the port is an endpoint without ports",
            service(ports=[{"port": 80, "targetPort": "sql", "protocol": "TCP"}]),
            [pod("p")],
            [("IPv4", [endpoint("p", "10.244.0.5", True, True, False)], None)],
        ),
        (
            "a hostname under the Service",
            service(),
            [pod("p", hostname="db-0", subdomain="web")],
            [("IPv4", [endpoint("p", "10.244.0.5", True, True, False, hostname="db-0")], [SLICE_PORT])],
        ),
    ],
)
def test_slices(why: str, given: Object, pods: list[Object], slices: list[tuple[Any, ...]]) -> None:
    made = [(one["addressType"], one["endpoints"], one["ports"]) for one in rules.slices_of(given, pods)]
    assert made == slices, why


def test_a_slice_holds_a_hundred_endpoints() -> None:
    pods = [pod(f"p{number:03}", f"10.244.1.{number}") for number in range(1, 151)]
    assert [len(one["endpoints"]) for one in rules.slices_of(service(), pods)] == [100, 50]


@pytest.mark.parametrize(
    ("why", "changed", "same"),
    [
        ("nothing", pod("p"), True),
        ("readiness", pod("p", ready=False), False),
        ("the address", pod("p", "10.244.0.6"), False),
        ("its end has begun", pod("p", ending=True), False),
        ("it has ended", pod("p", phase="Succeeded"), False),
        ("a field that no endpoint shows", pod("p", priority=5), True),
    ],
)
def test_what_of_a_pod_concerns_its_services(why: str, changed: Object, same: bool) -> None:
    assert (rules.concern(changed) == rules.concern(pod("p"))) is same, why


def test_endpoints_by_hand_are_mirrored_subset_by_subset() -> None:
    ports = [{"name": "x", "port": 80, "protocol": "TCP"}]
    given = {
        "metadata": {"name": "web", "labels": {"a": "b"}, "annotations": {rules.LAST_APPLIED: "{}", "mine": "1"}},
        "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "notReadyAddresses": [{"ip": "192.0.2.2"}], "ports": ports}],
    }
    (made,) = rules.mirrored(given)
    assert made["endpoints"] == [
        {"addresses": ["192.0.2.1"], "conditions": {"ready": True}},
        {"addresses": ["192.0.2.2"], "conditions": {"ready": False}},
    ]
    assert made["ports"] == ports
    assert rules.mirror_labels(given) == {
        "a": "b",
        SERVICE_NAME: "web",
        rules.SLICE_MANAGED_BY: rules.MIRROR_CONTROLLER,
    }
    assert rules.mirror_annotations(given) == {"mine": "1"}


# With a store


class House:
    """A store with the namespace n, and the controller over it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.writes = 0
        store.subscribe(SLICES, self._count)
        store.subscribe("endpoints", self._count)

    def _count(self, event: object) -> None:
        self.writes += 1

    async def until(self, true: Callable[[], Any]) -> Any:
        """The answer as soon as it is a yes."""
        changed = asyncio.Event()
        ends = [self.store.subscribe(resource, lambda event: changed.set()) for resource in (SLICES, "endpoints")]
        try:
            async with asyncio.timeout(5):
                while not (answer := true()):
                    await changed.wait()
                    changed.clear()
        finally:
            for end in ends:
                end()
        return answer

    def ready(self) -> list[str]:
        """The ready addresses of all slices."""
        return [
            endpoint["addresses"][0]
            for one in self.store.list(SLICES)
            for endpoint in one["endpoints"] or ()
            if endpoint["conditions"]["ready"]
        ]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = Store(tmp_path / "store.db")
    await store.create("namespaces", {"metadata": {"name": "n", "uid": names.new_uid()}})
    controller = EndpointsController(store, SliceIndex(store))
    await controller.start()
    yield House(store)
    await controller.stop()
    await store.close()


async def test_readiness_reaches_endpoints_and_slices(house: House) -> None:
    await house.store.create("services", service())
    await house.until(lambda: house.store.list(SLICES))
    await house.store.create("pods", pod("p", ready=False))
    await house.until(lambda: house.store.list("endpoints")[0].get("subsets"))
    assert house.ready() == []
    await house.store.update("pods", pod("p"))
    await house.until(lambda: house.ready() == ["10.244.0.5"])
    await house.store.update("pods", pod("p", ending=True))
    await house.until(lambda: house.ready() == [] and "subsets" not in house.store.list("endpoints")[0])
    (made,) = house.store.list(SLICES)
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-web"
    assert made["metadata"]["labels"] == {
        "team": "a",
        SERVICE_NAME: "web",
        rules.SLICE_MANAGED_BY: rules.SLICE_CONTROLLER,
    }
    assert made["metadata"]["generation"] == 4, "one slice is rewritten, not replaced"


async def test_a_change_that_concerns_no_service_writes_nothing(house: House) -> None:
    await house.store.create("services", service())
    await house.store.create("pods", pod("p"))
    await house.until(lambda: house.ready() == ["10.244.0.5"])
    before = house.writes
    await house.store.update("pods", pod("p", priority=5))
    await house.store.create("services", service("other"))
    await house.until(lambda: len(house.store.list(SLICES)) == 2)
    assert house.writes == before + 2, "only the other Service's two objects"


async def test_what_somebody_else_changes_is_put_right(house: House) -> None:
    await house.store.create("services", service())
    await house.store.create("pods", pod("p"))
    await house.until(lambda: house.ready() == ["10.244.0.5"])
    (made,) = house.store.list(SLICES)
    await house.store.update(SLICES, {**made, "endpoints": None})
    await house.until(lambda: house.ready() == ["10.244.0.5"])
    await house.store.remove(SLICES, "n", made["metadata"]["name"])
    await house.until(lambda: house.ready() == ["10.244.0.5"])


async def test_endpoints_go_with_their_service(house: House) -> None:
    await house.store.create("services", service())
    await house.until(lambda: house.store.list(SLICES) and house.store.list("endpoints"))
    await house.store.remove("services", "n", "web")
    await house.until(lambda: not house.store.list(SLICES) and not house.store.list("endpoints"))


async def test_endpoints_without_a_service_are_left_alone(house: House) -> None:
    subsets = [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80, "protocol": "TCP"}]}]
    await house.store.create("endpoints", {"metadata": {"name": "x", "namespace": "n", "uid": "e"}, "subsets": subsets})
    await house.store.create("services", service())
    await house.until(lambda: house.store.list(SLICES))
    assert {one["metadata"]["name"] for one in house.store.list("endpoints")} == {"x", "web"}


async def test_endpoints_by_hand_become_slices_and_follow_their_changes(house: House) -> None:
    await house.store.create("services", service(selector=None))
    by_hand: Object = {
        "metadata": {"name": "web", "namespace": "n", "uid": "e"},
        "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80, "protocol": "TCP"}]}],
    }
    await house.store.create("endpoints", by_hand)
    await house.until(lambda: house.ready() == ["192.0.2.1"])
    (made,) = house.store.list(SLICES)
    assert made["metadata"]["ownerReferences"][0]["kind"] == "Endpoints"
    labels = {rules.SKIP_MIRROR: "true"}
    await house.store.update("endpoints", {**by_hand, "metadata": {**by_hand["metadata"], "labels": labels}})
    await house.until(lambda: not house.store.list(SLICES))


async def test_nothing_is_made_in_a_namespace_that_ends(house: House) -> None:
    ending = {"metadata": {"name": "n", "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    await house.store.update("namespaces", ending)
    await house.store.create("services", service())
    await house.store.create("pods", pod("p"))
    await house.store.create("namespaces", {"metadata": {"name": "m", "uid": names.new_uid()}})
    other = service()
    await house.store.create("services", {**other, "metadata": {**other["metadata"], "namespace": "m"}})
    await house.until(lambda: house.store.list(SLICES, "m") and house.store.list("endpoints", "m"))
    assert house.store.list(SLICES, "n") == house.store.list("endpoints", "n") == []
