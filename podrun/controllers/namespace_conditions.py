"""What a namespace that ends says about it: five conditions, in Kubernetes' words and order.

Source: pkg/controller/namespace/deletion/status_condition_utils.go. All are False while nothing is in the way. The
three failures cannot happen here (kinds are known without asking, and deleting is a write to our own store), so they
stay so; what remains, and which finalizers hold it, is counted from the store, pods included while they alone are
being ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from podrun.api.kinds import Kind

Object = dict[str, Any]

_FINE = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}


def conditions(known: Sequence[Object], remaining: Iterable[tuple[Kind, Object]], now: str) -> list[Object]:
    """The conditions after a look at what `remaining` there is; `now` (RFC 3339) is when one changes its status.

    Conditions of others among the `known` ones are kept. Equal to `known` when nothing has changed.
    """
    resources: Counter[str] = Counter()
    finalizers: Counter[str] = Counter()
    for kind, obj in remaining:
        resources[f"{kind.plural}.{kind.group}"] += 1
        finalizers.update(obj["metadata"].get("finalizers") or ())
    found = {
        "NamespaceContentRemaining": _remain("SomeResourcesRemain", "Some resources are remaining", resources, "has "),
        "NamespaceFinalizersRemaining": _remain(
            "SomeFinalizersRemain", "Some content in the namespace has finalizers remaining", finalizers, "in "
        ),
    }
    before = {one.get("type"): one for one in known}
    made = dict(before)
    for name, fine in _FINE.items():
        reason, message = found.get(name) or fine
        status = "True" if found.get(name) else "False"
        old = before.get(name, {})
        since = old.get("lastTransitionTime", now) if old.get("status") == status else now
        made[name] = {
            "type": name, "status": status, "lastTransitionTime": since, "reason": reason, "message": message,
        }  # fmt: skip
    return list(made.values())


def _remain(reason: str, words: str, counted: Counter[str], verb: str) -> tuple[str, str] | None:
    if not counted:
        return None
    listed = sorted(f"{name} {verb}{number} resource instances" for name, number in counted.items())
    return reason, f"{words}: {', '.join(listed)}"
