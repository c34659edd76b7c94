"""A pod's timeline made of its marks: each step with its time in microseconds, who took it, and in words what it was.

    {"namespace", "name", "uid", "ended", "adopted", "zero", "dropped", "milestones": {name: us},
     "steps": [{"at": us, "took": us, "lane", "kind", "name", "detail"}]}

`zero` (nanoseconds since the epoch) is the arrival of the request that made the pod. The spawner's part of a start
comes as durations that follow each other and end when execve is called; the step before them is the request's way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from podrun.lifecycle.actions import Actions
from podrun.openbox.names import EXEC
from podrun.openbox.sentences import summary, tell
from podrun.timeline.marks import Mark, Marks, Packed, unpacked

Object = dict[str, Any]

API, POD, SANDBOX = "api", "pod", "sandbox"
_KINDS = (
    ("enter cgroups", "cgroup"),
    ("join namespaces", "namespace"),
    ("unshare namespaces", "namespace"),
    ("set hostname", "namespace"),
    ("set sysctl", "namespace"),
    ("make user namespace", "namespace"),
    ("join user namespace", "namespace"),
    ("configure network", "network"),
    ("fork", "process"),
    ("become the user", "process"),
)
"""What the spawner's steps are about, by how their names begin; all others are about mounts."""


_DETAILS = {
    "configure network": "one netlink batch: a veth pair, links up, the address, a neighbour, two routes",
    "mask paths": "what a container may not look into, of /proc and /sys",
    "make paths read-only": "what it may not change, of /proc",
    "become the user": "streams, limits, working directory, groups, user",
}


@dataclass(frozen=True, slots=True)
class Step:
    """`at` and `took` are nanoseconds, `at` since the epoch; what is only a moment took 0."""

    at: int
    lane: str
    kind: str
    name: str
    took: int = 0
    detail: str = ""


def lane_of(container: str) -> str:
    """The lane of a container's steps."""
    return f"container {container}"


def timeline_of(uid: str, namespace: str, name: str, marks: Marks) -> Object:
    """See the module."""
    steps = sorted(steps_of(marks), key=lambda step: step.at)
    zero = steps[0].at if steps else 0
    shown = [
        {
            "at": (step.at - zero) // 1000,
            "took": step.took // 1000,
            "lane": step.lane,
            "kind": step.kind,
            "name": step.name,
            "detail": step.detail,
        }
        for step in steps
    ]
    return {
        "namespace": namespace,
        "name": name,
        "uid": uid,
        "ended": marks.ended,
        "adopted": any(name == "begun" and detail[0] for _, name, detail in marks),
        "zero": zero,
        "dropped": marks.lost,
        "milestones": _milestones(steps, zero),
        "steps": shown,
    }


def name_in(marks: Iterable[Mark]) -> tuple[str, str]:
    """(namespace, name) of the pod that the marks are of, ("", "") where no worker has begun."""
    return next(((detail[1], detail[2]) for _, name, detail in marks if name == "begun"), ("", ""))


def steps_of(marks: Iterable[Mark]) -> list[Step]:
    """Every step that the marks tell of; a decision that only repeats the one before is left out.

    A mark of a name that is not known here is a moment with that name.
    """
    made: list[Step] = []
    before: tuple[Any, ...] = ()
    for at, name, detail in marks:
        if name == "decided":
            now = (detail, detail.whys)
            if now == before:
                continue
            before = now
        reader = _READERS.get(name)
        made += reader(at, detail) if reader is not None else [Step(at, POD, "event", name, detail=str(detail or ""))]
    return made


