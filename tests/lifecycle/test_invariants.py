"""Random lives of random pods: whatever happens, some things never do.

A small machine carries decisions out, containers end when hypothesis says so, and time passes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podrun.api.pod import Pod
from podrun.lifecycle import restart, termination
from podrun.lifecycle import status as statuses
from podrun.lifecycle.actions import Actions
from podrun.lifecycle.decide import decide
from podrun.lifecycle.observed import (
    Backoff,
    ContainerSeen,
    ContainerState,
    Observed,
    SandboxSeen,
    StartFailure,
    Verdict,
    Verdicts,
)
from podrun.lifecycle.phase import TERMINAL
from tests.lifecycle.build import NOW, pod

EXAMPLES = int(os.environ.get("PODRUN_HISTORIES", "300"))
"""How many histories are played; the full suite sets 2000."""

PROBE = {"exec": {"command": ["x"]}}
POLICIES = st.sampled_from(["Always", "OnFailure", "Never"])


@st.composite
def pods(draw: st.DrawFn) -> Pod:
    def container(name: str) -> dict[str, Any]:
        made: dict[str, Any] = {"name": name, "image": "i"}
        if draw(st.booleans()):
            made["livenessProbe"] = PROBE
        if draw(st.integers(0, 4)) == 0:
            made["restartPolicy"] = draw(POLICIES)
            action = draw(st.sampled_from(["Restart", "RestartAllContainers"]))
            rule = {"action": action, "exitCodes": {"operator": "In", "values": [42]}}
            made["restartPolicyRules"] = draw(st.sampled_from([[], [rule]]))
        return made

    init = []
    for index in range(draw(st.integers(0, 3))):
        if draw(st.booleans()):
            more = {"startupProbe": PROBE} if draw(st.booleans()) else {}
            init.append({"name": f"i{index}", "image": "i", "restartPolicy": "Always", **more})
        else:
            init.append({"name": f"i{index}", "image": "i"})
    containers = [container(f"c{index}") for index in range(draw(st.integers(1, 3)))]
    return pod(containers=containers, init=init, restartPolicy=draw(POLICIES))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("exit"), st.integers(0, 5), st.sampled_from([0, 1, 42, 137])),
        st.tuples(st.just("wait"), st.floats(0, 400), st.just(0)),
        st.tuples(st.just("startup"), st.integers(0, 5), st.booleans()),
        st.tuples(st.just("liveness"), st.integers(0, 5), st.booleans()),
        st.tuples(st.just("lose sandbox"), st.just(0), st.just(0)),
        st.tuples(st.just("fail to start"), st.integers(0, 5), st.just(0)),
    ),
    max_size=25,
)


@dataclass
class Machine:
    """A runtime that does at once what it is told, and the kubelet's memory beside it."""

    pod: Pod
    now: float = NOW
    sandbox: SandboxSeen | None = None
    containers: list[ContainerSeen] = field(default_factory=list)
    verdicts: dict[str, dict[str, Verdict]] = field(default_factory=lambda: {"startup": {}, "liveness": {}})
    failures: dict[str, StartFailure] = field(default_factory=dict)
    backoffs: dict[str, Backoff] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    log: list[tuple[str, str]] = field(default_factory=list)
    done: bool = False

    def observe(self) -> Observed:
        return Observed(
            self.now,
            (self.sandbox,) if self.sandbox is not None else (),
            tuple(reversed(self.containers)),
            Verdicts(self.verdicts["liveness"], {}, self.verdicts["startup"]),
            dict(self.failures),
            dict(self.backoffs),
        )

    def running(self) -> list[ContainerSeen]:
        return [c for c in self.containers if c.state is ContainerState.RUNNING]

    def end(self, seen: ContainerSeen, code: int) -> None:
        at = self.containers.index(seen)
        self.containers[at] = replace(
            seen,
            state=ContainerState.EXITED,
            exit_code=code,
            finished_at=self.now,
            reason="Error" if code else "Completed",
        )
        self.log.append(("end", seen.name))

    def settle(self) -> None:
        """Sync until nothing is to be done now."""
        for _ in range(60):
            observed = self.observe()
            before = self.status
            self.status = statuses.generate(self.pod, observed, before)
            check_status(before, self.status)
            if self.status["phase"] in TERMINAL:
                self.finish()
                return
            restarting = any(
                c["type"] == "AllContainersRestarting" and c["status"] == "True" for c in self.status["conditions"]
            )
            actions = decide(self.pod, observed, restarting_all=restarting)
            assert decide(self.pod, observed, restarting_all=restarting) == actions
            if not self.carry_out(actions):
                return
        raise AssertionError("a pod must come to rest")

    def finish(self) -> None:
        for seen in self.running():
            self.end(seen, 137)
        self.done = True
        self.status = statuses.generate(self.pod, self.observe(), self.status, terminal=True)

    def carry_out(self, actions: Actions) -> bool:
        """Whether anything changed."""
        changed = False
        self.backoffs.update(actions.backoffs)
        for held in actions.held:
            assert held.until > self.now
            self.failures[held.name] = StartFailure("CrashLoopBackOff", held.message)
        if actions.kill_pod:
            for seen in self.running():
                self.end(seen, 137)
                changed = True
        for kill in actions.kills:
            seen = next(c for c in self.containers if c.id == kill.container_id)
            if seen.state is ContainerState.RUNNING:
                self.end(seen, 137)
                changed = True
        for reset in actions.resets:
            self.containers = [c for c in self.containers if c.id != reset.container_id]
            changed = True
        if actions.create_sandbox:
            self.sandbox = SandboxSeen(f"s{actions.attempt}", actions.attempt, True, self.now, ("10.0.0.1",))
            changed = True
        for start in actions.starts:
            changed |= self.start(start.name)
        return changed

    def start(self, name: str) -> bool:
        assert name not in [c.name for c in self.running()], "a container never runs twice"
        self.check_order(name)
        if name in self.broken:
            self.failures[name] = StartFailure("CreateContainerConfigError", "")
            return False
        self.failures.pop(name, None)
        count = sum(1 for what, who in self.log if (what, who) == ("start", name))
        assert self.sandbox is not None
        self.containers.append(
            ContainerSeen(
                f"{name}-{count}",
                name,
                self.sandbox.id,
                ContainerState.RUNNING,
                count,
                self.now,
                self.now,
                spec_image="i",
            )
        )
        self.log.append(("start", name))
        return True

    def check_order(self, name: str) -> None:
        """Regular containers start after every init container has done its part; init ones in order."""
        names = [c.name for c in self.pod.spec.init_containers]
        earlier = self.pod.spec.init_containers[: names.index(name)] if name in names else self.pod.spec.init_containers
        for container in earlier:
            began = [c for c in self.containers if c.name == container.name]
            assert began, f"{name} starts before {container.name}"
            if not restart.is_sidecar(container):
                assert any(c.state is ContainerState.EXITED and c.exit_code == 0 for c in began)


