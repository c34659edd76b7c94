"""When the machine runs short of memory, disk or processes: which thresholds are met, and what the node says of it.

The kubelet's eviction manager (pkg/kubelet/eviction), pure: `look` takes what is observed now and what was known, and
gives what is known then and which thresholds call for reclaiming. Who has to go is another topic (`victims`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from podrun.api.quantity import Quantity

MEMORY, DISK, PIDS = "MemoryPressure", "DiskPressure", "PIDPressure"
TRANSITION = 300.0
"""Seconds that a condition stays after its threshold was last met (evictionPressureTransitionPeriod)."""

CONDITIONS = {
    "memory.available": MEMORY,
    "nodefs.available": DISK,
    "nodefs.inodesFree": DISK,
    "imagefs.available": DISK,
    "imagefs.inodesFree": DISK,
    "pid.available": PIDS,
}
RESOURCES = {
    "memory.available": "memory",
    "nodefs.available": "ephemeral-storage",
    "nodefs.inodesFree": "inodes",
    "imagefs.available": "ephemeral-storage",
    "imagefs.inodesFree": "inodes",
    "pid.available": "pids",
}
"""Signal -> what is reclaimed."""

HARD_DEFAULTS = {
    "memory.available": "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
    "imagefs.available": "15%",
    "imagefs.inodesFree": "5%",
}


class Observation(NamedTuple):
    """Of one signal: bytes, inodes or processes."""

    available: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Threshold:
    """Met while less than `amount`, or than `share` of the capacity, is available. Without `grace` it is a hard one."""

    signal: str
    amount: int | None = None
    share: float = 0.0
    grace: float = 0.0

    def least(self, capacity: int) -> int:
        """What has to be available."""
        return int(capacity * self.share) if self.amount is None else self.amount

    def is_met(self, observations: Mapping[str, Observation]) -> bool:
        """Whether less than that is there; not where nothing is known of the signal."""
        seen = observations.get(self.signal)
        return seen is not None and self.least(seen.capacity) > seen.available


def thresholds(
    hard: Mapping[str, str], soft: Mapping[str, str] | None = None, grace: Mapping[str, float] | None = None
) -> tuple[Threshold, ...]:
    """From the kubelet's evictionHard, evictionSoft and evictionSoftGracePeriod (seconds here).

    What is "0%" or "100%" is none at all, as there. Raises ValueError in the kubelet's words.
    """
    made = [one for signal, text in hard.items() if (one := _threshold(signal, text, 0.0)) is not None]
    for signal, text in (soft or {}).items():
        if signal not in (grace or {}):
            raise ValueError(f"grace period must be specified for the soft eviction threshold {signal}")
        if (one := _threshold(signal, text, (grace or {})[signal])) is not None:
            made.append(one)
    return tuple(made)


def _threshold(signal: str, text: str, grace: float) -> Threshold | None:
    if signal not in CONDITIONS:
        raise ValueError(f"unsupported eviction signal {signal}")
    if text.endswith("%"):
        share = float(text[:-1]) / 100
        if share < 0:
            raise ValueError(f"eviction percentage threshold {signal} must be >= 0%: {text}")
        if share > 1:
            raise ValueError(f"eviction percentage threshold {signal} must be <= 100%: {text}")
        return Threshold(signal, share=share, grace=grace) if 0 < share < 1 else None
    quantity = Quantity.parse(text)
    if quantity.sign() < 0 or quantity.value() == 0:
        raise ValueError(f"eviction threshold {signal} must be positive: {text}")
    return Threshold(signal, quantity.value(), grace=grace)


@dataclass(frozen=True, slots=True)
class Known:
    """What is kept from one look to the next."""

    first: Mapping[Threshold, float] = field(default_factory=dict)
    """When each threshold that is met began to be."""
    last: Mapping[str, float] = field(default_factory=dict)
    """When each condition was last called for."""
    conditions: frozenset[str] = frozenset()
    """The conditions that the node has now."""


def look(
    known: Known,
    limits: Iterable[Threshold],
    observations: Mapping[str, Observation],
    now: float,
    transition: float = TRANSITION,
) -> tuple[Known, tuple[Threshold, ...]]:
    """(what is known now, the thresholds whose grace is over; memory comes first)"""
    met = [one for one in limits if one.is_met(observations)]
    first = {one: known.first.get(one, now) for one in met}
    last = {**known.last, **{CONDITIONS[one.signal]: now for one in met}}
    conditions = frozenset(name for name, at in last.items() if now - at < transition)
    due = [one for one in met if now - first[one] >= one.grace]
    due.sort(key=lambda one: one.signal != "memory.available")
    return Known(first, last, conditions), tuple(due)


def reclaimed(limits: Iterable[Threshold], observations: Mapping[str, Observation]) -> bool:
    """Whether no threshold is met any more."""
    return not any(one.is_met(observations) for one in limits)


def node_had(conditions: Iterable[str]) -> str:
    """Why a pod is not admitted now (the trailing space is the kubelet's)."""
    return f"The node had condition: [{' '.join(sorted(conditions))}]. "


def rejects(conditions: frozenset[str], *, critical: bool, best_effort: bool, tolerates_memory: bool) -> bool:
    """Whether a pod is not admitted under these conditions: short memory keeps only BestEffort pods away."""
    if not conditions or critical:
        return False
    if conditions == {MEMORY}:
        return best_effort and not tolerates_memory
    return True


def taints(conditions: Iterable[Mapping[str, str]]) -> list[str]:
    """Keys of the NoSchedule taints that a node's conditions call for (the node lifecycle controller's)."""
    true = {c["type"] for c in conditions if c.get("status") == "True"}
    return [key for kind, key in TAINTS.items() if kind in true]


TAINTS = {
    MEMORY: "node.kubernetes.io/memory-pressure",
    DISK: "node.kubernetes.io/disk-pressure",
    PIDS: "node.kubernetes.io/pid-pressure",
}


def amount_text(resource: str, amount: int) -> str:
    """An amount of a resource as the kubelet prints it: bytes in binary units, the rest as it is."""
    return str(Quantity.from_int(amount, "DecimalSI" if resource in ("inodes", "pids") else "BinarySI"))


def threshold_text(resource: str, met: Sequence[Threshold], observations: Mapping[str, Observation]) -> str:
    """`Threshold quantity: N, available: N. ` of the first threshold of the resource; "" where nothing is known."""
    for one in met:
        seen = observations.get(one.signal)
        if RESOURCES[one.signal] == resource and seen is not None:
            least = amount_text("", one.least(seen.capacity))
            return f"Threshold quantity: {least}, available: {amount_text(resource, seen.available)}. "
    return ""
