"""Parameters of requests: how to write, how to delete, which part of a log."""

from __future__ import annotations

from podrun.api.errors import Cause
from podrun.api.validation.field import NOWHERE, Path, forbidden, invalid, not_supported, required
from podrun.api.validation.metadata import NOT_NEGATIVE, field_manager
from podrun.api.validation.read import (
    Object,
    has,
    optional_flag,
    optional_number,
    optional_text,
    strings,
    text,
)

FIELD_VALIDATIONS = ("", "Ignore", "Strict", "Warn")
PROPAGATIONS = ("Foreground", "Background", "Orphan", "nil")


def write_options(options: Object) -> list[Cause]:
    """`fieldManager`, `dryRun` (a list) and `fieldValidation` of a create or an update."""
    causes = list(field_manager(text(options, "fieldManager"), Path("fieldManager")))
    causes += dry_run(strings(options, "dryRun"))
    value = text(options, "fieldValidation")
    if value not in FIELD_VALIDATIONS:
        causes.append(not_supported("fieldValidation", value, FIELD_VALIDATIONS))
    return causes


def patch_options(options: Object, *, is_apply: bool) -> list[Cause]:
    """The same of a patch, and `force`, which only server-side apply knows."""
    causes = []
    if is_apply and not text(options, "fieldManager"):
        causes.append(required("fieldManager", "is required for apply patch"))
    if not is_apply and optional_flag(options, "force") is not None:
        causes.append(forbidden("force", "may not be specified for non-apply patch"))
    return causes + write_options(options)


def dry_run(values: list[str]) -> list[Cause]:
    return [not_supported("dryRun", values, ("All",))] if any(value != "All" for value in values) else []


def delete_options(options: Object) -> list[Cause]:
    """DeleteOptions, from the body or from the parameters of a DELETE."""
    causes = []
    policy = optional_text(options, "propagationPolicy")
    if policy is not None and optional_flag(options, "orphanDependents") is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        causes.append(invalid("propagationPolicy", policy, why))
    if policy is not None and policy not in PROPAGATIONS[:3]:
        causes.append(not_supported("propagationPolicy", policy, PROPAGATIONS))
    causes += dry_run(strings(options, "dryRun"))
    risky = "ignoreStoreReadErrorWithClusterBreakingPotential"
    if optional_flag(options, risky):
        others = ("dryRun", "propagationPolicy", "orphanDependents", "gracePeriodSeconds", "preconditions")
        given = [name for name in others if options.get(name) not in (None, [])]
        causes += [invalid(risky, True, f"cannot be set together with .{name}") for name in given]
    return causes


def log_options(options: Object) -> list[Cause]:
    """PodLogOptions: `tailLines`, `limitBytes`, `sinceSeconds`, `sinceTime`, `stream`."""
    causes = []
    tail, limit = optional_number(options, "tailLines"), optional_number(options, "limitBytes")
    since = optional_number(options, "sinceSeconds")
    if tail is not None and tail < 0:
        causes.append(invalid("tailLines", tail, NOT_NEGATIVE))
    if limit is not None and limit < 1:
        causes.append(invalid("limitBytes", limit, "must be greater than 0"))
    if since is not None and has(options, "sinceTime"):
        causes.append(forbidden(NOWHERE, "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    elif since is not None and since < 1:
        causes.append(invalid("sinceSeconds", since, "must be greater than 0"))
    if has(options, "stream"):  # reading one of the streams is behind a gate that is off
        causes.append(forbidden("stream", "may not be specified"))
    return causes
