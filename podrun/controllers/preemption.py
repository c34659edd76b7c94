"""Whose room a pod of higher priority takes: the scheduler's default preemption (plugins/defaultpreemption), pure.

Everybody of lower priority is thought away; if the pod fits then, they come back one by one, the most important first,
and who cannot come back is a victim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from podrun.api.pod import Pod
from podrun.controllers.filters import NOT_HELPFUL, Misfit, misfit, nodes_text
from podrun.lifecycle.fitting import NodeView

NEVER = "not eligible due to preemptionPolicy=Never."
WAITS = "not eligible due to a terminating pod on the nominated node."
NO_VICTIMS = "No preemption victims found for incoming pod"


@dataclass(frozen=True, slots=True)
class Placed:
    """A pod that has room on the node: since when (seconds since the epoch), and whether it is ending for another."""

    pod: Pod
    started_at: float
    preempted: bool = False


@dataclass(frozen=True, slots=True)
class Preemption:
    """The pods that have to go, the most important first; or, when there are none, why not."""

    victims: tuple[Pod, ...] = ()
    why: str = ""


def priority(pod: Pod) -> int:
    """As admission resolved it."""
    return pod.spec.priority or 0


def preempt(pod: Pod, node: NodeView, placed: Sequence[Placed], found: Misfit, *, nominated: bool) -> Preemption:
    """What may be done for a pod that `found` keeps from the node; `nominated`: room is being made for it already."""
    if pod.spec.preemption_policy == "Never":
        return Preemption(why=NEVER)
    below = [one for one in placed if priority(one.pod) < priority(pod)]
    if nominated and not found.helpless and any(one.preempted for one in below):
        return Preemption(why=WAITS)
    if found.helpless:
        return Preemption(why=nodes_text([NOT_HELPFUL]))
    if not below:
        return Preemption(why=nodes_text([NO_VICTIMS]))
    stay = [one.pod for one in placed if one not in below]
    if (still := misfit(pod, node, stay)) is not None:
        return Preemption(why=nodes_text(still.reasons))
    victims: list[Pod] = []
    for one in sorted(below, key=lambda one: (-priority(one.pod), one.started_at)):
        if misfit(pod, node, [*stay, one.pod]) is None:
            stay.append(one.pod)
        else:
            victims.append(one.pod)
    return Preemption(tuple(victims))
