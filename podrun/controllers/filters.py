"""Why a node is not for a pod, in the words and order of the scheduler's filters (pkg/scheduler/framework/plugins)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from podrun.api.pod import Pod, TopologySpread
from podrun.lifecycle import fitting
from podrun.lifecycle.fitting import NodeView

SPREAD_REASON = "node(s) didn't match pod topology spread constraints"
NOT_HELPFUL = "Preemption is not helpful for scheduling"


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why the node is not for a pod; `helpless`: not even making room would help. `whole`: true of every node."""

    reasons: tuple[str, ...]
    helpless: bool
    whole: bool = False


def misfit(pod: Pod, node: NodeView, others: Sequence[Pod]) -> Misfit | None:
    """The reasons of the first check that fails, as the scheduler's filters run; None when the pod fits."""
    if (claim := unbound_claim(pod)) is not None:
        return Misfit((claim,), True, whole=True)
    if node.unschedulable and not any(fitting.tolerates(t, fitting.UNSCHEDULABLE_TAINT) for t in pod.spec.tolerations):
        return Misfit(("node(s) were unschedulable",), True)
    if fitting.untolerated(pod, node.taints, ("NoSchedule", "NoExecute")) is not None:
        return Misfit(("node(s) had untolerated taint(s)",), True)
    if (named := fitting.named_nodes(pod)) is not None and node.name not in named:
        return Misfit(("node(s) didn't satisfy plugin(s) [NodeAffinity]",), True)
    if not fitting.matches_node(pod, node):
        return Misfit((fitting.AFFINITY_REASON,), True)
    if fitting.ports_clash(pod, others):
        return Misfit((fitting.PORTS_REASON,), False)
    if lacking := fitting.lacks(pod, others, node.allocatable):
        reasons = tuple(
            "Too many pods" if lack.resource == "pods" else f"Insufficient {lack.resource}" for lack in lacking
        )
        return Misfit(reasons, any(lack.requested > lack.capacity for lack in lacking))
    for spread in pod.spec.topology_spread_constraints:
        if spread.when_unsatisfiable != "DoNotSchedule":
            continue
        if spread.topology_key not in node.labels:
            return Misfit((f"{SPREAD_REASON} (missing required label)",), True)
        if not _evenly(spread, pod, others):
            return Misfit((SPREAD_REASON,), False)
    if (problem := fitting.affinity_problem(pod, others, node)) is not None:
        return Misfit((problem,), problem.endswith("didn't match pod affinity rules"))
    return None


def _evenly(spread: TopologySpread, pod: Pod, others: Iterable[Pod]) -> bool:
    """Whether one more pod of the selector is not too many: further domains that there have to be are empty."""
    if (spread.min_domains or 1) <= 1:
        return True
    alike = [o for o in others if o.metadata.namespace == pod.metadata.namespace]
    there = sum(fitting.selects(spread.label_selector, other.metadata.labels) for other in alike)
    return there + fitting.selects(spread.label_selector, pod.metadata.labels) <= spread.max_skew


def unbound_claim(pod: Pod) -> str | None:
    """What VolumeBinding says of a pod with a claim on storage, of which there is none here."""
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            return f'persistentvolumeclaim "{volume.persistent_volume_claim.claim_name}" not found'
        if volume.kind == "ephemeral":
            claim = f"{pod.metadata.name}-{volume.name}"
            return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{claim}"'
    return None


def nodes_text(reasons: Iterable[str], *, whole: bool = False) -> str:
    """`0/1 nodes are available: 1 such, 1 such.`; what holds for every node stands without a number."""
    told = ", ".join(sorted(reason if whole else f"1 {reason}" for reason in reasons))
    return f"0/1 nodes are available: {told}."


def message(found: Misfit, after: str) -> str:
    """The text of FailedScheduling and of the condition; `after` is what preemption says, "" where it makes room."""
    text = nodes_text(found.reasons, whole=found.whole)
    return f"{text} no new claims to deallocate, preemption: {after}" if after else text
