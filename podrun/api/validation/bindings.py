"""What is posted to a pod's subresources."""

from __future__ import annotations

from podrun.api.validation.field import Causes, not_supported, required
from podrun.api.validation.read import Object, mapping, text


def binding(obj: Object) -> Causes:
    """A Binding: the node that a pod goes to.

    Kubernetes does not answer these as an invalid object but with code 500 and the bare causes
    (`target.name: Required value`).
    """
    target = mapping(obj, "target")
    if text(target, "kind") not in ("", "Node"):
        yield not_supported("target.kind", text(target, "kind"), ("Node", "<empty>"))
    if not text(target, "name"):
        yield required("target.name")
