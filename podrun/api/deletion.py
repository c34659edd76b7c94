"""What a DELETE does to an object: pure rules, the same as apiserver/pkg/registry/rest/delete.go and generic/registry.

    DELETE ──> decide() ──> unchanged: it is already ending, and not sooner because of this
                       ├──> marked:    deletionTimestamp (and grace, finalizers) set; it goes later
                       └──> gone:      nothing holds it

A pod on a node gets its grace period, and whoever runs it removes it in the end. Everything else goes at once unless
finalizers hold it; then it goes with the update that takes away the last one (`is_finished`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from podrun.api.errors import ApiError, bad_request, conflict
from podrun.api.gotext import quote
from podrun.api.kinds import Kind
from podrun.api.names import parse_time, rfc3339

Object = dict[str, Any]

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """The options of a DELETE, from its body or its query."""

    grace_seconds: int | None = None
    uid: str | None = None
    resource_version: str | None = None
    policy: str | None = None
    orphan_dependents: bool | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Deletion:
    """What becomes of the object: `state` is its new state (the old one when unchanged), `gone` whether it goes."""

    state: Object
    gone: bool
    changed: bool


def decide(kind: Kind, obj: Object, options: DeleteOptions, now: float) -> Deletion:
    """The effect of a DELETE at `now` (seconds since the epoch). Raises Conflict where a precondition does not hold."""
    check_preconditions(kind, obj, options)
    if kind.resource == "namespaces":
        return _namespace(obj, now)
    metadata = dict(obj["metadata"])
    graceful = False
    grace = 0
    if kind.resource == "pods":
        if "deletionTimestamp" in metadata:
            current = metadata.get("deletionGracePeriodSeconds") or 0
            if current:
                shortened = _shortened(metadata, current, options, now)
                if shortened is None:
                    return Deletion(obj, False, False)
                metadata |= shortened
                graceful, grace = True, shortened["deletionGracePeriodSeconds"]
        else:
            graceful, grace = True, grace_of(obj, options)
            metadata["deletionTimestamp"] = rfc3339(now + grace)
            metadata["deletionGracePeriodSeconds"] = grace
            _count_generation(metadata)
    finalizers = _finalizers(metadata.get("finalizers") or [], options)
    _set_finalizers(metadata, finalizers)
    if finalizers and not graceful:
        _mark(metadata, now)
    gone = not finalizers and grace == 0
    changed = metadata != obj["metadata"]
    return Deletion({**obj, "metadata": metadata} if changed else obj, gone, changed)


def grace_of(pod: Object, options: DeleteOptions) -> int:
    """Seconds that a pod is given: none where it does not run (not on a node, or ended)."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    wanted = options.grace_seconds
    if wanted is None:
        wanted = spec.get("terminationGracePeriodSeconds", 0)
    # A negative period means the shortest one that is still graceful.
    return 1 if wanted < 0 else wanted


def is_finished(kind: Kind, obj: Object) -> bool:
    """Whether an object that has just been updated is to go now: it is ending and nothing holds it any more."""
    metadata = obj["metadata"]
    if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
        return False
    if kind.resource == "namespaces":
        return not (obj.get("spec") or {}).get("finalizers")
    return not metadata.get("deletionGracePeriodSeconds")


def check_preconditions(kind: Kind, obj: Object, options: DeleteOptions) -> None:
    """Raises Conflict when the object is another one, or at another version, than the client thinks."""
    metadata = obj["metadata"]
    if options.uid is not None and options.uid != metadata.get("uid"):
        raise _mismatch(kind, metadata, "UID", options.uid, metadata.get("uid", ""), "deleted and then recreated")
    if options.resource_version is not None and options.resource_version != metadata.get("resourceVersion"):
        found = metadata.get("resourceVersion", "")
        raise _mismatch(kind, metadata, "ResourceVersion", options.resource_version, found, "modified")


