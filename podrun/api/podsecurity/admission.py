"""What is said of a pod, of a pod template and of a namespace: refusals, warnings, and notes for an audit.

No namespace, user or runtime class is exempt, as in a cluster whose administrator has configured none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from podrun.api.errors import ApiError, forbidden, invalid
from podrun.api.podsecurity.policy import PRIVILEGED, LevelVersion, of_labels
from podrun.api.podsecurity.standard import violations

Object = Mapping[str, Any]

MOST_PODS = 3000
"""How many pods of a namespace are looked at when its labels change."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`refusal` is raised where there is one; `audit` is what the mode `audit` notes ("" for nothing)."""

    refusal: ApiError | None = None
    warnings: tuple[str, ...] = ()
    audit: str = ""


FINE = Verdict()


def judge_pod(pod: Object, old: Object | None, namespace: Object) -> Verdict:
    """What the namespace's policy says of a pod that is made, or changed from `old`."""
    labels = _labels(namespace)
    if not labels or (old is not None and not _matters(pod["spec"], old["spec"])):
        return FINE
    return _judge(labels, pod["metadata"], pod["spec"], pod["metadata"].get("name", ""))


def judge_template(template: Object, namespace: Object) -> Verdict:
    """What is said of a pod template: it is warned about and noted, never refused."""
    labels = _labels(namespace)
    spec = template.get("spec")
    return _judge(labels, template.get("metadata") or {}, spec, None) if labels and spec else FINE


def judge_namespace(new: Object, old: Object | None, pods: Iterable[Object]) -> Verdict:
    """Whether a namespace's labels are sound, and which of its `pods` they would not let in any more."""
    name = new["metadata"].get("name", "")
    policy, causes = of_labels(_labels(new))
    if old is None:
        return Verdict(invalid("Namespace", name, causes)) if causes else FINE
    before, known = of_labels(_labels(old))
    if causes and causes != known:
        return Verdict(invalid("Namespace", name, causes))
    now, then = policy.enforce, before.enforce
    looser = now.version == then.version and now.strictness <= then.strictness
    if now == then or now.level == PRIVILEGED or looser:
        return FINE
    return Verdict(warnings=tuple(_warnings_of_pods(name, now, list(pods))))


def _judge(labels: Mapping[str, str], metadata: Object, spec: Object, name: str | None) -> Verdict:
    """`name` is None for what is not enforced."""
    policy, _ = of_labels(labels)
    refusal = None
    warnings: tuple[str, ...] = ()
    if name is not None and (found := _told(policy.enforce, metadata, spec)):
        refusal = forbidden("pods", name, f"violates {found}")
    elif found := _told(policy.warn, metadata, spec):
        warnings = (f"would violate {found}",)
    noted = _told(policy.audit, metadata, spec)
    return Verdict(refusal, warnings, f"would violate {noted}" if noted else "")


def _told(policy: LevelVersion, metadata: Object, spec: Object) -> str:
    """`PodSecurity "restricted:latest": what, and what`; "" where nothing is violated."""
    found = violations(policy, metadata, spec)
    return f'PodSecurity "{policy}": {", ".join(map(str, found))}' if found else ""


def _matters(new: Object, old: Object) -> bool:
    """Whether a change of a pod can change what is said of it: another image, another container."""
    for group in ("containers", "initContainers"):
        now, then = new.get(group) or (), old.get(group) or ()
        if len(now) != len(then) or any(a.get("image") != b.get("image") for a, b in zip(now, then, strict=True)):
            return True
    known = {one.get("name"): one.get("image") for one in old.get("ephemeralContainers") or ()}
    added = new.get("ephemeralContainers") or ()
    return any(one.get("name") not in known or known[one.get("name")] != one.get("image") for one in added)


def _warnings_of_pods(namespace: str, enforce: LevelVersion, pods: Sequence[Object]) -> list[str]:
    ordered = _one_of_each_owner_first(pods)
    looked_at = ordered[:MOST_PODS]
    offenders: dict[str, list[str]] = {}
    for pod in looked_at:
        found = violations(enforce, pod["metadata"], pod["spec"])
        if found:
            reason = ", ".join(violation.reason for violation in found)
            offenders.setdefault(reason, []).append(pod["metadata"]["name"])
    said = []
    if len(looked_at) < len(ordered):
        count = f"the first {len(looked_at)} of {len(ordered)} existing pods"
        said.append(f"new PodSecurity enforce level only checked against {count}")
    if offenders:
        said.append(f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{enforce}"')
    return said + sorted(f"{_with_others(names)}: {reason}" for reason, names in offenders.items())


def _with_others(names: Sequence[str]) -> str:
    """The first of these pods, and how many there are beside it."""
    others = {1: "", 2: " (and 1 other pod)"}.get(len(names), f" (and {len(names) - 1} other pods)")
    return min(names) + others


def _one_of_each_owner_first(pods: Sequence[Object]) -> list[Object]:
    """Pods of one controller are much alike: one of each is looked at before its siblings are."""
    first: list[Object] = []
    others: list[Object] = []
    seen: set[str] = set()
    for pod in pods:
        owners = pod["metadata"].get("ownerReferences") or ()
        controller = next((one.get("uid") for one in owners if one.get("controller")), None)
        (others if controller in seen else first).append(pod)
        if controller is not None:
            seen.add(controller)
    return first + others


def _labels(obj: Object) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or {}
