"""Why a pod is in its state: the decision made anew from what is observed this moment, told in sentences.

The function that decides is pure, so asking it once more changes nothing. Around its reasons stand what it does not
see: whether there is a node, why a start failed, what a probe said last, what comes next and when.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from podrun.api.pod import Container
from podrun.lifecycle import probes, termination
from podrun.lifecycle.actions import Actions
from podrun.lifecycle.decide import decide
from podrun.lifecycle.observed import ContainerState, Observed, Verdict
from podrun.lifecycle.phase import TERMINAL
from podrun.lifecycle.probes import Role
from podrun.lifecycle.status import by_name
from podrun.lifecycle.why import Why
from podrun.openbox.sentences import clock, summary, tell
from podrun.supervisor.worker import PodWorker, Stage
from podrun.timeline.marks import Mark

Object = dict[str, Any]
Marks = Iterable[Mark]


def explain(obj: Object, worker: PodWorker | None, marks: Marks) -> Object:
    """The explanation of a Pod object; `worker` is None for one that has no node, or has ended."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    stage = worker.stage.value if worker is not None else "terminated" if _over(status) else "unscheduled"
    actions = None
    if worker is not None and worker.stage is Stage.SYNCING and worker.phase not in TERMINAL:
        observed = worker.observe()
        policy = worker.services.options.crash_loop
        actions = decide(worker.pod, observed, restarting_all=worker.restarting_all, policy=policy)
        sentences = [*_headline(obj), *_running(worker, observed, actions, list(marks))]
    elif worker is not None and worker.stage in (Stage.SYNCING, Stage.TERMINATING):
        sentences = [*_headline(obj), *_ending(worker, list(marks))]
    else:
        sentences = [*_headline(obj), *_without_worker(obj)]
    return {
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "phase": status.get("phase", "Pending"),
        "ready": _is_true(status, "Ready"),
        "stage": stage,
        "sentences": sentences,
        "decision": as_json(worker.services.clock(), actions) if worker is not None and actions is not None else None,
    }


def decisions(marks: Marks) -> list[Object]:
    """Every decision that differed from the one before, oldest first."""
    made: list[Object] = []
    before: tuple[Any, ...] = ()
    for at, name, detail in marks:
        if name == "decided" and (detail, detail.whys) != before:
            before = (detail, detail.whys)
            made.append(as_json(at / 1e9, detail))
    return made


def as_json(at: float, actions: Actions) -> Object:
    """A decision as data; `at` is seconds since the epoch."""
    return {
        "at": at,
        "summary": summary(actions),
        "wake_at": actions.wake_at,
        "reasons": [_reason(why, actions) for why in actions.whys],
    }


def _reason(why: Why, actions: Actions) -> Object:
    return {
        "about": why.about,
        "rule": why.rule.value,
        "does": why.does.value,
        "facts": dict(why.facts),
        "sentence": tell(why, actions),
    }


def _headline(obj: Object) -> Iterator[str]:
    metadata, status = obj["metadata"], obj.get("status") or {}
    phase, name = status.get("phase", "Pending"), metadata["name"]
    if metadata.get("deletionTimestamp"):
        grace = metadata.get("deletionGracePeriodSeconds")
        yield f"Pod {name} is {phase} and is being deleted: it has {grace} s of grace from the deletion on."
    elif phase == "Running":
        yield f"Pod {name} is Running{' and Ready' if _is_true(status, 'Ready') else ', but not Ready'}."
    else:
        yield f"Pod {name} is {phase}."
    if status.get("reason") or status.get("message"):
        yield f"{status.get('reason', '')}: {status.get('message', '')}".strip(": ")


def _without_worker(obj: Object) -> Iterator[str]:
    status = obj.get("status") or {}
    if _over(status):
        for each in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            if ended := (each.get("state") or {}).get("terminated"):
                yield f"Container {each['name']} ended with exit code {ended['exitCode']} ({ended.get('reason')})."
        yield "Nothing more happens to it until somebody deletes it."
        return
    scheduled = next((c for c in status.get("conditions", ()) if c["type"] == "PodScheduled"), None)
    if scheduled is not None and scheduled["status"] != "True":
        yield f"It has no node: {scheduled.get('reason')}: {scheduled.get('message')}"
        if node := status.get("nominatedNodeName"):
            yield f"Pods of lower priority are being ended on node {node} to make room for it (events: Preempted)."
        yield "It is looked at again when another pod ends, or the node or the pod itself changes."


def _ending(worker: PodWorker, marks: list[Mark]) -> Iterator[str]:
    runs = [seen.name for seen in worker.observe().containers if seen.state is ContainerState.RUNNING]
    began, grace = next(((at, detail) for at, name, detail in reversed(marks) if name == "terminating"), (None, None))
    if began is not None and grace is not None:
        since, until = clock(began / 1e9), clock(began / 1e9 + grace)
        yield (
            f"Its containers are being ended since {since}; what still runs at {until} is killed (each has two seconds "
            f"at least once its preStop hook has run)."
        )
    if runs:
        waits = termination.waits_for(worker.pod, runs)
        for name in runs:
            first = ", ".join(sorted(waits.get(name, ())))
            yield f"Container {name} still runs" + (f", and waits for the end of {first}." if first else ".")
    else:
        yield "None of its containers runs any more: what is left of it is being taken away."


