# ruff: noqa: E501 (a row of a table is one line)
"""Whose room a pod of higher priority takes: one row a rule."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.api.pod import Pod
from podrun.controllers.filters import Misfit, misfit
from podrun.controllers.preemption import Placed, preempt
from podrun.lifecycle.fitting import NodeView

NODE = NodeView("node1", allocatable={"cpu": "4", "pods": "110"})


def pod(name: str, cpu: str, priority: int | None = 0, **spec: Any) -> Pod:
    containers = [{"name": "a", "resources": {"requests": {"cpu": cpu}}}]
    return Pod.of(
        {
            "metadata": {"name": name, "namespace": "n", "uid": name},
            "spec": {"containers": containers, "priority": priority, **spec},
        }
    )


def placed(name: str, cpu: str, priority: int = 0, *, since: float = 0.0, preempted: bool = False) -> Placed:
    return Placed(pod(name, cpu, priority), since, preempted)


NOT_HELPFUL = "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
NO_VICTIMS = "0/1 nodes are available: 1 No preemption victims found for incoming pod."
WAITS = "not eligible due to a terminating pod on the nominated node."
ROWS: list[tuple[str, Pod, list[Placed], bool, list[str], str]] = [
    ("the only one below goes", pod("p", "2", 9), [placed("a", "3")], False, ["a"], ""),
    ("of two below the less important goes", pod("p", "2", 9), [placed("a", "2", 1), placed("b", "2", 2)], False, ["a"], ""),
    ("of equals the one that began last goes", pod("p", "2", 9), [placed("old", "2", since=1), placed("new", "2", since=2)], False, ["new"], ""),
    ("no more go than have to", pod("p", "1", 9), [placed("a", "1", 1), placed("b", "1", 2), placed("c", "2", 3)], False, ["a"], ""),
    ("several go where one is not enough", pod("p", "3", 9), [placed("a", "1", 3), placed("b", "1", 2), placed("c", "1", 1), placed("d", "1", 0)], False, ["b", "c", "d"], ""),
    ("equals are safe", pod("p", "2", 9), [placed("a", "3", 9)], False, [], NO_VICTIMS),
    ("nobody goes where it would not be enough", pod("p", "3", 9), [placed("a", "2", 9), placed("b", "2", 0)], False, [], "0/1 nodes are available: 1 Insufficient cpu."),
    ("nor for a pod that the node could never hold", pod("p", "9", 9), [placed("a", "2")], False, [], NOT_HELPFUL),
    ("nor for one that is told never to", pod("p", "2", 9, preemptionPolicy="Never"), [placed("a", "3")], False, [], "not eligible due to preemptionPolicy=Never."),
    ("while one ends for it nobody else goes", pod("p", "2", 9), [placed("a", "2", preempted=True), placed("b", "2")], True, [], WAITS),
    ("unless the node is no longer for it at all", pod("p", "9", 9), [placed("a", "2", preempted=True)], True, [], NOT_HELPFUL),
]  # fmt: skip


@pytest.mark.parametrize(("new", "there", "nominated", "victims", "why"), [pytest.param(*r[1:], id=r[0]) for r in ROWS])
def test_victims(new: Pod, there: list[Placed], nominated: bool, victims: list[str], why: str) -> None:
    found = misfit(new, NODE, [one.pod for one in there])
    assert found is not None
    made = preempt(new, NODE, there, found, nominated=nominated)
    assert ([v.metadata.name for v in made.victims], made.why) == (victims, why)


def test_what_no_room_would_help_ends_nobody() -> None:
    made = preempt(pod("p", "1", 9), NODE, [placed("a", "1")], Misfit(("x",), True), nominated=False)
    assert (made.victims, made.why) == ((), NOT_HELPFUL)
