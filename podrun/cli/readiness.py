"""What a pod's status means to somebody who waits for it: a pure reading of the object.

Written without dataclasses, whose import takes 7 ms of the 45 that `podrun play` has.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import takes 3 ms
if TYPE_CHECKING:
    from typing import Any

    Object = dict[str, Any]

STUCK = frozenset(
    {
        "CrashLoopBackOff",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
"""Waiting reasons that do not end by themselves in the next moments: somebody has to do something."""


class Outcome(StrEnum):
    READY = "ready"
    DONE = "done"
    STUCK = "stuck"
    WAITING = "waiting"


class Verdict:
    """Where a pod stands; `container` is the one that `why` is about, where it is about one."""

    __slots__ = ("container", "outcome", "why")

    def __init__(self, outcome: Outcome, why: str = "", container: str = "") -> None:
        self.outcome = outcome
        self.why = why
        self.container = container

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Verdict) and self._said() == other._said()

    def __hash__(self) -> int:
        return hash(self._said())

    def __repr__(self) -> str:
        return f"Verdict{self._said()}"

    def _said(self) -> tuple[Outcome, str, str]:
        return self.outcome, self.why, self.container


def judge(pod: Object) -> Verdict:
    """Read a Pod object: Ready, done (Succeeded), stuck with the reason, or still on its way."""
    status = pod.get("status") or {}
    phase = status.get("phase")
    if phase == "Succeeded":
        return Verdict(Outcome.DONE)
    if phase == "Failed":
        return _failed(status)
    if (pod.get("metadata") or {}).get("deletionTimestamp"):
        return Verdict(Outcome.STUCK, "it is being deleted")
    conditions = {each["type"]: each for each in status.get("conditions") or []}
    if conditions.get("Ready", {}).get("status") == "True":
        return Verdict(Outcome.READY)
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("reason") == "Unschedulable":
        return Verdict(Outcome.STUCK, f"it cannot be scheduled: {scheduled.get('message', '')}")
    on_its_way = ""
    for container in _containers(status):
        state = container.get("state") or {}
        waiting = state.get("waiting")
        if not waiting:
            continue
        reason, message = waiting.get("reason") or "", waiting.get("message") or ""
        said = f"{reason}: {message}" if message else reason
        if reason in STUCK:
            return Verdict(Outcome.STUCK, f"container {container['name']}: {said}{_last(container)}", container["name"])
        on_its_way = on_its_way or f"container {container['name']} waits: {said}"
    return Verdict(Outcome.WAITING, on_its_way or _unready(status, conditions))


def _containers(status: Object) -> Iterator[Object]:
    for field in ("initContainerStatuses", "containerStatuses"):
        yield from status.get(field) or []


def _failed(status: Object) -> Verdict:
    why = ": ".join(filter(None, (status.get("reason"), status.get("message"))))
    for container in _containers(status):
        ended = (container.get("state") or {}).get("terminated")
        if ended and ended.get("exitCode") != 0:
            said = why or f"container {container['name']} ended with exit code {ended['exitCode']} ({ended['reason']})"
            return Verdict(Outcome.STUCK, said, container["name"])
    return Verdict(Outcome.STUCK, why or "it failed")


def _last(container: Object) -> str:
    ended = (container.get("lastState") or {}).get("terminated")
    return f" (it ended with exit code {ended['exitCode']})" if ended else ""


def _unready(status: Object, conditions: dict[str, Any]) -> str:
    unready = [each["name"] for each in status.get("containerStatuses") or [] if not each.get("ready")]
    if unready:
        return f"not ready yet: {', '.join(unready)}"
    return str(conditions.get("Ready", {}).get("message") or "it has not begun yet")
