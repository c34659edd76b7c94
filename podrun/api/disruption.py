"""The DisruptionTarget condition: a pod says why somebody is about to end it (KEP-3329)."""

from __future__ import annotations

from typing import Any, NamedTuple

from podrun.api.names import rfc3339

Object = dict[str, Any]
TYPE = "DisruptionTarget"


class Disruption(NamedTuple):
    """Why a pod is ended; `stamped`: with the generation of the pod that was looked at, as all but evictions say it."""

    reason: str
    message: str
    stamped: bool = True


BY_EVICTION_API = Disruption("EvictionByEvictionAPI", "Eviction API: evicting", stamped=False)
BY_TAINT = Disruption("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
BY_PREEMPTION = Disruption(
    "PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod"
)


def condition(why: Disruption, generation: int) -> Object:
    """The condition, without the time of its transition."""
    made: Object = {"type": TYPE, "status": "True", "lastProbeTime": None, "reason": why.reason, "message": why.message}
    return {**made, "observedGeneration": generation} if why.stamped else made


def disrupted(obj: Object, why: Disruption, now: float) -> Object:
    """The pod with the condition; one that it has already keeps the time when it became true (UpdatePodCondition)."""
    status = obj.get("status") or {}
    conditions = status.get("conditions") or []
    old: Object = next((c for c in conditions if c["type"] == TYPE), {})
    since = old.get("lastTransitionTime") if old.get("status") == "True" else None
    made = condition(why, obj["metadata"].get("generation", 0)) | {"lastTransitionTime": since or rfc3339(now)}
    others = [c for c in conditions if c["type"] != TYPE]
    return {**obj, "status": {**status, "conditions": [*others, made]}}


def by_preemption(obj: Object) -> bool:
    """Whether the pod is ending because the scheduler took its room for another."""
    if not obj["metadata"].get("deletionTimestamp"):
        return False
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any(
        c["type"] == TYPE and c["status"] == "True" and c.get("reason") == BY_PREEMPTION.reason for c in conditions
    )
