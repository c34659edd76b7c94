"""What Kubernetes refuses, in Kubernetes' words: pure functions from objects to the causes of a refusal.

Objects come in as decoded and with their defaults filled in, metadata completed as the API server does it (name
generated; namespace, uid, creation time and, for an update, resourceVersion set). Nothing is read but the arguments,
nothing is changed, and no shape of JSON raises: a value of the wrong type counts as absent, since the decoder has
refused it before.

The causes come in the order of the rules and are not made unique: where Kubernetes checks a thing twice (metadata of
an update), it tells it twice, and so does this. The rules are those of Kubernetes 1.36 with its default feature gates
(`pkg/apis/core/validation` and its neighbours). What Kubernetes tolerates in an update because an older release had
accepted it is not tolerated: podrun has no such objects.
"""

from __future__ import annotations

from podrun.api.errors import Cause
from podrun.api.validation.gates import without_disabled_fields
from podrun.api.validation.metadata import common_create, common_update
from podrun.api.validation.pod_preparation import Prepared, prepare_create
from podrun.api.validation.read import Object, mapping, text
from podrun.api.validation.rules import KINDS, POSTED

__all__ = ["Prepared", "prepare_create", "validate_create", "validate_update", "warnings", "without_disabled_fields"]


def validate_create(kind: str, obj: Object) -> list[Cause]:
    """The causes for which a new `obj` of `kind` ("Pod", "ConfigMap", "Binding", ...) is refused.

    Kinds that exist in two API groups (Event) are told apart by the object's `apiVersion`. A kind without rules of its
    own is only asked for sound metadata.
    """
    if kind in POSTED:
        return list(POSTED[kind](obj))
    rules = KINDS.get(kind)
    causes = list(rules.create(obj)) if rules else []
    namespaced = rules.namespaced if rules else bool(text(mapping(obj, "metadata"), "namespace"))
    return causes or list(common_create(obj, namespaced=namespaced))


def validate_update(kind: str, new: Object, old: Object, subresource: str = "") -> list[Cause]:
    """The causes for which `new` may not replace `old`, through the object itself or its `subresource`.

    `subresource` is "" or one of "status", "resize", "ephemeralcontainers", "finalize". `new` is what the API server
    would store: for "status" the old spec with the new status, for the others the reverse.
    """
    rules = KINDS.get(kind)
    namespaced = rules.namespaced if rules else bool(text(mapping(old, "metadata"), "namespace"))
    causes = list(common_update(new, old, namespaced=namespaced))
    update = rules.updates.get(subresource) if rules else None
    return causes + list(update(new, old)) if update else causes


def warnings(kind: str, new: Object, old: Object | None = None) -> list[str]:
    """The texts of the `Warning: 299` headers for a `new` object; `old` is what it replaces, if anything."""
    rules = KINDS.get(kind)
    return list(rules.warn(new, old)) if rules and rules.warn else []
