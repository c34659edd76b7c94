"""What is posted to a subresource or to be answered at once, and is stored nowhere."""

from __future__ import annotations

from podrun.api.validation.field import Causes, invalid, not_supported, required
from podrun.api.validation.read import Object, mapping, number, optional_mapping, text

SHORTEST_TOKEN = 10 * 60
LONGEST_TOKEN = 1 << 32


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


def token_request(obj: Object) -> Causes:
    """A TokenRequest: how long the token may live."""
    seconds = number(mapping(obj, "spec"), "expirationSeconds")
    if seconds < SHORTEST_TOKEN:
        yield invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    if seconds > LONGEST_TOKEN:
        yield invalid("spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")


def access_review(obj: Object) -> Causes:
    """A SelfSubjectAccessReview: about a resource or about a URL."""
    spec = mapping(obj, "spec")
    resource, url = (optional_mapping(spec, name) for name in ("resourceAttributes", "nonResourceAttributes"))
    if resource is not None and url is not None:
        shown = {"Path": text(url, "path"), "Verb": text(url, "verb")}
        yield invalid("spec.nonResourceAttributes", shown, "cannot be specified in combination with resourceAttributes")
    if resource is None and url is None:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        yield invalid("spec.resourceAttributes", None, why)


def anything(obj: Object) -> Causes:
    """A kind that only asks: whatever it says is fine."""
    yield from ()
