"""Leases."""

from __future__ import annotations

from podrun.api.validation.field import Causes, Path, each_invalid, forbidden, invalid, not_supported
from podrun.api.validation.metadata import NOT_NEGATIVE, metadata_update, object_metadata
from podrun.api.validation.names import dns_subdomain, qualified_name
from podrun.api.validation.read import Object, mapping, optional_number, optional_text, text

SPEC = Path("spec")
STRATEGIES = ("OldestEmulationVersion",)


def lease(obj: Object) -> Causes:
    yield from object_metadata(obj, dns_subdomain, kube_finalizers=False)
    yield from lease_spec(mapping(obj, "spec"))


def lease_update(new: Object, old: Object) -> Causes:
    yield from metadata_update(new, old, kube_finalizers=False)
    yield from lease_spec(mapping(new, "spec"))


def lease_spec(spec: Object) -> Causes:
    duration, transitions = optional_number(spec, "leaseDurationSeconds"), optional_number(spec, "leaseTransitions")
    if duration is not None and duration <= 0:
        yield invalid(SPEC.child("leaseDurationSeconds"), duration, "must be greater than 0")
    if transitions is not None and transitions < 0:
        yield invalid(SPEC.child("leaseTransitions"), transitions, NOT_NEGATIVE)
    strategy = optional_text(spec, "strategy")
    if strategy is not None:
        # the path goes one step too far, as in Kubernetes
        path = SPEC.child("strategy", "strategy")
        if "/" in strategy:
            yield from each_invalid(path, strategy, qualified_name(strategy))
        elif strategy not in STRATEGIES:
            yield not_supported(path, strategy, STRATEGIES)
    if text(spec, "preferredHolder") and not strategy:
        yield forbidden(SPEC.child("preferredHolder"), "may only be specified if `strategy` is defined")