def _milestones(steps: Sequence[Step], zero: int) -> dict[str, int]:
    found: dict[str, int] = {}

    def first(name: str, step: Step) -> None:
        found.setdefault(name, (step.at + step.took - zero) // 1000)

    for step in steps:
        match step.kind, step.name:
            case "api", _:
                found["posted"] = 0
            case "event", "Scheduled":
                first("scheduled", step)
            case ("network", "the host's end is connected") | ("process", "execve") if step.lane == SANDBOX:
                found["sandbox"] = (step.at + step.took - zero) // 1000
            case "process", "execve":
                first(f"started {step.lane.removeprefix('container ')}", step)
            case "status", _ if "Ready" in step.detail.split():
                first("ready", step)
            case "exit", "pause ended":
                found["ended"] = (step.at - zero) // 1000
            case "process", "the sandbox is removed":
                found["removed"] = (step.at - zero) // 1000
    return found


# One reader for each name of a mark


def _posted(at: int, detail: tuple[int, str]) -> list[Step]:
    arrived, manager = detail
    return [Step(arrived, API, "api", "POST", at - arrived, f"by {manager}: checked, stored and answered")]


def _event(at: int, detail: tuple[str, str, str, str]) -> list[Step]:
    _, reason, message, container = detail
    return [Step(at, lane_of(container) if container else POD, "event", reason, detail=message)]


def _status(at: int, detail: tuple[str, str]) -> list[Step]:
    phase, true = detail
    return [Step(at, POD, "status", f"status {phase}", detail=true)]


def _probe(at: int, detail: tuple[int, str, str, str, str]) -> list[Step]:
    began, role, container, verdict, said = detail
    return [Step(began, lane_of(container), "probe", f"{role} probe {verdict}", at - began, said)]


def _decided(at: int, actions: Actions) -> list[Step]:
    words = " ".join(tell(why, actions) for why in actions.whys)
    return [Step(at, POD, "decision", f"decide: {summary(actions)}", detail=words)]


def _volumes(at: int, detail: tuple[int, Sequence[str]]) -> list[Step]:
    began, names = detail
    return [Step(began, POD, "volume", "prepare volumes", at - began, ", ".join(names) or "there are none")]


def _pause(at: int, detail: tuple[int, float, Packed]) -> list[Step]:
    asked, started, timings = detail
    return _spawned(at, SANDBOX, "pause", asked, started, timings)


def _wired(at: int, detail: tuple[int, str, str]) -> list[Step]:
    began, link, address = detail
    words = f"{link}: up, route to {address}, neighbour, source check"
    return [Step(began, SANDBOX, "network", "the host's end is connected", at - began, words)]


def _created(at: int, detail: tuple[int, str]) -> list[Step]:
    began, container = detail
    words = "user looked up, volumes opened, writable layer, record"
    return [Step(began, lane_of(container), "process", "create", at - began, words)]


def _container(at: int, detail: tuple[int, float, Packed, str, Sequence[str]]) -> list[Step]:
    asked, started, timings, name, argv = detail
    return _spawned(at, lane_of(name), " ".join(argv), asked, started, timings)


def _exec(at: int, detail: tuple[int, str, Sequence[str]]) -> list[Step]:
    asked, name, argv = detail
    return [Step(asked, lane_of(name), "process", EXEC, at - asked, " ".join(argv)[:200])]


def _spawned(at: int, lane: str, what: str, asked: int, started: float, packed: Packed) -> list[Step]:
    """The request's way, each step of the child's, execve and the answer's way."""
    timings = unpacked(packed)
    became = int(started * 1e9)
    begin = became - sum(duration for _, duration in timings) * 1000
    steps = [Step(asked, lane, "process", "ask the spawner", max(begin - asked, 0), what[:200])]
    for name, duration in timings:
        kind = next((kind for beginning, kind in _KINDS if name.startswith(beginning)), "mount")
        steps.append(Step(begin, lane, kind, name, duration * 1000, _DETAILS.get(name, "")))
        begin += duration * 1000
    words = f"{what[:200]} (seccomp and capabilities first; then the answer's way)"
    return [*steps, Step(became, lane, "process", "execve", max(at - became, 0), words)]


def _exit(at: int, detail: tuple[str, float, int | None, int, str]) -> list[Step]:
    container, finished, code, signal, reason = detail
    by = f" by signal {signal}" if signal else ""
    noted = int(finished * 1e9)
    words = f"exit code {code}{by} ({reason})"
    return [Step(noted, lane_of(container), "exit", "ended", max(at - noted, 0), words)]


def _signal(at: int, detail: tuple[str, str]) -> list[Step]:
    container, name = detail
    return [Step(at, lane_of(container), "signal", name)]


def _begun(at: int, detail: tuple[bool, str, str]) -> list[Step]:
    name = "taken over from the podrund before" if detail[0] else "its worker begins"
    return [Step(at, POD, "decision", name)]


def _terminating(at: int, grace: int | None) -> list[Step]:
    return [Step(at, POD, "decision", "the pod is to end", detail=f"grace {grace} s")]


_READERS: dict[str, Callable[[int, Any], list[Step]]] = {
    "posted": _posted,
    "event": _event,
    "status": _status,
    "probe": _probe,
    "decided": _decided,
    "volumes": _volumes,
    "pause": _pause,
    "wired": _wired,
    "created": _created,
    "container": _container,
    "exec": _exec,
    "exit": _exit,
    "signal": _signal,
    "begun": _begun,
    "terminating": _terminating,
    "pause ended": lambda at, _: [Step(at, SANDBOX, "exit", "pause ended", detail="with it its namespaces")],
    "sandbox removed": lambda at, _: [Step(at, SANDBOX, "process", "the sandbox is removed")],
}
