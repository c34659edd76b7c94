"""The checks of the level `baseline`: known ways to more privileges than a container has by default."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from podrun.api.gotext import quote
from podrun.api.podsecurity.reading import (
    Check,
    Object,
    Violation,
    called,
    containers,
    context,
    has_own_users,
    names,
    plural,
    quoted,
    setters,
)

CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)
"""What a container may add."""
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
SOUND_PROFILES = frozenset({"RuntimeDefault", "Localhost"})


def app_armor(metadata: Object, spec: Object) -> Violation | None:
    """AppArmor's default profile is neither turned off nor replaced by no profile."""

    def profile(owner: Object) -> str | None:
        given = context(owner).get("appArmorProfile")
        return None if given is None or given.get("type") in SOUND_PROFILES else given.get("type", "")

    whole = profile(spec)
    bad = [(one.get("name", ""), kind) for one in containers(spec) if (kind := profile(one)) is not None]
    values = sorted({kind for _, kind in bad} | ({whole} if whole is not None else set()))
    annotations = sorted(
        f"{key}={quote(value)}"
        for key, value in (metadata.get("annotations") or {}).items()
        if key.startswith(APPARMOR) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    )
    who = [text for text in (setters(whole is not None, [name for name, _ in bad]),) if text]
    if annotations:
        values += annotations
        who.append(plural("annotation", len(annotations)))
    if not who:
        return None
    detail = f"{' and '.join(who)} must not set AppArmor profile type to {quoted(values)}"
    return Violation(plural("forbidden AppArmor profile", len(values)), detail)


def capabilities(metadata: Object, spec: Object) -> Violation | None:
    """Nothing is added to the default capabilities; NET_RAW, one of them, may not be asked for by name."""
    bad, added = [], set()
    for one in containers(spec):
        beyond = set((context(one).get("capabilities") or {}).get("add") or ()) - CAPABILITIES
        if beyond:
            bad.append(one.get("name", ""))
            added |= beyond
    if not bad:
        return None
    detail = f"{called(bad)} must not include {quoted(sorted(added))} in securityContext.capabilities.add"
    return Violation("non-default capabilities", detail)


def host_namespaces(metadata: Object, spec: Object) -> Violation | None:
    shared = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    return Violation("host namespaces", ", ".join(shared)) if shared else None


def host_path_volumes(metadata: Object, spec: Object) -> Violation | None:
    bad = names(one for one in spec.get("volumes") or () if one.get("hostPath") is not None)
    return Violation("hostPath volumes", f"{plural('volume', len(bad))} {quoted(bad)}") if bad else None


def host_ports(metadata: Object, spec: Object) -> Violation | None:
    bad, taken = [], set()
    for one in containers(spec):
        ports = {str(port["hostPort"]) for port in one.get("ports") or () if port.get("hostPort")}
        if ports:
            bad.append(one.get("name", ""))
            taken |= ports
    if not bad:
        return None
    use = "uses" if len(bad) == 1 else "use"
    return Violation("hostPort", f"{called(bad)} {use} {plural('hostPort', len(taken))} {', '.join(sorted(taken))}")


def hosts_of_handlers(metadata: Object, spec: Object) -> Violation | None:
    """A probe or a lifecycle hook, which the kubelet carries out, asks nobody but the pod."""
    bad: set[str] = set()
    hosts: set[str] = set()
    for one in containers(spec):
        found = {host for handler in _handlers(one) for host in _hosts(handler)}
        if found:
            bad.add(one.get("name", ""))
            hosts |= found
    if not bad:
        return None
    use = "uses" if len(bad) == 1 else "use"
    what = plural("probe or lifecycle host", len(hosts))
    return Violation("probe or lifecycle host", f"{called(sorted(bad))} {use} {what} {quoted(sorted(hosts))}")


def _handlers(container: Object) -> Iterator[Object]:
    lifecycle = container.get("lifecycle") or {}
    for owner, name in (
        (container, "livenessProbe"),
        (container, "readinessProbe"),
        (container, "startupProbe"),
        (lifecycle, "postStart"),
        (lifecycle, "preStop"),
    ):
        if owner.get(name):
            yield owner[name]


def _hosts(handler: Object) -> list[str]:
    return [host for kind in ("httpGet", "tcpSocket") if (host := (handler.get(kind) or {}).get("host"))]


def privileged(metadata: Object, spec: Object) -> Violation | None:
    bad = names(one for one in containers(spec) if context(one).get("privileged"))
    return Violation("privileged", f"{called(bad)} must not set securityContext.privileged=true") if bad else None


