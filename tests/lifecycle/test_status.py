# ruff: noqa: E501 (a row of a table is one line)
"""Phases, conditions and container statuses: one row a rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from podrun.lifecycle import status as statuses
from podrun.lifecycle.observed import ContainerSeen, ContainerState, Node, Observed, StartFailure, Verdict
from podrun.lifecycle.status import Ending
from tests.lifecycle.build import NOW, SANDBOX, exited, pod, running, seen, side

PROBE = {"exec": {"command": ["x"]}}

PHASES: list[tuple[str, Any, Observed, str]] = [
    ("a pod without a sandbox is Pending", pod("a"), seen(sandbox=None), "Pending"),
    ("a pod whose container runs is Running", pod("a"), seen(running("a")), "Running"),
    ("while one container has not been created it is Pending", pod("a", "b"), seen(running("a")), "Pending"),
    ("while an init container runs it is Pending", pod("a", init=["i"]), seen(running("i")), "Pending"),
    ("one container that ended does not end the pod while another runs", pod("a", "b", restartPolicy="Never"), seen(exited("a"), running("b")), "Running"),
    ("all ended with 0 under Never: Succeeded", pod("a", "b", restartPolicy="Never"), seen(exited("a"), exited("b")), "Succeeded"),
    ("one not with 0 under Never: Failed", pod("a", "b", restartPolicy="Never"), seen(exited("a"), exited("b", 7)), "Failed"),
    ("what will be restarted keeps the pod Running", pod("a", restartPolicy="OnFailure"), seen(exited("a", 1)), "Running"),
    ("under Always nothing ends by itself", pod("a"), seen(exited("a")), "Running"),
    ("a failed init container under Never fails the pod", pod("a", init=["i"], restartPolicy="Never"), seen(exited("i", 1)), "Failed"),
    ("under Always it keeps the pod Pending", pod("a", init=["i"]), seen(exited("i", 1)), "Pending"),
    ("a sidecar that runs does not keep a pod from having succeeded", pod("a", init=[side("s")], restartPolicy="Never"), seen(running("s"), exited("a")), "Running"),
    ("an ended sidecar does not count", pod("a", init=[side("s")], restartPolicy="Never"), seen(exited("s", 9), exited("a")), "Succeeded"),
    ("a sidecar that has not started keeps the pod Pending", pod("a", init=[side("s", startupProbe=PROBE)]), seen(running("s")), "Pending"),
]  # fmt: skip


@pytest.mark.parametrize(("pod_", "observed", "expected"), [pytest.param(*row[1:], id=row[0]) for row in PHASES])
def test_phase(pod_: Any, observed: Observed, expected: str) -> None:
    assert statuses.generate(pod_, observed, {})["phase"] == expected


def conditions(status: Any) -> dict[str, str]:
    return {
        c["type"]: " ".join(x for x in (c["status"], c.get("reason"), c.get("message")) if x)
        for c in status["conditions"]
    }


def test_a_new_pod_without_init_containers_is_initialized_before_its_sandbox() -> None:
    unready = "False ContainersNotReady containers with unready status: [a b]"
    assert conditions(statuses.generate(pod("a", "b"), seen(sandbox=None), {})) == {
        "PodReadyToStartContainers": "False",
        "Initialized": "True",
        "Ready": unready,
        "ContainersReady": unready,
        "PodScheduled": "True",
    }


def test_init_containers_and_sidecars_are_named_while_incomplete() -> None:
    made = conditions(statuses.generate(pod("a", init=["i", side("s")]), seen(exited("i")), {}))
    assert made["Initialized"] == "False ContainersNotInitialized containers with incomplete status: [s]"
    assert made["Ready"] == "False ContainersNotReady containers with unready status: [s a]"


def test_a_pod_once_initialized_stays_so_though_a_sidecar_restarts() -> None:
    two = pod("a", init=[side("s")])
    made = statuses.generate(two, seen(running("s"), running("a")), {})
    assert conditions(statuses.generate(two, seen(exited("s", 1), running("a")), made))["Initialized"] == "True"


def test_a_readiness_gate_is_part_of_ready() -> None:
    gated = pod("a", readinessGates=[{"conditionType": "x/y"}])
    made = conditions(statuses.generate(gated, seen(running("a")), {}))
    assert made["ContainersReady"] == "True"
    assert made["Ready"] == (
        'False ReadinessGatesNotReady corresponding condition of pod readiness gate "x/y" does not exist.'
    )
    before = {"conditions": [{"type": "x/y", "status": "True"}]}
    assert conditions(statuses.generate(gated, seen(running("a")), before))["Ready"] == "True"


def test_what_others_wrote_is_kept_in_front() -> None:
    before = {"conditions": [{"type": "x/y", "status": "True"}]}
    assert statuses.generate(pod("a"), seen(running("a")), before)["conditions"][0] == before["conditions"][0]


def test_an_ending_fails_the_pod_but_the_phase_waits_until_all_has_ended() -> None:
    made = statuses.generate(pod("a"), seen(running("a")), {}, ending=Ending("DeadlineExceeded", "too long"))
    assert (made["phase"], made["reason"], conditions(made)["Ready"]) == (
        "Failed",
        "DeadlineExceeded",
        "False PodFailed",
    )
    old = {"phase": "Running"}
    held = statuses.written(pod("a"), made, old, now=NOW, may_run=True)
    assert held["phase"] == "Running"
    assert "reason" not in held
    assert statuses.written(pod("a"), made, old, now=NOW, may_run=False)["reason"] == "DeadlineExceeded"


def test_times_of_conditions_change_with_their_status_only() -> None:
    old = statuses.written(pod("a"), statuses.generate(pod("a"), seen(sandbox=None), {}), {}, now=NOW, may_run=True)
    new = statuses.written(
        pod("a"), statuses.generate(pod("a"), seen(running("a")), old), old, now=NOW + 60, may_run=True
    )
    times = {c["type"]: c["lastTransitionTime"] for c in new["conditions"]}
    assert times["Initialized"] < times["Ready"]
    assert new["startTime"] == old["startTime"]


def test_no_terminal_phase_with_ready_true() -> None:
    made = statuses.generate(pod("a"), seen(running("a")), {})
    done = statuses.written(pod("a"), {**made, "phase": "Failed"}, {}, now=NOW, may_run=False)
    assert conditions(done)["Ready"] == "False PodFailed"


STATES: list[tuple[str, Any, Observed, Any]] = [
    ("before it exists a container is being created", pod("a"), seen(), {"waiting": {"reason": "ContainerCreating"}}),
    ("or waits for initialization where there are init containers", pod("a", init=["i"]), seen(), {"waiting": {"reason": "PodInitializing"}}),
    ("what could not be started says why", pod("a"), seen(failures={"a": StartFailure("ErrImagePull", "no")}), {"waiting": {"reason": "ErrImagePull", "message": "no"}}),
    ("what ended and waits for a restart too", pod("a"), seen(exited("a", 1), failures={"a": StartFailure("CrashLoopBackOff", "m")}), {"waiting": {"reason": "CrashLoopBackOff", "message": "m"}}),
    ("but not what is never restarted", pod("a", restartPolicy="Never"), seen(exited("a", 1), failures={"a": StartFailure("PostStartHookError", "m")}), {"terminated": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("pod_", "observed", "expected"), [pytest.param(*row[1:], id=row[0]) for row in STATES])
def test_state(pod_: Any, observed: Observed, expected: Any) -> None:
    state = statuses.generate(pod_, observed, {})["containerStatuses"][0]["state"]
    assert {k: v["exitCode"] if k == "terminated" else v for k, v in state.items()} == expected


def one(observed: Observed, before: Any = None, pod_: Any = None) -> dict[str, Any]:
    made: dict[str, Any] = statuses.generate(pod_ or pod("a"), observed, before or {})["containerStatuses"][0]
    return made


def test_the_attempt_before_gives_the_last_state() -> None:
    status = one(seen(running("a", restarts=1), exited("a", 3)))
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert status["restartCount"] == 1


def test_the_last_state_outlives_the_attempt_in_the_runtime() -> None:
    first = statuses.generate(pod("a"), seen(exited("a", 3)), {})
    status = one(seen(running("a", restarts=1)), first)
    assert status["lastState"]["terminated"]["exitCode"] == 3


def test_a_container_whose_end_nobody_saw_is_unknown_and_counts_a_restart() -> None:
    first = statuses.generate(pod("a"), seen(running("a")), {})
    status = one(seen(), first)
    assert status["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert (status["restartCount"], status["lastState"]["terminated"]["exitCode"]) == (1, 137)
    assert statuses.generate(pod("a"), seen(), first)["phase"] == "Running"


def test_started_waits_for_the_startup_probe_and_is_kept_for_what_ran_before() -> None:
    probed = pod(containers=[{"name": "a", "image": "i", "startupProbe": PROBE}])
    assert one(seen(running("a")), pod_=probed)["started"] is False
    assert one(seen(running("a"), startup={"a0": Verdict.SUCCESS}), pod_=probed)["started"] is True
    before = {"containerStatuses": [{"name": "a", "state": {"running": {}}, "started": True, "restartCount": 0}]}
    assert one(seen(running("a")), before, probed)["started"] is True


def test_ready_waits_for_the_readiness_probe() -> None:
    probed = pod(containers=[{"name": "a", "image": "i", "readinessProbe": PROBE}])
    assert one(seen(running("a")), pod_=probed)["ready"] is False
    assert one(seen(running("a"), readiness={"a0": Verdict.SUCCESS}), pod_=probed)["ready"] is True


def test_read_only_mounts_say_how_deep() -> None:
    mounts = [
        {"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": "IfPossible"},
        {"name": "w", "mountPath": "/w"},
    ]
    mounted = pod(containers=[{"name": "a", "image": "i", "volumeMounts": mounts}])
    deep = replace(seen(), node=Node(recursive_read_only=True))
    assert one(deep, pod_=mounted)["volumeMounts"] == [
        {"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": "Enabled"},
        {"name": "w", "mountPath": "/w"},
    ]
    assert one(seen(), pod_=mounted)["volumeMounts"][0]["recursiveReadOnly"] == "Disabled"


def test_regular_containers_are_listed_by_name_and_init_ones_in_order() -> None:
    made = statuses.generate(pod("b", "a", init=["z", "y"]), seen(), {})
    assert [s["name"] for s in made["containerStatuses"]] == ["a", "b"]
    assert [s["name"] for s in made["initContainerStatuses"]] == ["z", "y"]


def test_the_address_stays_published_when_the_sandbox_has_gone() -> None:
    first = statuses.generate(pod("a"), seen(running("a")), {})
    gone = statuses.generate(pod("a"), seen(exited("a"), sandbox=replace(SANDBOX, ready=False)), first)
    assert first["podIP"] == gone["podIP"] == "10.244.0.2"


def test_termination_messages_share_twelve_kibibytes() -> None:
    ended = ContainerSeen(
        "x", "a", "s0", ContainerState.EXITED, 0, NOW, NOW, NOW, 1, reason="Error", message="m" * 9000, spec_image="i"
    )
    two = pod("a", "b")
    made = statuses.written(two, statuses.generate(two, seen(ended), {}), {}, now=NOW, may_run=True)
    assert len(made["containerStatuses"][0]["state"]["terminated"]["message"]) == 6144


def test_a_pod_that_was_never_begun_ends_with_its_container_lost() -> None:
    made = statuses.finished(pod("a"), statuses.generate(pod("a"), seen(sandbox=None), {}))
    assert made["phase"] == "Failed"
    assert made["containerStatuses"][0]["state"]["terminated"]["reason"] == "ContainerStatusUnknown"


def test_one_that_was_not_initialized_leaves_its_containers_waiting() -> None:
    two = pod("a", init=["i", "j"], restartPolicy="Never")
    made = statuses.finished(two, statuses.generate(two, seen(exited("i", 1)), {}))
    assert "waiting" in made["containerStatuses"][0]["state"]
    assert ["terminated" in s["state"] for s in made["initContainerStatuses"]] == [True, False]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param("Strict", {"linux": {"uid": 1, "gid": 2, "supplementalGroups": [2, 3]}}, id="a policy: who it is"),
        pytest.param(None, None, id="no policy: nothing is said"),
    ],
)
def test_the_user_of_a_container(policy: str | None, expected: Any) -> None:
    context = {"supplementalGroupsPolicy": policy} if policy else {}
    observed = seen(replace(running("a"), user=(1, 2, (2, 3))))
    (status,) = statuses.generate(pod("a", securityContext=context), observed, {})["containerStatuses"]
    assert status.get("user") == expected
