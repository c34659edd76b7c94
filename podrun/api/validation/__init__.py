"""What Kubernetes refuses, in Kubernetes' words: pure functions from objects to the causes of a refusal.

Objects come in as decoded and with their defaults filled in, metadata completed as the API server does it (name
generated, namespace, uid and creation time set). Nothing is read but the arguments, nothing is changed, and no shape
of JSON raises: a value of the wrong type counts as absent, since the decoder has refused it before.

The causes come in the order of the rules, duplicates removed. The rules are those of Kubernetes 1.36 with its default
feature gates (`pkg/apis/core/validation` and its neighbours).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from podrun.api.errors import Cause
from podrun.api.validation.field import Causes

Object = dict[str, Any]

CREATE: dict[str, Callable[[Object], Causes]] = {}
UPDATE: dict[tuple[str, str], Callable[[Object, Object], Causes]] = {}
WARNINGS: dict[str, Callable[[Object, Object | None], Iterable[str]]] = {}


def validate_create(kind: str, obj: Object) -> list[Cause]:
    """The causes for which a new `obj` of `kind` ("Pod", "ConfigMap", "Binding", "Eviction", ...) is refused.

    Kinds that exist in two API groups (Event) are told apart by the object's `apiVersion`. A kind without rules of its
    own gives no causes.
    """
    rules = CREATE.get(kind)
    return list(dict.fromkeys(rules(obj))) if rules else []


def validate_update(kind: str, new: Object, old: Object, subresource: str = "") -> list[Cause]:
    """The causes for which `new` may not replace `old`, through the object itself or its `subresource`.

    `subresource` is "" or one of "status", "resize", "ephemeralcontainers", "finalize". `new` must already be what the
    API server would store: for "status" the old spec with the new status, for the others the reverse.
    """
    rules = UPDATE.get((kind, subresource))
    return list(dict.fromkeys(rules(new, old))) if rules else []


def warnings(kind: str, new: Object, old: Object | None = None) -> list[str]:
    """The texts of the `Warning: 299` headers for a `new` object; `old` is what it replaces, if anything."""
    rules = WARNINGS.get(kind)
    return list(dict.fromkeys(rules(new, old))) if rules else []