def check_status(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """A terminal phase never changes, restart counts never shrink, nothing is ready that does not run."""
    if before.get("phase") in TERMINAL:
        assert after["phase"] == before["phase"]
    old = statuses.by_name(before)
    for status in statuses.by_name(after).values():
        assert len(status["state"]) == 1
        was = old.get(status["name"])
        if was is not None:
            assert status["restartCount"] >= was["restartCount"]
    for key in ("containerStatuses",):
        for status in after.get(key, ()):
            assert not status["ready"] or "running" in status["state"]


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pods(), STEPS)
def test_whatever_happens(pod_: Pod, steps: list[tuple[str, Any, Any]]) -> None:
    machine = Machine(pod_)
    machine.settle()
    for what, which, value in steps:
        if machine.done:
            break
        machine.now += 1
        running = machine.running()
        match what:
            case "exit" if running:
                machine.end(running[which % len(running)], value)
            case "wait":
                machine.now += which
            case "startup" | "liveness" if running:
                seen = running[which % len(running)]
                container = pod_.container(seen.name)
                assert container is not None
                has = container.startup_probe if what == "startup" else container.liveness_probe
                if has is not None:
                    machine.verdicts[what][seen.id] = Verdict.SUCCESS if value else Verdict.FAILURE
            case "lose sandbox" if machine.sandbox is not None:
                machine.sandbox = replace(machine.sandbox, ready=False)
                for seen in running:
                    machine.end(seen, 137)
            case "fail to start":
                machine.broken = {pod_.spec.containers[which % len(pod_.spec.containers)].name}
        machine.settle()
        if what == "fail to start":
            machine.broken = set()
    final = statuses.finished(pod_, machine.status)
    assert final["phase"] in TERMINAL


@settings(max_examples=EXAMPLES, deadline=None)
@given(pods(), st.data())
def test_everything_ends_in_order(pod_: Pod, data: st.DataObject) -> None:
    names = [c.name for c in (*pod_.spec.init_containers, *pod_.spec.containers)]
    running = data.draw(st.sets(st.sampled_from(names), min_size=1))
    order = termination.waits_for(pod_, running)
    assert set(order) == running
    ended: list[str] = []
    while len(ended) < len(running):
        turn = [name for name in running if name not in ended and order[name] <= set(ended)]
        assert turn, "nobody waits for ever"
        ended += sorted(turn)
    side = [c.name for c in restart.sidecars(pod_) if c.name in running]
    regular = [c.name for c in pod_.spec.containers if c.name in running]
    last = [name for name in ended if name in side]
    assert last == side[::-1]
    assert all(ended.index(s) > ended.index(r) for s in side for r in regular)
