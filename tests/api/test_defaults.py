"""What fields are when nobody said: a row for each rule, the whole value compared."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.api.decode import normalise
from podrun.api.defaults import apply_defaults
from podrun.api.gvk import KindRef
from podrun.api.imagename import default_pull_policy, tag_of

POD = KindRef("", "v1", "Pod")


def defaulted(kind: KindRef, obj: dict[str, Any]) -> dict[str, Any]:
    return apply_defaults(kind, normalise(kind, obj))


def pod(**spec: Any) -> dict[str, Any]:
    return defaulted(POD, {"metadata": {"name": "p"}, "spec": {"containers": [], **spec}})


def container(**fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = pod(containers=[{"name": "a", "image": "x:1", **fields}])["spec"]["containers"][0]
    return made


PLAIN = {
    "name": "a",
    "image": "x:1",
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "imagePullPolicy": "IfNotPresent",
}
PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


def test_a_pod_with_nothing_said() -> None:
    assert pod()["spec"] == {
        "containers": [],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "enableServiceLinks": True,
    }


CONTAINERS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("nothing said", {}, {}),
    ("the tag latest is pulled always", {"image": "x"}, {"image": "x", "imagePullPolicy": "Always"}),
    ("a digest is not", {"image": f"x@sha256:{'0' * 64}"}, {"image": f"x@sha256:{'0' * 64}"}),
    (
        "requests come from limits, one by one",
        {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}},
        {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}},
    ),
    (
        "amounts are rounded up to thousandths",
        {"resources": {"requests": {"cpu": "100n"}}},
        {"resources": {"requests": {"cpu": "1m"}}},
    ),
    (
        "a port is TCP",
        {"ports": [{"containerPort": 80}]},
        {"ports": [{"containerPort": 80, "protocol": "TCP"}]},
    ),
    (
        "a probe has its times, and a path",
        {"livenessProbe": {"httpGet": {"port": 80}}},
        {"livenessProbe": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, **PROBE}},
    ),
    (
        "a gRPC probe has a service",
        {"readinessProbe": {"grpc": {"port": 80}, "periodSeconds": 3}},
        {"readinessProbe": {"grpc": {"port": 80, "service": ""}, **PROBE, "periodSeconds": 3}},
    ),
    (
        "a field reference is of v1",
        {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
        {"env": [{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}]},
    ),
    (
        "a hook's request has a path",
        {"lifecycle": {"preStop": {"httpGet": {"port": "x"}}}},
        {"lifecycle": {"preStop": {"httpGet": {"port": "x", "path": "/", "scheme": "HTTP"}}}},
    ),
]


@pytest.mark.parametrize(("_", "given", "expected"), CONTAINERS, ids=[row[0] for row in CONTAINERS])
def test_containers(_: str, given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert container(**given) == {**PLAIN, **expected}


VOLUMES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("one of no type is an emptyDir", {}, {"emptyDir": {}}),
    ("a path on the host has a type", {"hostPath": {"path": "/x"}}, {"hostPath": {"path": "/x", "type": ""}}),
    (
        "files of a secret have a mode",
        {"secret": {"secretName": "s"}},
        {"secret": {"secretName": "s", "defaultMode": 420}},
    ),
    (
        "a mode of zero is a mode",
        {"configMap": {"name": "c", "defaultMode": 0}},
        {"configMap": {"name": "c", "defaultMode": 0}},
    ),
    (
        "a projected token lives an hour",
        {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        {
            "projected": {
                "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                "defaultMode": 420,
            }
        },
    ),
    (
        "an image is pulled by its tag",
        {"image": {"reference": "x"}},
        {"image": {"reference": "x", "pullPolicy": "Always"}},
    ),
]


@pytest.mark.parametrize(("_", "given", "expected"), VOLUMES, ids=[row[0] for row in VOLUMES])
def test_volumes(_: str, given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert pod(volumes=[{"name": "v", **given}])["spec"]["volumes"] == [{"name": "v", **expected}]


def test_on_the_hosts_network_ports_are_host_ports() -> None:
    made = pod(hostNetwork=True, containers=[{"name": "a", "ports": [{"containerPort": 80}]}])
    assert made["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]


def test_a_grace_period_of_zero_stays_and_a_negative_one_is_a_second() -> None:
    assert pod(terminationGracePeriodSeconds=0)["spec"]["terminationGracePeriodSeconds"] == 0
    assert pod(terminationGracePeriodSeconds=-5)["spec"]["terminationGracePeriodSeconds"] == 1


def test_both_names_of_the_service_account_follow_each_other() -> None:
    made = pod(serviceAccount="x")["spec"]
    assert (made["serviceAccount"], made["serviceAccountName"]) == ("x", "x")
    made = pod(serviceAccount="x", serviceAccountName="y")["spec"]
    assert (made["serviceAccount"], made["serviceAccountName"]) == ("y", "y")


def test_requests_of_the_pod_come_from_its_containers_then_from_its_limits() -> None:
    made = pod(
        resources={"limits": {"cpu": "4", "memory": "1Gi"}},
        containers=[
            {"name": "a", "resources": {"requests": {"cpu": "1"}}},
            {"name": "b", "resources": {"requests": {"cpu": "1"}}},
        ],
    )
    assert made["spec"]["resources"]["requests"] == {"cpu": "2", "memory": "1Gi"}


def test_the_argument_stays_as_it_was() -> None:
    given = normalise(POD, {"spec": {"containers": [{"name": "a", "image": "x"}]}})
    apply_defaults(POD, given)
    assert given["spec"]["containers"] == [{"name": "a", "image": "x", "resources": {}}]


def test_text_of_a_secret_becomes_its_data() -> None:
    made = defaulted(KindRef("", "v1", "Secret"), {"data": {"a": "eA==", "b": "eQ=="}, "stringData": {"a": "new"}})
    assert made["data"] == {"a": "bmV3", "b": "eQ=="}
    assert "stringData" not in made
    assert made["type"] == "Opaque"


SERVICES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "ports are TCP and lead to themselves",
        {"ports": [{"port": 80}]},
        {
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            "type": "ClusterIP",
            "internalTrafficPolicy": "Cluster",
        },
    ),
    (
        "affinity lasts three hours",
        {"sessionAffinity": "ClientIP"},
        {
            "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
            "type": "ClusterIP",
            "internalTrafficPolicy": "Cluster",
        },
    ),
    (
        "node ports are reachable from outside",
        {"type": "NodePort"},
        {"type": "NodePort", "externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster"},
    ),
    (
        "a name has no traffic",
        {"type": "ExternalName", "externalName": "x.y"},
        {"type": "ExternalName", "externalName": "x.y"},
    ),
    (
        "a balancer takes node ports",
        {"type": "LoadBalancer"},
        {
            "type": "LoadBalancer",
            "externalTrafficPolicy": "Cluster",
            "internalTrafficPolicy": "Cluster",
            "allocateLoadBalancerNodePorts": True,
        },
    ),
]


@pytest.mark.parametrize(("_", "given", "expected"), SERVICES, ids=[row[0] for row in SERVICES])
def test_services(_: str, given: dict[str, Any], expected: dict[str, Any]) -> None:
    made = defaulted(KindRef("", "v1", "Service"), {"spec": given})
    assert made["spec"] == {"sessionAffinity": "None", **expected}


def test_other_kinds() -> None:
    namespace = defaulted(KindRef("", "v1", "Namespace"), {"metadata": {"name": "n"}})
    assert namespace["metadata"]["labels"] == {"kubernetes.io/metadata.name": "n"}
    assert namespace["status"] == {"phase": "Active"}
    slices = defaulted(
        KindRef("discovery.k8s.io", "v1", "EndpointSlice"), {"addressType": "IPv4", "ports": [{"port": 1}]}
    )
    assert slices["ports"] == [{"name": "", "port": 1, "protocol": "TCP"}]
    rbac = KindRef("rbac.authorization.k8s.io", "v1", "RoleBinding")
    binding = defaulted(rbac, {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}]})
    assert binding["roleRef"]["apiGroup"] == "rbac.authorization.k8s.io"
    assert binding["subjects"] == [{"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"}]
    priority = defaulted(KindRef("scheduling.k8s.io", "v1", "PriorityClass"), {"value": 1})
    assert priority["preemptionPolicy"] == "PreemptLowerPriority"


@pytest.mark.parametrize(
    ("image", "tag", "policy"),
    [
        ("x", "latest", "Always"),
        ("x:latest", "latest", "Always"),
        ("x:1", "1", "IfNotPresent"),
        ("localhost:5000/x", "latest", "Always"),
        ("r.example/a/b:v2", "v2", "IfNotPresent"),
        (f"x@sha256:{'a' * 64}", "", "IfNotPresent"),
        (f"x:1@sha256:{'a' * 64}", "1", "IfNotPresent"),
        ("UPPER", "", "IfNotPresent"),
        ("a b", "", "IfNotPresent"),
        ("", "", "IfNotPresent"),
        ("a" * 64, "", "IfNotPresent"),
    ],
)
def test_images_are_pulled_by_their_tag(image: str, tag: str, policy: str) -> None:
    assert tag_of(image) == tag
    assert default_pull_policy(image) == policy
