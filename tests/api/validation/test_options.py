"""Parameters of requests."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.api.validation.options import delete_options, log_options, patch_options, write_options
from podrun.api.validation.pod_qos import qos_class
from tests.api.validation.samples import rows, told


@pytest.mark.parametrize(
    ("options", "expected"),
    rows(
        {
            "nothing is fine": ({}, []),
            "a manager has a short name": (
                {"fieldManager": "x" * 129},
                ["fieldManager: Too long: may not be more than 128 bytes"],
            ),
            "a dry run is dry throughout": (
                {"dryRun": ["Some"]},
                ['dryRun: Unsupported value: ["Some"]: supported values: "All"'],
            ),
            "a validation of fields is one of three": (
                {"fieldValidation": "Bad"},
                ['fieldValidation: Unsupported value: "Bad": supported values: "", "Ignore", "Strict", "Warn"'],
            ),
        }
    ),
)
def test_writing(options: dict[str, Any], expected: list[str]) -> None:
    assert told(write_options(options)) == expected


def test_patching() -> None:
    assert told(patch_options({}, is_apply=True)) == ["fieldManager: Required value: is required for apply patch"]
    assert told(patch_options({"force": True}, is_apply=False)) == [
        "force: Forbidden: may not be specified for non-apply patch"
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    rows(
        {
            "nothing is fine": ({}, []),
            "what depends goes in one of three ways": (
                {"propagationPolicy": "Sideways"},
                [
                    'propagationPolicy: Unsupported value: "Sideways": supported values: "Foreground", "Background", '
                    '"Orphan", "nil"'
                ],
            ),
            "what depends goes in one way": (
                {"propagationPolicy": "Orphan", "orphanDependents": True},
                [
                    'propagationPolicy: Invalid value: "Orphan": orphanDependents and deletionPropagation cannot '
                    "be both "
                    "set"
                ],
            ),
        }
    ),
)
def test_deleting(options: dict[str, Any], expected: list[str]) -> None:
    assert told(delete_options(options)) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    rows(
        {
            "no lines at all are fine": ({"tailLines": 0}, []),
            "fewer are not": (
                {"tailLines": -1},
                ["tailLines: Invalid value: -1: must be greater than or equal to 0"],
            ),
            "nothing is not a limit": ({"limitBytes": 0}, ["limitBytes: Invalid value: 0: must be greater than 0"]),
            "a beginning is given once": (
                {"sinceSeconds": 1, "sinceTime": "2026-01-01T00:00:00Z"},
                ["[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"],
            ),
            "one stream cannot be asked for": ({"stream": "Stdout"}, ["stream: Forbidden: may not be specified"]),
        }
    ),
)
def test_reading_logs(options: dict[str, Any], expected: list[str]) -> None:
    assert told(log_options(options)) == expected


def of(*resources: Any, **spec: Any) -> dict[str, Any]:
    return {"containers": [{"resources": one} for one in resources]} | spec


FULL = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    rows(
        {
            "nothing asked for is best effort": (of({}), "BestEffort"),
            "zero is nothing": (of({"requests": {"cpu": "0"}}), "BestEffort"),
            "a disk is nothing": (of({"limits": {"ephemeral-storage": "1Gi"}}), "BestEffort"),
            "all limits met by requests guarantee": (of({"limits": FULL, "requests": FULL}), "Guaranteed"),
            "one container without guarantees nothing": (of({"limits": FULL, "requests": FULL}, {}), "Burstable"),
            "less than the limit guarantees nothing": (
                of({"limits": FULL, "requests": {"cpu": "1", "memory": "1Mi"}}),
                "Burstable",
            ),
            "an init container counts": (
                of({"limits": FULL, "requests": FULL}, initContainers=[{"resources": {}}]),
                "Burstable",
            ),
            "the pod's own resources decide alone": (
                of({}, resources={"limits": FULL, "requests": FULL}),
                "Guaranteed",
            ),
        }
    ),
)
def test_the_class_of_service(spec: dict[str, Any], expected: str) -> None:
    assert qos_class(spec) == expected
