"""Whose room a critical pod takes that was given to this node though there is none (pkg/kubelet/preemption), pure.

As few guaranteed pods as possible, then as few burstable ones, then as few best-effort ones; of each, those that come
nearest to what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from podrun.api.disruption import Disruption
from podrun.api.pod import Pod
from podrun.lifecycle import resources
from podrun.lifecycle.fitting import Lack, units
from podrun.lifecycle.qos import qos_class
from podrun.lifecycle.status import Ending
from podrun.lifecycle.victims import TERMINATED_BY_KUBELET, is_critical

REASON, MESSAGE = "Preempting", "Preempted in order to admit critical pod"
ENDING = Ending(
    REASON,
    MESSAGE,
    Disruption(TERMINATED_BY_KUBELET, "Pod was preempted by Kubelet to accommodate a critical pod."),
)

Need = Mapping[str, int]
"""What is missing, by resource: millicores, bytes, units."""


class NotEnough(Exception):
    """Nobody's end would make room; the text is the kubelet's."""

    def __init__(self, left: Need) -> None:
        listed = "".join(f"(res: {resource}, q: {amount}), " for resource, amount in left.items())
        super().__init__(
            "Unexpected error while attempting to recover from admission failure: preemption: error finding a set of "
            f"pods to preempt: no set of running pods found to reclaim resources: [{listed}]"
        )


def to_preempt(pod: Pod, others: Sequence[Pod], lacks: Sequence[Lack]) -> list[Pod]:
    """The pods to end for a critical one. Raises NotEnough."""
    need: Need = {lack.resource: lack.requested - (lack.capacity - lack.used) for lack in lacks}
    classes: dict[str, list[Pod]] = {"BestEffort": [], "Burstable": [], "Guaranteed": []}
    for other in others:
        if _may_preempt(pod, other):
            classes[qos_class(other)].append(other)
    best_effort, burstable, guaranteed = classes.values()
    if left := _less(need, [*best_effort, *burstable, *guaranteed]):
        raise NotEnough(left)
    last = _nearest(guaranteed, _less(need, [*best_effort, *burstable]))
    middle = _nearest(burstable, _less(need, [*best_effort, *last]))
    first = _nearest(best_effort, _less(need, [*middle, *last]))
    return [*first, *middle, *last]


def _may_preempt(pod: Pod, other: Pod) -> bool:
    if is_critical(pod) and not is_critical(other):
        return True
    return (pod.spec.priority or 0) > (other.spec.priority or 0)


def _asked(pod: Pod, resource: str) -> int:
    if resource == "pods":
        return 1
    requests = resources.pod_requests(pod)
    return units(resource, requests[resource]) if resource in requests else 0


def _less(need: Need, pods: Sequence[Pod]) -> Need:
    """What is still missing when these are gone."""
    left = {resource: amount - sum(_asked(pod, resource) for pod in pods) for resource, amount in need.items()}
    return {resource: amount for resource, amount in left.items() if amount > 0}


def _nearest(pods: Sequence[Pod], need: Need) -> list[Pod]:
    """One after the other the pod that comes nearest to what is still missing, the smaller of two as near."""
    chosen: list[Pod] = []
    left = list(pods)
    while need and left:
        best = min(left, key=lambda pod: (_distance(need, pod), _asked(pod, "memory"), _asked(pod, "cpu")))
        left.remove(best)
        chosen.append(best)
        need = _less(need, [best])
    return chosen


def _distance(need: Need, pod: Pod) -> float:
    """The share of each need that the pod's end leaves, squared and summed: no need counts more than another."""
    return sum((max(amount - _asked(pod, resource), 0) / amount) ** 2 for resource, amount in need.items())
