"""Whether a pod fits a node: resources, labels, taints, ports, other pods (pkg/scheduler/framework/plugins).

Each check gives the scheduler's own reasons; none when all is well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from podrun.api.pod import LabelSelector, NodeTerm, Pod, PodAffinityTerm, Requirement, Toleration
from podrun.api.quantity import Quantity
from podrun.lifecycle import resources

UNSCHEDULABLE_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
AFFINITY_REASON = "node(s) didn't match Pod's node affinity/selector"
NAME_REASON = "node(s) didn't match the requested node name"
PORTS_REASON = "node(s) didn't have free ports for the requested pod ports"


@dataclass(frozen=True, slots=True)
class NodeView:
    """What of a Node counts for pods; `allocatable` are quantities, `taints` as on the wire."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    allocatable: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Mapping[str, Any]] = ()
    unschedulable: bool = False

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> NodeView:
        """The view of a Node object."""
        spec = node.get("spec") or {}
        return cls(
            node["metadata"]["name"],
            node["metadata"].get("labels") or {},
            (node.get("status") or {}).get("allocatable") or {},
            spec.get("taints") or (),
            bool(spec.get("unschedulable")),
        )


class Lack(NamedTuple):
    """A resource of which there is not enough; millicores for cpu, else whole units."""

    resource: str
    requested: int
    used: int
    capacity: int

    def __str__(self) -> str:
        return (
            f"Node didn't have enough resource: {self.resource}, requested: {self.requested}, "
            f"used: {self.used}, capacity: {self.capacity}"
        )


def units(resource: str, amount: Quantity) -> int:
    """An amount as the scheduler counts it."""
    return amount.milli_value() if resource == "cpu" else amount.value()


def lacks(pod: Pod, others: Iterable[Pod], allocatable: Mapping[str, str]) -> list[Lack]:
    """Of which resources the node has too little for the pod beside the others (NodeResourcesFit)."""
    others = list(others)
    have = resources.amounts(allocatable)
    found: list[Lack] = []
    if "pods" in have and len(others) + 1 > have["pods"].value():
        found.append(Lack("pods", 1, len(others), have["pods"].value()))
    wanted = resources.pod_requests(pod)
    taken = resources.total(resources.pod_requests(other) for other in others)
    for name, amount in sorted(wanted.items(), key=lambda item: (_ORDER.get(item[0], 9), item[0])):
        asked = units(name, amount)
        if not asked:
            continue
        capacity = units(name, have[name]) if name in have else 0
        used = units(name, taken[name]) if name in taken else 0
        if asked > capacity - used:
            found.append(Lack(name, asked, used, capacity))
    return found


_ORDER = {"cpu": 0, "memory": 1, "ephemeral-storage": 2}


def matches_node(pod: Pod, node: NodeView) -> bool:
    """nodeSelector and required node affinity."""
    if any(node.labels.get(key) != value for key, value in pod.spec.node_selector.items()):
        return False
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity is not None else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity is not None else None
    return required is None or any(_term_matches(term, node) for term in required.node_selector_terms)


def named_nodes(pod: Pod) -> set[str] | None:
    """The nodes that required affinity names one by one; None where a term allows others (NodeAffinity.PreFilter)."""
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity is not None else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity is not None else None
    if required is None or not required.node_selector_terms:
        return None
    found: set[str] = set()
    for term in required.node_selector_terms:
        names = [set(r.values) for r in term.match_fields if r.key == "metadata.name" and r.operator == "In"]
        if not names:
            return None
        found |= set.intersection(*names)
    return found


def _term_matches(term: NodeTerm, node: NodeView) -> bool:
    """An empty term matches nothing."""
    if not term.match_expressions and not term.match_fields:
        return False
    fields = {"metadata.name": node.name}
    return all(requirement_holds(r, node.labels) for r in term.match_expressions) and all(
        requirement_holds(r, fields) for r in term.match_fields
    )


def requirement_holds(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    """One requirement of a selector of nodes or pods."""
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" if value is not None and requirement.values:
            try:
                have, limit = int(value), int(requirement.values[0])
            except ValueError:
                return False
            return have > limit if requirement.operator == "Gt" else have < limit
    return False


def untolerated(pod: Pod, taints: Iterable[Mapping[str, Any]], effects: Sequence[str]) -> Mapping[str, Any] | None:
    """The first taint with one of the effects that the pod does not bear."""
    for taint in taints:
        if taint.get("effect") in effects and not any(tolerates(t, taint) for t in pod.spec.tolerations):
            return taint
    return None


def tolerates(toleration: Toleration, taint: Mapping[str, Any]) -> bool:
    """An empty effect or key stands for all; Exists looks at no value."""
    if toleration.effect and toleration.effect != taint.get("effect"):
        return False
    if toleration.key and toleration.key != taint.get("key"):
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and toleration.value == (taint.get("value") or "")


def ports_clash(pod: Pod, others: Iterable[Pod]) -> bool:
    """Whether a host port of the pod is taken by another's (NodePorts)."""
    taken = [port for other in others for port in _host_ports(other)]
    return any(_same_port(a, b) for a in _host_ports(pod) for b in taken)


def _host_ports(pod: Pod) -> list[tuple[str, str, int]]:
    return [
        (port.host_ip or "0.0.0.0", port.protocol, port.host_port)
        for container in (*pod.spec.containers, *pod.spec.init_containers)
        for port in container.ports
        if port.host_port
    ]


def _same_port(a: tuple[str, str, int], b: tuple[str, str, int]) -> bool:
    return a[1:] == b[1:] and (a[0] == b[0] or "0.0.0.0" in (a[0], b[0]))


def affinity_problem(pod: Pod, others: Sequence[Pod], node: NodeView) -> str | None:
    """What required affinity or anti-affinity to other pods says against the node (InterPodAffinity)."""
    for other in others:
        for term in _terms(other, anti=True):
            if term.topology_key in node.labels and _selects(term, other, pod):
                return "node(s) didn't satisfy existing pods anti-affinity rules"
    for term in _terms(pod, anti=False):
        if term.topology_key not in node.labels:
            return "node(s) didn't match pod affinity rules"
        if not any(_selects(term, pod, other) for other in others) and not _selects(term, pod, pod):
            return "node(s) didn't match pod affinity rules"
    for term in _terms(pod, anti=True):
        if term.topology_key in node.labels and any(_selects(term, pod, other) for other in others):
            return "node(s) didn't match pod anti-affinity rules"
    return None


def _terms(pod: Pod, *, anti: bool) -> tuple[PodAffinityTerm, ...]:
    if pod.spec.affinity is None:
        return ()
    side = pod.spec.affinity.pod_anti_affinity if anti else pod.spec.affinity.pod_affinity
    return side.required_during_scheduling_ignored_during_execution if side is not None else ()


def _selects(term: PodAffinityTerm, owner: Pod, other: Pod) -> bool:
    """Whether the term of `owner` speaks of `other`; without namespaces it means the owner's."""
    everywhere = term.namespace_selector is not None and term.namespace_selector == LabelSelector()
    namespaces = term.namespaces or (owner.metadata.namespace,)
    if not everywhere and other.metadata.namespace not in namespaces:
        return False
    return selects(term.label_selector, other.metadata.labels)


def selects(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """Whether a selector, of which none selects nothing, selects what has these labels."""
    if selector is None:
        return False
    return all(labels.get(k) == v for k, v in selector.match_labels.items()) and all(
        requirement_holds(r, labels) for r in selector.match_expressions
    )
