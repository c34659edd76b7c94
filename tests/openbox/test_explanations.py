"""Reasons of decisions: which rule speaks in which state, and that each has a sentence of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from podrun.lifecycle import backoff
from podrun.lifecycle.decide import decide
from podrun.lifecycle.observed import Backoff, Observed, Verdict
from podrun.lifecycle.why import Does, Fact, Rule, Why
from podrun.openbox.explanation import explain
from podrun.openbox.sentences import tell
from tests.harness import Podrun, wait_until
from tests.lifecycle.build import NOW, SANDBOX, exited, pod, running, seen, side

PROBE = {"exec": {"command": ["x"]}}
CRASHED = {backoff.key(pod(), pod().spec.containers[0]): Backoff(10.0, NOW - 20)}
FAILED = {"a0": Verdict.FAILURE}
DEAD = replace(SANDBOX, ready=False)
AGAIN = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
RULED = {"name": "a", "image": "i", "restartPolicy": "Never", "restartPolicyRules": [AGAIN]}

ROWS: list[tuple[str, Any, Observed, dict[str, Rule]]] = [
    ("a new pod", pod("a"), seen(sandbox=None), {"": Rule.NO_SANDBOX, "a": Rule.FIRST_START}),
    (
        "a new pod with an init container",
        pod("a", init=["i"]),
        seen(sandbox=None),
        {"": Rule.NO_SANDBOX, "a": Rule.WAITS_FOR_INIT, "i": Rule.FIRST_START},
    ),
    ("a pod that runs", pod("a"), seen(running("a")), {"a": Rule.RUNS}),
    (
        "a dead sandbox",
        pod("a"),
        seen(exited("a"), sandbox=DEAD),
        {"": Rule.SANDBOX_ENDED, "a": Rule.POLICY_SAYS_AGAIN},
    ),
    (
        "a dead sandbox under Never",
        pod("a", restartPolicy="Never"),
        seen(exited("a"), sandbox=DEAD),
        {"": Rule.NOT_AGAIN},
    ),
    ("an end under Always", pod("a"), seen(exited("a", 1)), {"a": Rule.POLICY_SAYS_AGAIN}),
    ("an end in back-off", pod("a"), seen(exited("a", 1), backoffs=CRASHED), {"a": Rule.IN_BACK_OFF}),
    (
        "ends under Never",
        pod("a", "b", restartPolicy="Never"),
        seen(exited("a", 1), exited("b")),
        {"": Rule.ALL_DONE, "a": Rule.FAILED_FOR_GOOD, "b": Rule.DONE},
    ),
    ("an exit code that a rule speaks of", pod(containers=[RULED]), seen(exited("a", 42)), {"a": Rule.RULE_SAYS_AGAIN}),
    (
        "an init container that runs",
        pod("a", init=["i", "j"]),
        seen(running("j"), exited("i")),
        {"a": Rule.WAITS_FOR_INIT, "j": Rule.MUST_END},
    ),
    (
        "an init container that failed",
        pod("a", init=["i"], restartPolicy="Never"),
        seen(exited("i", 3)),
        {"a": Rule.INIT_FAILED, "i": Rule.FAILED_FOR_GOOD},
    ),
    (
        "a sidecar whose startup probe has not decided",
        pod("a", init=[side("s", startupProbe=PROBE)]),
        seen(running("s")),
        {"a": Rule.WAITS_FOR_INIT, "s": Rule.STARTUP_UNDECIDED},
    ),
    (
        "a sidecar that ended",
        pod("a", init=[side("s")]),
        seen(exited("s"), running("a")),
        {"a": Rule.RUNS, "s": Rule.SIDECAR_AGAIN},
    ),
    ("a failed liveness probe", pod("a"), seen(running("a"), liveness=FAILED), {"a": Rule.LIVENESS_FAILED}),
    ("a failed startup probe", pod("a"), seen(running("a"), startup=FAILED), {"a": Rule.STARTUP_FAILED}),
    (
        "another image",
        pod(containers=[{"name": "a", "image": "new"}]),
        seen(running("a")),
        {"a": Rule.IMAGE_CHANGED},
    ),
    ("somebody who wants a restart", pod("a"), seen(running("a"), asked=frozenset({"a0"})), {"a": Rule.ASKED_FOR}),
    (
        "somebody who does not want to wait",
        pod("a"),
        seen(exited("a", 1), backoffs=CRASHED, asked=frozenset({"a0"})),
        {"a": Rule.ASKED_FOR},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("pod_", "observed", "expected"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_the_rule_that_spoke_is_named(pod_: Any, observed: Observed, expected: dict[str, Rule]) -> None:
    actions = decide(pod_, observed)
    assert {
        why.about: why.rule for why in actions.whys if why.rule is not Rule.DONE or why.about in expected
    } == expected
    for why in actions.whys:
        assert tell(why).endswith(".")


def test_an_administrator_has_a_restart_whatever_the_policy_and_the_back_off() -> None:
    never = decide(pod("a", "b", restartPolicy="Never"), seen(exited("a"), running("b"), asked=frozenset({"a0"})))
    assert [start.name for start in never.starts] == ["a"]
    waiting = decide(pod("a"), seen(exited("a", 1), backoffs=CRASHED, asked=frozenset({"a0"})))
    assert (waiting.held, [start.name for start in waiting.starts]) == ((), ["a"])
    stale = decide(pod("a"), seen(exited("a", 1, restarts=1), backoffs=CRASHED, asked=frozenset({"a0"})))
    assert [held.name for held in stale.held] == ["a"]


def test_a_pod_for_which_room_is_made_says_so() -> None:
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "m"}
    status = {"phase": "Pending", "nominatedNodeName": "n1", "conditions": [unscheduled]}
    explained = explain(
        {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {}, "status": status}, None, ()
    )
    assert explained["sentences"][2].startswith("Pods of lower priority are being ended on node n1")


def test_every_rule_has_a_sentence() -> None:
    facts: dict[str, Fact] = {"exit_code": 1, "reason": "Error", "policy": "Always", "init": "i", "sort": "container"}
    more: dict[str, Fact] = {
        "delay": 10.0,
        "until": NOW,
        "restarts": 2,
        "ended": NOW,
        "since": NOW,
        "action": "Restart",
    }
    said = {tell(Why(rule, Does.KEEP, "a", facts | more)) for rule in Rule}
    assert len(said) == len(Rule)


def _pod(name: str, *command: str, **container: Any) -> dict[str, Any]:
    made = {"name": "a", "image": "busybox:1.36", "command": list(command), **container}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [made]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


class TestOfPods:
    def test_a_crash_loop_says_since_when_and_until_when(self, podrun: Podrun) -> None:
        podrun.apply(_pod("crash", "false"))
        wait_until(lambda: "back-off is 10s" in podrun.podrun("explain-status", "crash"), 10, "no back-off")

        def explained() -> dict[str, Any]:
            made: dict[str, Any] = json.loads(podrun.podrun("explain-status", "crash", "-o", "json", "--replay"))
            return made

        def rules() -> list[str]:
            return [reason["rule"] for decision in explained()["decisions"] for reason in decision["reasons"]]

        assert explained()["decision"]["reasons"][0]["rule"] == "in-back-off"
        assert rules()[:2] == ["no-sandbox", "first-start"]
        # What is explained is asked for now; podrund itself lets an end linger for a moment before it decides.
        wait_until(lambda: rules()[-1] == "in-back-off", 5, "podrund has not decided to wait")
        assert "policy-says-again" in rules()

    def test_a_pod_that_is_not_ready_says_what_its_probe_said(self, podrun: Podrun) -> None:
        probe = {"exec": {"command": ["cat", "/nothing"]}, "periodSeconds": 1}
        podrun.apply(_pod("unready", "sleep", "1000", readinessProbe=probe))
        wait_until(lambda: "No such file" in podrun.podrun("explain-status", "unready"), 10, "no probe")
        said = podrun.podrun("explain-status", "unready")
        assert said.startswith("Pod unready is Running, but not Ready.\n")
        assert "its readiness probe (asked every 1 s) failed last" in said

    def test_a_missing_image_is_named_with_what_comes_next(self, podrun: Podrun) -> None:
        podrun.apply(_pod("lost", "true", image="nowhere:1", imagePullPolicy="Never"))
        wait_until(lambda: "ErrImageNeverPull" in podrun.podrun("explain-status", "lost"), 10, "no failure")
        assert "tried again within ten seconds" in " ".join(podrun.podrun("explain-status", "lost").split())

    def test_a_pull_that_waits_says_how_long(self, podrun: Podrun) -> None:
        podrun.apply(_pod("far", "true", image="127.0.0.1:9/none:1"))
        wait_until(lambda: "is asked for again in" in podrun.podrun("explain-status", "far"), 15, "nothing waits")
        assert "connection refused" in " ".join(podrun.podrun("explain-status", "far").split())

    def test_a_pod_without_room_says_why_it_waits(self, podrun: Podrun) -> None:
        podrun.apply(_pod("vast", "true", resources={"requests": {"memory": "900Gi"}}))
        wait_until(lambda: "Insufficient memory" in podrun.podrun("explain-status", "vast"), 10, "no reason")

    def test_a_pod_that_is_not_there(self, podrun: Podrun) -> None:
        done = podrun.run("podrun", "explain-status", "nobody", check=False)
        assert (done.returncode, done.stderr.splitlines()[0]) == (1, "podrun: there is no pod nobody in default")
