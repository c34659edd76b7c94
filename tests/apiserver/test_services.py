"""Services over HTTPS: what a server gives them, what a change of type takes away, who else may not have it."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.apiserver.conftest import Client
from tests.apiserver.serving import Serving

Object = dict[str, Any]

SERVICES = "/api/v1/namespaces/default/services"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
MERGE = {"Content_Type": "application/merge-patch+json"}


def service(name: str = "s", **spec: Any) -> Object:
    return {"metadata": {"name": name}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}], **spec}}


async def change(client: Client, **spec: Any) -> Object:
    """The spec after a merge patch that must succeed."""
    code, answer = await client.call("PATCH", f"{SERVICES}/s", {"spec": spec}, **MERGE)
    assert code == 200, answer
    changed: Object = answer["spec"]
    return changed


async def test_services_that_are_made_at_once_have_addresses_of_their_own(client: Client) -> None:
    made = await asyncio.gather(*(client.make(SERVICES, service(f"s{n}", type="NodePort")) for n in range(40)))
    assert len({one["spec"]["clusterIP"] for one in made}) == 40
    assert len({one["spec"]["ports"][0]["nodePort"] for one in made}) == 40


async def test_an_address_is_free_again_when_its_service_is_gone(client: Client) -> None:
    await client.make(SERVICES, service("a", clusterIP="10.96.0.50"))
    code, answer = await client.call("POST", SERVICES, service("b", clusterIP="10.96.0.50"))
    assert code == 422
    assert answer["details"]["causes"][0]["message"].endswith("provided IP is already allocated")
    assert (await client.call("DELETE", f"{SERVICES}/a"))[0] == 200
    await client.make(SERVICES, service("b", clusterIP="10.96.0.50"))


async def test_a_dry_run_shows_an_address_and_takes_none(client: Client) -> None:
    shown = await client.make(f"{SERVICES}?dryRun=All", service(clusterIP="10.96.0.50"))
    assert shown["spec"]["clusterIPs"] == ["10.96.0.50"]
    await client.make(SERVICES, service("other", clusterIP="10.96.0.50"))


async def test_the_same_object_may_be_put_again_without_what_was_given(client: Client) -> None:
    made = await client.make(SERVICES, service(type="NodePort"))
    code, again = await client.call("PUT", f"{SERVICES}/s", service(type="NodePort"))
    assert (code, again["spec"]) == (200, made["spec"])


async def test_the_types_of_a_service_one_after_the_other(client: Client) -> None:
    made = await client.make(SERVICES, service())
    address = made["spec"]["clusterIP"]
    spec = await change(client, type="NodePort")
    assert spec["ports"][0]["nodePort"] >= 30000
    assert spec["externalTrafficPolicy"] == "Cluster"
    spec = await change(client, type="LoadBalancer", externalTrafficPolicy="Local")
    assert spec["healthCheckNodePort"] >= 30000
    assert spec["allocateLoadBalancerNodePorts"] is True
    spec = await change(client, type="ClusterIP")
    gone = {"healthCheckNodePort", "allocateLoadBalancerNodePorts", "externalTrafficPolicy"}
    assert gone.isdisjoint(spec)
    assert "nodePort" not in spec["ports"][0]
    assert spec["clusterIP"] == address
    spec = await change(client, type="ExternalName", externalName="a.example")
    assert {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"}.isdisjoint(spec)
    spec = await change(client, type="ClusterIP", externalName=None)
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert spec["ipFamilies"] == ["IPv4"]


async def test_an_address_stays_once_it_is_given(client: Client) -> None:
    await client.make(SERVICES, service())
    for wanted in ("10.96.0.50", "None", ""):
        code, answer = await client.call("PUT", f"{SERVICES}/s", service(clusterIP=wanted))
        if wanted:
            assert (code, answer["reason"]) == (422, "Invalid")
            assert "may not change once set" in answer["message"]
        else:
            assert code == 200, "saying nothing is no change"


async def test_the_status_is_written_by_itself(client: Client) -> None:
    await client.make(SERVICES, service(type="LoadBalancer"))
    status = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    code, answer = await client.call("PATCH", f"{SERVICES}/s/status", {"status": status}, **MERGE)
    assert (code, answer["status"]["loadBalancer"]["ingress"]) == (200, [{"ip": "192.0.2.1", "ipMode": "VIP"}])
    assert (await change(client, type="ClusterIP"))["type"] == "ClusterIP"
    assert (await client.call("GET", f"{SERVICES}/s"))[1]["status"] == {"loadBalancer": {}}


async def test_services_are_selected_by_type_and_address(client: Client) -> None:
    made = await client.make(SERVICES, service())
    await client.make(SERVICES, service("other", type="NodePort"))
    for selector in (f"spec.clusterIP={made['spec']['clusterIP']}", "spec.type=ClusterIP"):
        code, answer = await client.call("GET", f"{SERVICES}?fieldSelector={selector}")
        assert (code, [one["metadata"]["name"] for one in answer["items"]]) == (200, ["s"])


async def test_the_generation_of_a_slice_counts_what_it_says(client: Client) -> None:
    endpoints = [{"addresses": ["192.0.2.1"]}]
    body = {"metadata": {"name": "e"}, "addressType": "IPv4", "endpoints": endpoints, "ports": []}
    assert (await client.make(SLICES, body))["metadata"]["generation"] == 1
    for part, generation in (
        ({"metadata": {"annotations": {"a": "b"}}}, 1),
        ({"metadata": {"labels": {"a": "b"}}}, 2),
        ({"ports": [{"name": "x", "port": 80}]}, 3),
    ):
        code, answer = await client.call("PATCH", f"{SLICES}/e", part, **MERGE)
        assert (code, answer["metadata"]["generation"]) == (200, generation), part


async def test_who_asks_for_endpoints_is_told_of_slices(client: Client, served: Serving) -> None:
    code, headers, _ = await client.full("GET", "/api/v1/endpoints")
    assert code == 200
    assert headers["Warning"] == '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
