"""What a pod asks for in all, and its quality of service."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.api.resources import containers_total, pod_limits, pod_requests, qos_class


def container(
    requests: dict[str, str] | None = None, limits: dict[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    return {"name": "a", "resources": {"requests": requests or {}, "limits": limits or {}}, **more}


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), **spec}}


def total(given: dict[str, Any], what: str = "requests") -> dict[str, str]:
    return {name: str(value) for name, value in containers_total(given, what).items()}


def test_containers_run_together() -> None:
    assert total(pod(container({"cpu": "1"}), container({"cpu": "500m", "memory": "1Gi"}))) == {
        "cpu": "1500m",
        "memory": "1Gi",
    }


def test_an_init_container_needs_itself_and_the_sidecars_before_it() -> None:
    init = [
        container({"cpu": "2"}),
        container({"cpu": "1"}, restartPolicy="Always"),
        container({"cpu": "3"}),
    ]
    assert total(pod(container({"cpu": "1"}), initContainers=init)) == {"cpu": "4"}
    assert total(pod(container({"cpu": "5"}), initContainers=init)) == {"cpu": "6"}


def test_the_pods_own_amounts_and_overhead() -> None:
    given = pod(
        container({"cpu": "1"}, {"memory": "1Gi"}),
        resources={"requests": {"cpu": "4"}, "limits": {"memory": "2Gi"}},
        overhead={"cpu": "250m", "memory": "1Gi"},
    )
    assert {name: str(value) for name, value in pod_requests(given).items()} == {"cpu": "4250m", "memory": "1Gi"}
    assert {name: str(value) for name, value in pod_limits(given).items()} == {"memory": "3Gi"}


BOTH = {"cpu": "1", "memory": "1Gi"}
CLASSES: list[tuple[str, dict[str, Any], str]] = [
    ("nothing asked", pod(container()), "BestEffort"),
    ("zero is nothing", pod(container({"cpu": "0"})), "BestEffort"),
    ("a request", pod(container({"cpu": "1"})), "Burstable"),
    ("requests are limits", pod(container(BOTH, BOTH)), "Guaranteed"),
    ("limits of one only", pod(container({"cpu": "1"}, {"cpu": "1"})), "Burstable"),
    ("one container has no limits", pod(container(BOTH, BOTH), container()), "Burstable"),
    ("an init container counts", pod(container(BOTH, BOTH), initContainers=[container()]), "Burstable"),
    ("the pod's own amounts decide", pod(container(), resources={"requests": BOTH, "limits": BOTH}), "Guaranteed"),
    ("other resources do not count", pod(container({"example.com/x": "1"})), "BestEffort"),
]


@pytest.mark.parametrize(("_", "given", "expected"), CLASSES, ids=[row[0] for row in CLASSES])
def test_quality_of_service(_: str, given: dict[str, Any], expected: str) -> None:
    assert qos_class(given) == expected
