"""Pod Security admission through the API: refused, warned about, and when a namespace's labels change."""

from __future__ import annotations

from typing import Any

from tests.apiserver.conftest import Client

Object = dict[str, Any]
PODS = "/api/v1/namespaces/guarded/pods"


async def guarded(client: Client, **labels: str) -> None:
    named = {f"pod-security.kubernetes.io/{name}": value for name, value in labels.items()}
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "guarded", "labels": named}}
    await client.make("/api/v1/namespaces", made)


def pod(name: str, **context: Any) -> Object:
    container = {"name": "c", "image": "busybox:1.36", "securityContext": context}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"schedulerName": "none", "volumes": [{"name": "scratch"}], "containers": [container]},
    }


SECURED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


async def test_enforced(client: Client) -> None:
    await guarded(client, enforce="restricted")
    code, answer = await client.call("POST", PODS, pod("x"))
    assert code == 403
    assert answer["reason"] == "Forbidden"
    assert answer["message"] == (
        'pods "x" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container '
        '"c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must '
        'set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set '
        'securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set '
        'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
    )
    await client.make(PODS, pod("x", **SECURED))


async def test_what_is_invalid_is_told_first(client: Client) -> None:
    await guarded(client, enforce="restricted")
    code, _ = await client.call("POST", PODS, pod("Not_A_Name"))
    assert code == 422


async def test_warned_about(client: Client) -> None:
    await guarded(client, warn="baseline")
    code, headers, _ = await client.full("POST", PODS, pod("x", privileged=True))
    assert code == 201
    assert headers.getall("Warning") == [
        '299 - "would violate PodSecurity \\"baseline:latest\\": privileged (container \\"c\\" must not set '
        'securityContext.privileged=true)"'
    ]


async def test_a_debugger_is_held_to_it_too(client: Client) -> None:
    await guarded(client, enforce="restricted", warn="privileged")
    await client.make(PODS, pod("x", **SECURED))
    _, now = await client.call("GET", f"{PODS}/x")
    now["spec"]["ephemeralContainers"] = [{"name": "debugger", "image": "busybox:1.36"}]
    code, answer = await client.call("PUT", f"{PODS}/x/ephemeralcontainers", now)
    assert code == 403
    assert 'allowPrivilegeEscalation != false (container "debugger" must' in answer["message"]
    now["spec"]["ephemeralContainers"][0]["securityContext"] = SECURED
    code, _ = await client.call("PUT", f"{PODS}/x/ephemeralcontainers", now)
    assert code == 200


async def test_labels_that_pods_violate(client: Client) -> None:
    await guarded(client)
    await client.make(PODS, pod("x", privileged=True))
    patch = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
    where = "/api/v1/namespaces/guarded"
    code, headers, _ = await client.full("PATCH", where, patch, Content_Type="application/merge-patch+json")
    assert code == 200
    assert headers.getall("Warning") == [
        '299 - "existing pods in namespace \\"guarded\\" violate the new PodSecurity enforce level '
        '\\"baseline:latest\\""',
        '299 - "x: privileged"',
    ]
    patch["metadata"]["labels"] = {"pod-security.kubernetes.io/enforce": "none"}
    code, answer = await client.call("PATCH", where, patch, Content_Type="application/merge-patch+json")
    assert (code, answer["reason"]) == (422, "Invalid")


async def test_a_pod_that_was_there_may_be_labelled_but_not_get_another_image(client: Client) -> None:
    await guarded(client)
    await client.make(PODS, pod("x", privileged=True))
    form = {"Content_Type": "application/strategic-merge-patch+json"}
    labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
    await client.call("PATCH", "/api/v1/namespaces/guarded", labels, **form)
    code, _ = await client.call("PATCH", f"{PODS}/x", {"metadata": {"labels": {"a": "b"}}}, **form)
    assert code == 200
    image = {"spec": {"containers": [{"name": "c", "image": "busybox:1.37"}]}}
    code, _ = await client.call("PATCH", f"{PODS}/x", image, **form)
    assert code == 403


async def test_templates_are_warned_about(client: Client) -> None:
    await guarded(client, enforce="baseline")
    template = {"spec": pod("x", privileged=True)["spec"]}
    made = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "t"}, "template": template}
    code, headers, _ = await client.full("POST", "/api/v1/namespaces/guarded/podtemplates", made)
    assert code == 201
    assert "would violate PodSecurity" in headers["Warning"]
