# ruff: noqa: E501 (a row of the table is one line)
"""What is done next for a pod: one row a rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from podrun.lifecycle import backoff
from podrun.lifecycle.actions import Actions, Kill, KillReason, Start
from podrun.lifecycle.decide import decide
from podrun.lifecycle.observed import Backoff, Observed, Verdict
from tests.lifecycle.build import NOW, SANDBOX, exited, pod, running, seen, side

PROBE = {"exec": {"command": ["x"]}}
DEAD = replace(SANDBOX, ready=False)


def brief(actions: Actions) -> dict[str, Any]:
    """Only what is to be done."""
    made: dict[str, Any] = {}
    if actions.kill_pod:
        made["kill pod"] = True
    if actions.create_sandbox:
        made["sandbox"] = actions.attempt
    if actions.kills:
        made["kill"] = [k.name for k in actions.kills]
    if actions.starts:
        made["start"] = [s.name for s in actions.starts]
    if actions.held:
        made["held"] = [h.name for h in actions.held]
    if actions.resets:
        made["reset"] = [r.name for r in actions.resets]
    return made


CRASHED = {backoff.key(pod(), pod().spec.containers[0]): Backoff(10.0, NOW - 20)}

ROWS: list[tuple[str, Any, Observed, dict[str, Any]]] = [
    ("a new pod gets a sandbox and all its containers", pod("a", "b"), seen(sandbox=None), {"kill pod": True, "sandbox": 0, "start": ["a", "b"]}),
    ("a new pod with init containers begins with the first", pod("a", init=["i", "j"]), seen(sandbox=None), {"kill pod": True, "sandbox": 0, "start": ["i"]}),
    ("nothing is done for a pod that runs", pod("a"), seen(running("a")), {}),
    ("a dead sandbox is made anew, and everything with it", pod("a"), seen(exited("a", 1), sandbox=DEAD), {"kill pod": True, "sandbox": 1, "start": ["a"]}),
    ("under Never a dead sandbox of a pod that ran is only cleaned up", pod("a", restartPolicy="Never"), seen(exited("a", 1), sandbox=DEAD), {"kill pod": True}),
    ("under OnFailure what succeeded does not run again in a new sandbox", pod("a", "b", restartPolicy="OnFailure"), seen(exited("a"), exited("b", 1), sandbox=DEAD), {"kill pod": True, "sandbox": 1, "start": ["b"]}),
    ("under OnFailure no sandbox is made when all have succeeded", pod("a", restartPolicy="OnFailure"), seen(exited("a"), sandbox=DEAD), {"kill pod": True}),
    ("a sandbox without an address is made anew", pod("a"), seen(sandbox=replace(SANDBOX, addresses=())), {"kill pod": True, "sandbox": 1, "start": ["a"]}),
    ("a host-network pod needs no address", pod("a", hostNetwork=True), seen(running("a"), sandbox=replace(SANDBOX, addresses=())), {}),
    ("a container that ended is started again under Always", pod("a", "b"), seen(exited("a"), running("b")), {"start": ["a"]}),
    ("under OnFailure only one that failed is", pod("a", "b", restartPolicy="OnFailure"), seen(exited("a"), exited("b", 1)), {"start": ["b"]}),
    ("under Never none is, and the pod is done", pod("a", restartPolicy="Never"), seen(exited("a", 1)), {"kill pod": True}),
    ("the first restart is immediate", pod("a"), seen(exited("a", 1, ago=0)), {"start": ["a"]}),
    ("the second waits from the end of the attempt", pod("a"), seen(exited("a", 1, ago=5), backoffs=CRASHED), {"held": ["a"]}),
    ("and starts when the time has come", pod("a"), seen(exited("a", 1, ago=10), backoffs=CRASHED), {"start": ["a"]}),
    ("the next init container starts when the one before has ended with 0", pod("a", init=["i", "j"]), seen(exited("i")), {"start": ["j"]}),
    ("an init container that runs keeps everything waiting", pod("a", init=["i", "j"]), seen(running("i")), {}),
    ("the regular containers start after the last init container", pod("a", "b", init=["i"]), seen(exited("i")), {"start": ["a", "b"]}),
    ("an init container that fails runs again under Always", pod("a", init=["i"]), seen(exited("i", 4)), {"start": ["i"]}),
    ("and ends the pod under Never", pod("a", init=["i"], restartPolicy="Never"), seen(exited("i", 4)), {"kill pod": True}),
    ("an init container killed for memory has failed though it says 0", pod("a", init=["i"]), seen(exited("i", 0, reason="OOMKilled")), {"start": ["i"]}),
    ("finished init containers do not run again though their traces are gone", pod("a", init=["i"]), seen(running("a")), {}),
    ("a sidecar that runs lets the next one start", pod("a", init=[side("s"), "i"]), seen(running("s")), {"start": ["i"]}),
    ("a sidecar with a startup probe holds the next until it has passed", pod("a", init=[side("s", startupProbe=PROBE)]), seen(running("s"), startup={"s0": Verdict.UNKNOWN}), {}),
    ("and lets it start then", pod("a", init=[side("s", startupProbe=PROBE)]), seen(running("s"), startup={"s0": Verdict.SUCCESS}), {"start": ["a"]}),
    ("a sidecar restarts though the pod's policy is Never", pod("a", init=[side("s")], restartPolicy="Never"), seen(exited("s", 2), running("a")), {"start": ["s"]}),
    ("a sidecar does not keep a pod alive whose containers are done", pod("a", init=[side("s")], restartPolicy="Never"), seen(running("s"), exited("a")), {"kill pod": True}),
    ("nor does one that would have to be restarted", pod("a", init=[side("s")], restartPolicy="Never"), seen(exited("s", 1), exited("a")), {"start": ["s"]}),
    ("a sidecar whose startup probe failed is killed and started", pod("a", init=[side("s", startupProbe=PROBE)]), seen(running("s"), startup={"s0": Verdict.FAILURE}), {"kill": ["s"], "start": ["s"]}),
    ("a sidecar whose liveness probe failed too", pod("a", init=[side("s", livenessProbe=PROBE)]), seen(running("s"), running("a"), liveness={"s0": Verdict.FAILURE}), {"kill": ["s"], "start": ["s"]}),
    ("a container whose liveness probe failed is killed and started", pod("a"), seen(running("a"), liveness={"a0": Verdict.FAILURE}), {"kill": ["a"], "start": ["a"]}),
    ("but only killed under Never", pod("a", restartPolicy="Never"), seen(running("a"), liveness={"a0": Verdict.FAILURE}), {"kill pod": True, "kill": ["a"]}),
    ("a container's own policy wins over the pod's", pod(restartPolicy="Never", containers=[{"name": "a", "image": "i", "restartPolicy": "Always"}]), seen(running("a"), liveness={"a0": Verdict.FAILURE}), {"kill": ["a"], "start": ["a"]}),
    ("a changed image restarts that container only, even under Never", pod(containers=[{"name": "a", "image": "new"}, {"name": "b", "image": "i"}], restartPolicy="Never"), seen(running("a"), running("b")), {"kill": ["a"], "start": ["a"]}),
    ("an ephemeral container is started beside what runs", pod("a", ephemeralContainers=[{"name": "e", "image": "i"}]), seen(running("a")), {"start": ["e"]}),
    ("and never again", pod("a", ephemeralContainers=[{"name": "e", "image": "i"}]), seen(exited("e", 1), running("a")), {}),
    ("a pod that is being deleted starts nothing", pod("a", meta={"deletionTimestamp": "2026-01-01T00:00:00Z"}), seen(exited("a", 1)), {"kill pod": True}),
]  # fmt: skip


@pytest.mark.parametrize(("pod_", "observed", "expected"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_next(pod_: Any, observed: Observed, expected: dict[str, Any]) -> None:
    actions = decide(pod_, observed)
    assert brief(actions) == expected
    assert decide(pod_, observed) == actions, "the decision is the same when repeated"


def test_a_held_container_says_until_when_in_the_kubelets_words() -> None:
    held = decide(pod("a"), seen(exited("a", 1, ago=4), backoffs=CRASHED)).held[0]
    assert held.message == "back-off 10s restarting failed container=a pod=p_n(u)"
    assert held.until == NOW + 6


def test_kills_say_whether_a_restart_follows() -> None:
    never = decide(pod("a", restartPolicy="Never"), seen(running("a"), liveness={"a0": Verdict.FAILURE}))
    assert never.kills == (Kill("a0", "a", "Container a failed liveness probe", KillReason.LIVENESS_PROBE),)
    always = decide(pod("a"), seen(running("a"), liveness={"a0": Verdict.FAILURE}))
    assert always.kills[0].message == "Container a failed liveness probe, will be restarted"
    assert always.starts == (Start("a", "container"),)


def test_a_restart_of_all_removes_every_attempt_and_who_asked_last() -> None:
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
    boss = {"name": "boss", "image": "i", "restartPolicy": "Never", "restartPolicyRules": [rule]}
    asked = pod(containers=[boss, {"name": "w", "image": "i"}], init=["i"])
    actions = decide(asked, seen(exited("boss", 42), running("w"), exited("i")), restarting_all=True)
    assert [(r.name, r.kill) for r in actions.resets] == [("w", True), ("i", False), ("boss", False)]
    assert not actions.starts


def test_the_delay_doubles_to_its_limit_and_is_forgotten_after_ten_good_minutes() -> None:
    entry, delays = None, []
    for _ in range(7):
        entry = backoff.grown(entry, NOW, NOW, backoff.CRASH_LOOP)
        delays.append(entry.delay)
    assert delays == [10, 20, 40, 80, 160, 300, 300]
    assert backoff.waits_until(entry, NOW + 600, backoff.CRASH_LOOP) == NOW + 900
    assert backoff.waits_until(entry, NOW + 601, backoff.CRASH_LOOP) is None
    assert backoff.grown(entry, NOW + 601, NOW + 601, backoff.CRASH_LOOP).delay == 10


def test_a_new_image_or_new_resources_begin_a_new_backoff() -> None:
    def key(**container: Any) -> str:
        made = pod(containers=[{"name": "a", "image": "i", **container}])
        return backoff.key(made, made.spec.containers[0])

    assert len({key(), key(image="j"), key(resources={"limits": {"cpu": "1"}})}) == 3


@pytest.mark.parametrize(
    ("seconds", "text"), [(10, "10s"), (80, "1m20s"), (300, "5m0s"), (3600, "1h0m0s"), (0.5, "500ms"), (1.5, "1.5s")]
)
def test_durations_read_as_gos(seconds: float, text: str) -> None:
    assert backoff.duration(seconds) == text
