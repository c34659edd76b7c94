"""The checks that the level `restricted` adds: the best practice of hardening."""

from __future__ import annotations

from podrun.api.podsecurity.baseline import refused_profile, seccomp_violation
from podrun.api.podsecurity.reading import (
    Check,
    Object,
    Violation,
    called,
    containers,
    context,
    has_own_users,
    is_windows,
    names,
    plural,
    quoted,
    setters,
)

VOLUMES = (
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
)
OTHER_VOLUMES = (
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
)


def except_windows(check: Check) -> Check:
    """From 1.25 on: a pod for Windows could not set what is asked for."""
    return lambda metadata, spec: None if is_windows(spec) else check(metadata, spec)


def except_own_users(check: Check) -> Check:
    """From 1.35 on: in a user namespace, root is nobody outside (KEP-127)."""
    return lambda metadata, spec: None if has_own_users(spec) else check(metadata, spec)


def privilege_escalation(metadata: Object, spec: Object) -> Violation | None:
    bad = names(one for one in containers(spec) if context(one).get("allowPrivilegeEscalation") is not False)
    if not bad:
        return None
    detail = f"{called(bad)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", detail)


def capabilities(metadata: Object, spec: Object) -> Violation | None:
    """Every capability is dropped, and only NET_BIND_SERVICE added."""
    keeping, adding, added = [], [], set()
    for one in containers(spec):
        given = context(one).get("capabilities") or {}
        if "ALL" not in (given.get("drop") or ()):
            keeping.append(one.get("name", ""))
        beyond = set(given.get("add") or ()) - {"NET_BIND_SERVICE"}
        if beyond:
            adding.append(one.get("name", ""))
            added |= beyond
    details = []
    if keeping:
        details.append(f'{called(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        listed = quoted(sorted(added))
        details.append(f"{called(adding)} must not include {listed} in securityContext.capabilities.add")
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


def volumes(metadata: Object, spec: Object) -> Violation | None:
    """Only volumes that hold nothing of the node's."""
    bad = [one for one in spec.get("volumes") or () if all(one.get(kind) is None for kind in VOLUMES)]
    if not bad:
        return None
    kinds = sorted({next((kind for kind in OTHER_VOLUMES if one.get(kind) is not None), "unknown") for one in bad})
    use = "uses" if len(bad) == 1 else "use"
    who = f"{plural('volume', len(bad))} {quoted(names(bad))}"
    what = f"{plural('restricted volume type', len(kinds))} {quoted(kinds)}"
    return Violation("restricted volume types", f"{who} {use} {what}")


def run_as_non_root(metadata: Object, spec: Object) -> Violation | None:
    whole = context(spec).get("runAsNonRoot")
    own = [(one.get("name", ""), context(one).get("runAsNonRoot")) for one in containers(spec)]
    who = setters(whole is False, [name for name, said in own if said is False])
    if who:
        return Violation("runAsNonRoot != true", f"{who} must not set securityContext.runAsNonRoot=false")
    silent = [name for name, said in own if said is None and whole is None]
    if not silent:
        return None
    return Violation("runAsNonRoot != true", f"pod or {called(silent)} must set securityContext.runAsNonRoot=true")


def run_as_user(metadata: Object, spec: Object) -> Violation | None:
    bad = names(one for one in containers(spec) if context(one).get("runAsUser") == 0)
    who = setters(context(spec).get("runAsUser") == 0, bad)
    return Violation("runAsUser=0", f"{who} must not set runAsUser=0") if who else None


def seccomp(metadata: Object, spec: Object) -> Violation | None:
    """A profile that filters, by the pod's word or by each container's."""
    whole = refused_profile(spec)
    bad = [(one.get("name", ""), kind) for one in containers(spec) if (kind := refused_profile(one)) is not None]
    if (violation := seccomp_violation(whole, bad)) is not None:
        return violation
    if context(spec).get("seccompProfile") is not None:
        return None
    silent = names(one for one in containers(spec) if context(one).get("seccompProfile") is None)
    if not silent:
        return None
    must = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Violation("seccompProfile", f"pod or {called(silent)} {must}")