def _mismatch(kind: Kind, metadata: Object, what: str, wanted: str, found: str, perhaps: str) -> ApiError:
    if kind.resource == "namespaces":  # its registry asks first, in words of its own
        why = f"Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
        return conflict(kind.resource, metadata["name"], why)
    why = (
        f"the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). "
        f"The object might have been {perhaps}"
    )
    return conflict(kind.qualified_kind, metadata["name"], why)


def _shortened(metadata: Object, current: int, options: DeleteOptions, now: float) -> Object | None:
    """The fields of a shorter grace period, or None: a grace period is never made longer."""
    wanted = options.grace_seconds
    if wanted is None:
        return None
    wanted = 1 if wanted < 0 else wanted
    if wanted >= current:
        return None
    ends = parse_time(metadata["deletionTimestamp"]) - current + wanted
    if ends < now:
        # The whole new period has passed already; at least a second stays for an orderly end, unless none was wanted.
        ends, wanted = now, min(wanted, 1)
    return {"deletionTimestamp": rfc3339(ends), "deletionGracePeriodSeconds": wanted}


def _finalizers(present: list[str], options: DeleteOptions) -> list[str]:
    """The finalizers with those of garbage collection as the options want them."""
    orphan = ORPHAN in present
    foreground = FOREGROUND in present
    if options.orphan_dependents is not None:
        orphan, foreground = options.orphan_dependents, False
    if options.policy is not None:
        orphan, foreground = options.policy == "Orphan", options.policy == "Foreground"
    kept = [one for one in present if one not in (ORPHAN, FOREGROUND)]
    return kept + [ORPHAN] * orphan + [FOREGROUND] * foreground


def _set_finalizers(metadata: Object, finalizers: list[str]) -> None:
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)


def _mark(metadata: Object, now: float) -> None:
    if "deletionTimestamp" not in metadata:
        _count_generation(metadata)
        metadata["deletionTimestamp"] = rfc3339(now)
    elif parse_time(metadata["deletionTimestamp"]) > now:
        metadata["deletionTimestamp"] = rfc3339(now)
    metadata["deletionGracePeriodSeconds"] = 0


def _count_generation(metadata: Object) -> None:
    if metadata.get("generation"):
        metadata["generation"] += 1


def _namespace(obj: Object, now: float) -> Deletion:
    """A namespace first terminates; it goes once its contents, and with them its finalizers, are gone."""
    if "deletionTimestamp" not in obj["metadata"]:
        metadata = {**obj["metadata"], "deletionTimestamp": rfc3339(now)}
        status = {**(obj.get("status") or {}), "phase": "Terminating"}
        return Deletion({**obj, "metadata": metadata, "status": status}, False, True)
    held = bool((obj.get("spec") or {}).get("finalizers") or obj["metadata"].get("finalizers"))
    return Deletion(obj, not held, False)


def options_of(body: Any) -> DeleteOptions:
    """DeleteOptions from a parsed body; raises BadRequest for what is none."""
    if not isinstance(body, dict):
        raise bad_request("couldn't get version/kind; json parse error: json: cannot unmarshal the body")
    kind, version = body.get("kind") or "DeleteOptions", body.get("apiVersion") or "meta.k8s.io/v1"
    if kind != "DeleteOptions":
        raise bad_request(
            f'no kind {quote(str(kind))} is registered for version {quote(str(version))} in scheme "delete"'
        )
    preconditions = body.get("preconditions") or {}
    grace = body.get("gracePeriodSeconds")
    if not isinstance(preconditions, dict) or not isinstance(grace, int | None) or isinstance(grace, bool):
        raise bad_request("the body is not a valid DeleteOptions object")
    return DeleteOptions(
        grace,
        preconditions.get("uid"),
        preconditions.get("resourceVersion"),
        body.get("propagationPolicy"),
        body.get("orphanDependents"),
        bool(body.get("dryRun")),
    )
