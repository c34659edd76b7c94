# ruff: noqa: E501 (a row of a table is one line)
"""Whose room a critical pod takes: one row a rule."""

from __future__ import annotations

import pytest

from podrun.api.pod import Pod
from podrun.lifecycle import fitting
from podrun.lifecycle.critical import NotEnough, to_preempt
from podrun.lifecycle.victims import SYSTEM_CRITICAL
from tests.lifecycle.build import pod

NODE = {"cpu": "4", "memory": "4Gi", "pods": "4"}


def sized(name: str, cpu: str = "", memory: str = "", priority: int = 0, *, guaranteed: bool = False) -> Pod:
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    resources = {"requests": requests, **({"limits": requests} if guaranteed else {})}
    return pod(
        containers=[{"name": "a", "image": "i", "resources": resources}],
        meta={"name": name, "uid": name},
        priority=priority,
    )


CRITICAL = sized("new", "2", "1Gi", SYSTEM_CRITICAL)
ROWS: list[tuple[str, Pod, list[Pod], list[str]]] = [
    ("a burstable one rather than a guaranteed one", CRITICAL, [sized("g", "2", "1Gi", guaranteed=True), sized("b", "2")], ["b"]),
    ("the one that is just enough rather than a larger one", CRITICAL, [sized("large", "2", "2Gi"), sized("enough", "2", "1Gi")], ["enough"]),
    ("one that is enough rather than two", CRITICAL, [sized("x", "1"), sized("y", "1"), sized("z", "2")], ["z"]),
    ("a guaranteed one where nothing else is left", CRITICAL, [sized("g", "3", "1Gi", guaranteed=True)], ["g"]),
    ("best-effort ones where the node is full of pods", sized("new", "", "", SYSTEM_CRITICAL), [sized(name) for name in "abcd"], ["a"]),
    ("but one that is less so", sized("new", "2", "1Gi", SYSTEM_CRITICAL + 1000), [sized("c", "3", "1Gi", SYSTEM_CRITICAL)], ["c"]),
]  # fmt: skip


@pytest.mark.parametrize(("new", "others", "expected"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_who_goes(new: Pod, others: list[Pod], expected: list[str]) -> None:
    found = to_preempt(new, others, fitting.lacks(new, others, NODE))
    assert [one.metadata.name for one in found] == expected


@pytest.mark.parametrize(
    ("new", "other", "left"),
    [
        pytest.param(CRITICAL, sized("c", "3", "1Gi", SYSTEM_CRITICAL), 1000, id="another as critical stays"),
        pytest.param(sized("n", "9", "", SYSTEM_CRITICAL), sized("b", "3"), 5000, id="nobody's end would be enough"),
    ],
)
def test_nobody_goes(new: Pod, other: Pod, left: int) -> None:
    with pytest.raises(
        NotEnough, match=f"no set of running pods found to reclaim resources: .{{1}}.res: cpu, q: {left}.,"
    ):
        to_preempt(new, [other], fitting.lacks(new, [other], NODE))
