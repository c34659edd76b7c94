# ruff: noqa: E501 (a row of a table is one line)
"""Short memory and disk: thresholds, conditions, who goes and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.api.pod import Pod
from podrun.lifecycle import pressure, victims
from podrun.lifecycle.pressure import DISK, MEMORY, Known, Observation, Threshold, look, thresholds
from podrun.lifecycle.victims import Candidate, ContainerUse, Use
from tests.lifecycle.build import pod

GB, MB = 10**9, 1 << 20
DEFAULTS = thresholds(pressure.HARD_DEFAULTS)
ENOUGH = {
    "memory.available": Observation(4 * GB, 8 * GB),
    "nodefs.available": Observation(50 * GB, 100 * GB),
    "nodefs.inodesFree": Observation(900, 1000),
    "imagefs.available": Observation(50 * GB, 100 * GB),
    "imagefs.inodesFree": Observation(900, 1000),
}

ROWS: list[tuple[str, dict[str, Observation], list[str], set[str]]] = [
    ("enough of everything", {}, [], set()),
    ("exactly the threshold is enough", {"memory.available": Observation(100 * MB, 8 * GB)}, [], set()),
    ("less than 100Mi of memory", {"memory.available": Observation(100 * MB - 1, 8 * GB)}, ["memory.available"], {MEMORY}),
    ("less than a tenth of the disk", {"nodefs.available": Observation(9 * GB, 100 * GB)}, ["nodefs.available"], {DISK}),
    ("less than 15 % for images", {"imagefs.available": Observation(14 * GB, 100 * GB)}, ["imagefs.available"], {DISK}),
    ("few inodes", {"nodefs.inodesFree": Observation(49, 1000)}, ["nodefs.inodesFree"], {DISK}),
    ("memory goes before the disk", {"nodefs.available": Observation(0, 100), "memory.available": Observation(0, 8 * GB)}, ["memory.available", "nodefs.available"], {MEMORY, DISK}),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "due", "conditions"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_what_is_met(changed: dict[str, Observation], due: list[str], conditions: set[str]) -> None:
    known, met = look(Known(), DEFAULTS, ENOUGH | changed, 0.0)
    assert ([one.signal for one in met], set(known.conditions)) == (due, conditions)


def test_a_condition_stays_for_five_minutes_though_nothing_is_reclaimed_any_more() -> None:
    known, _ = look(Known(), DEFAULTS, ENOUGH | {"memory.available": Observation(0, 8 * GB)}, 0.0)
    known, met = look(known, DEFAULTS, ENOUGH, 299.0)
    assert (set(known.conditions), met) == ({MEMORY}, ())
    known, _ = look(known, DEFAULTS, ENOUGH, 300.0)
    assert known.conditions == frozenset()


def test_a_soft_threshold_has_a_grace_that_begins_anew() -> None:
    soft = thresholds({}, {"memory.available": "1Gi"}, {"memory.available": 60.0})
    low = {"memory.available": Observation(MB, 8 * GB)}
    known, met = look(Known(), soft, low, 0.0)
    assert (set(known.conditions), met) == ({MEMORY}, ()), "the node says so at once"
    known, _ = look(known, soft, ENOUGH, 30.0)
    known, met = look(known, soft, low, 50.0)
    assert met == ()
    known, met = look(known, soft, low, 110.0)
    assert met == soft


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ({"nodefs.available": "0%"}, ()),
        ({"memory.available": "100%"}, ()),
        ({"memory.available": "5%"}, (Threshold("memory.available", share=0.05),)),
        ({"pid.available": "10"}, (Threshold("pid.available", 10),)),
    ],
)
def test_thresholds_are_written_as_the_kubelets(text: dict[str, str], expected: tuple[Threshold, ...]) -> None:
    assert thresholds(text) == expected


@pytest.mark.parametrize(
    ("hard", "soft", "why"),
    [
        ({"disk": "1"}, {}, "unsupported eviction signal disk"),
        ({"memory.available": "0"}, {}, "eviction threshold memory.available must be positive: 0"),
        ({"memory.available": "101%"}, {}, "eviction percentage threshold memory.available must be <= 100%: 101%"),
        ({}, {"memory.available": "1Gi"}, "grace period must be specified for the soft eviction threshold memory.available"),
    ],
)  # fmt: skip
def test_wrong_thresholds(hard: dict[str, str], soft: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        thresholds(hard, soft)


@pytest.mark.parametrize(
    ("conditions", "critical", "best_effort", "tolerates", "rejected"),
    [
        (set(), False, True, False, False),
        ({MEMORY}, False, True, False, True),
        ({MEMORY}, False, True, True, False),
        ({MEMORY}, False, False, False, False),
        ({DISK}, False, False, True, True),
        ({MEMORY, DISK}, False, False, True, True),
        ({DISK}, True, False, False, False),
    ],
)
def test_who_is_not_admitted(
    conditions: set[str], critical: bool, best_effort: bool, tolerates: bool, rejected: bool
) -> None:
    said = pressure.rejects(
        frozenset(conditions), critical=critical, best_effort=best_effort, tolerates_memory=tolerates
    )
    assert said is rejected


# Who goes


def asking(name: str, request: str = "", priority: int = 0, **use: Any) -> Candidate:
    requests = {"memory": request} if request else {}
    made: Pod = pod(
        containers=[{"name": "a", "image": "i", "resources": {"requests": requests}}],
        meta={"name": name},
        priority=priority,
    )
    return Candidate(made, Use(**use) if use else None)


def order(signal: str, *candidates: Candidate) -> list[str]:
    return [one.pod.metadata.name for one in victims.ranked(signal, candidates)]


def test_who_goes_first_for_memory() -> None:
    within = asking("within", "1Gi", memory=500 * MB)
    beyond = asking("beyond", "100Mi", memory=150 * MB)
    important = asking("important", "100Mi", 1000, memory=900 * MB)
    hungry = asking("hungry", memory=400 * MB)
    unknown = asking("unknown")
    assert order("memory.available", within, important, beyond, hungry, unknown) == [
        "unknown", "hungry", "beyond", "important", "within",
    ]  # fmt: skip


def test_who_goes_first_for_the_disk_and_for_processes() -> None:
    full, small = asking("full", disk=9 * GB, processes=1), asking("small", disk=GB, processes=50)
    assert order("nodefs.available", small, full) == ["full", "small"]
    assert order("pid.available", full, small) == ["small", "full"]


def test_the_words_of_an_eviction() -> None:
    use = Use(memory=60 * MB, containers={"a": ContainerUse(memory=60 * MB), "b": ContainerUse(memory=MB)})
    two = pod(
        containers=[
            {"name": "a", "image": "i"},
            {"name": "b", "image": "i", "resources": {"requests": {"memory": "2Mi"}}},
        ]
    )
    low = {"memory.available": Observation(90 * MB + 4096, 8 * GB)}
    _, met = look(Known(), DEFAULTS, low, 0.0)
    text, annotations = victims.message("memory.available", Candidate(two, use), met, low)
    assert text == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 92164Ki. "
        "Container a was using 60Mi, request is 0, has larger consumption of memory. "
    )
    assert annotations == {
        "offending_containers": "a",
        "offending_containers_usage": "60Mi",
        "starved_resource": "memory",
    }


def test_the_words_of_an_eviction_for_inodes_and_of_one_whose_use_is_not_known() -> None:
    low = {"nodefs.inodesFree": Observation(3, 1000)}
    _, met = look(Known(), DEFAULTS, low, 0.0)
    text, annotations = victims.message("nodefs.inodesFree", Candidate(pod("a"), None), met, low)
    assert text == "The node was low on resource: inodes. Threshold quantity: 50, available: 3. "
    assert annotations == {}