def proc_mount(metadata: Object, spec: Object) -> Violation | None:
    """/proc is masked as by default."""
    bad = [one for one in containers(spec) if context(one).get("procMount") not in (None, "Default")]
    if not bad:
        return None
    kinds = sorted({context(one)["procMount"] for one in bad})
    return Violation("procMount", f"{called(names(bad))} must not set securityContext.procMount to {quoted(kinds)}")


def proc_mount_of_own_users(metadata: Object, spec: Object) -> Violation | None:
    """As above; in a user namespace an unmasked /proc gives nothing away (1.35)."""
    return None if has_own_users(spec) else proc_mount(metadata, spec)


def selinux(*types: str) -> Check:
    """SELinux: only these types, and no user or role."""

    def check(metadata: Object, spec: Object) -> Violation | None:
        whole = _refused_selinux(context(spec).get("seLinuxOptions"), types)
        bad = [(one, refused) for one in containers(spec) if (refused := _refused_options(one, types))]
        options: list[Object] = [refused for _, refused in bad] + ([whole] if whole else [])
        if not options:
            return None
        kinds = sorted({one["type"] for one in options if "type" in one})
        data = [f"{plural('type', len(kinds))} {quoted(kinds)}"] if kinds else []
        data += [f"{name} may not be set" for name in ("user", "role") if any(name in one for one in options)]
        who = setters(bool(whole), names(one for one, _ in bad))
        return Violation("seLinuxOptions", f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}")

    return check


def _refused_options(container: Object, types: tuple[str, ...]) -> Object:
    return _refused_selinux(context(container).get("seLinuxOptions"), types)


def _refused_selinux(options: Object | None, types: tuple[str, ...]) -> dict[str, Any]:
    """Those of the options that are not allowed."""
    given = options or {}
    refused = {name: given[name] for name in ("user", "role") if given.get(name)}
    if given.get("type", "") not in ("", *types):
        refused["type"] = given["type"]
    return refused


def seccomp_annotations(metadata: Object, spec: Object) -> Violation | None:
    """Before 1.19 a profile was an annotation."""
    annotations = metadata.get("annotations") or {}
    keys = [SECCOMP_POD, *(SECCOMP_CONTAINER + name for name in names(containers(spec)))]
    bad = sorted({f"{key}={quote(annotations[key])}" for key in keys if not _is_sound(annotations.get(key))})
    return Violation("seccompProfile", f"forbidden {plural('annotation', len(bad))} {', '.join(bad)}") if bad else None


def _is_sound(annotation: str | None) -> bool:
    return (
        annotation is None or annotation in ("runtime/default", "docker/default") or annotation.startswith("localhost/")
    )


def seccomp(metadata: Object, spec: Object) -> Violation | None:
    """No profile, or one that filters."""
    whole = refused_profile(spec)
    bad = [(one.get("name", ""), kind) for one in containers(spec) if (kind := refused_profile(one)) is not None]
    return seccomp_violation(whole, bad)


def seccomp_violation(whole: str | None, bad: list[tuple[str, str]]) -> Violation | None:
    """What is said of a pod's own refused type and of those of its containers (by name)."""
    who = setters(whole is not None, [name for name, _ in bad])
    if not who:
        return None
    values = sorted({kind for _, kind in bad} | ({whole} if whole is not None else set()))
    return Violation("seccompProfile", f"{who} must not set securityContext.seccompProfile.type to {quoted(values)}")


def refused_profile(owner: Object) -> str | None:
    """The type of a seccomp profile that may not be; None where there is none or it may."""
    given = context(owner).get("seccompProfile")
    return None if given is None or given.get("type") in SOUND_PROFILES else given.get("type", "")


def sysctls(*allowed: str) -> Check:
    """Only these kernel parameters, which change nothing outside the pod."""

    def check(metadata: Object, spec: Object) -> Violation | None:
        bad = [name for name in names(context(spec).get("sysctls") or ()) if name not in allowed]
        return Violation("forbidden sysctls", ", ".join(bad)) if bad else None

    return check


def windows_host_process(metadata: Object, spec: Object) -> Violation | None:
    def hosts(owner: Object) -> bool:
        return bool((context(owner).get("windowsOptions") or {}).get("hostProcess"))

    who = setters(hosts(spec), names(one for one in containers(spec) if hosts(one)))
    return (
        Violation("hostProcess", f"{who} must not set securityContext.windowsOptions.hostProcess=true") if who else None
    )