def _running(worker: PodWorker, observed: Observed, actions: Actions, marks: list[Mark]) -> Iterator[str]:
    for why in actions.whys:
        yield tell(why, actions)
    for name, failure in worker.failures.items():
        if failure.reason != "CrashLoopBackOff":
            yield f"The last attempt to start container {name} failed: {failure.reason}: {failure.message}"
    if worker.phase == "Pending" or actions.create_sandbox:
        yield from _last_trouble(marks)
    yield from _not_ready(worker, observed, marks)
    yield from _next(worker, actions)


def _last_trouble(marks: list[Mark]) -> Iterator[str]:
    """What was told last, where that was a failure that keeps the pod from its sandbox or volumes."""
    for _, name, detail in reversed(marks):
        if name == "event":
            kind, reason, message, _ = detail
            if kind == "Warning" and reason.startswith("Failed") and reason != "Failed":
                yield f"{reason}: {message}"
            return


def _not_ready(worker: PodWorker, observed: Observed, marks: list[Mark]) -> Iterator[str]:
    told = by_name(worker.status)
    for container in probes.probed(worker.pod):
        seen = observed.latest(container.name)
        if seen is None or seen.state is not ContainerState.RUNNING or told.get(container.name, {}).get("ready"):
            continue
        role = Role.READINESS
        if container.startup_probe is not None and not told.get(container.name, {}).get("started"):
            role = Role.STARTUP
        probe = probes.of(container, role)
        if probe is not None:
            yield f"Container {container.name} is not ready: {_probe_state(container, role, seen.id, observed, marks)}"
    gates = {gate.condition_type for gate in worker.pod.spec.readiness_gates}
    for gate in sorted(gates):
        if not _is_true(worker.status, gate):
            yield f"The readiness gate {gate} is not open: somebody has to set that condition to True."


def _probe_state(container: Container, role: Role, container_id: str, observed: Observed, marks: list[Mark]) -> str:
    verdicts = observed.verdicts.startup if role is Role.STARTUP else observed.verdicts.readiness
    verdict, last = verdicts.get(container_id), _last_look(container.name, role, marks)
    probe = probes.of(container, role)
    assert probe is not None
    often = f"every {probe.period_seconds} s"
    if last is None:
        return f"its {role.lower()} probe has not looked yet (it does so {often})."
    how, said = last
    if how == "passed" and verdict is not Verdict.SUCCESS:
        return f"its {role.lower()} probe has passed, but must do so {probe.success_threshold} times in a row."
    return f"its {role.lower()} probe (asked {often}) {how} last{f': {said}' if said else '.'}"


def _last_look(container: str, role: Role, marks: list[Mark]) -> tuple[str, str] | None:
    """How a probe's last look went (passed, failed, erred) and what it said."""
    for _, name, detail in reversed(marks):
        if name == "probe" and detail[1] is role and detail[2] == container:
            return detail[3], detail[4]
    return None


def _next(worker: PodWorker, actions: Actions) -> Iterator[str]:
    deadline = termination.deadline(worker.pod, worker.start_time)
    if actions.wake_at is not None:
        names = ", ".join(held.name for held in actions.held)
        yield f"Next: {names} is tried again at {clock(actions.wake_at)} (`podrun retry` does so now)."
    elif waits := [*_pulls(worker)]:
        yield f"Next: {', '.join(waits)} (`podrun retry` does so now)."
    elif any(failure.reason != "CrashLoopBackOff" for failure in worker.failures.values()):
        yield "Next: what could not be started is tried again within ten seconds (`podrun retry` does so now)."
    elif actions.idle:
        yield "Next: nothing, until a container ends, a probe's verdict changes, or somebody changes the pod."
    if deadline is not None:
        yield f"Whatever it does, it is ended at {clock(deadline)} (activeDeadlineSeconds)."


def _pulls(worker: PodWorker) -> Iterator[str]:
    """The images that are asked for again later."""
    for name, failure in worker.failures.items():
        container = worker.pod.container(name)
        if container is not None and failure.reason in ("ErrImagePull", "ImagePullBackOff"):
            left = worker.services.pulls.wait_left(worker.pod, container.image)
            yield f"image {container.image} is asked for again in {left:.0f} s"


def _over(status: Mapping[str, Any]) -> bool:
    return status.get("phase") in TERMINAL


def _is_true(status: Mapping[str, Any], condition: str) -> bool:
    return any(c["type"] == condition and c["status"] == "True" for c in status.get("conditions") or ())
