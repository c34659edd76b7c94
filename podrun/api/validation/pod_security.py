"""Security contexts of pods and containers: users, groups, seccomp, AppArmor, sysctls, what Windows has instead."""

from __future__ import annotations

import re

from podrun.api.validation.field import (
    Causes,
    Path,
    duplicate,
    each_invalid,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
)
from podrun.api.validation.internal import internal
from podrun.api.validation.names import user_or_group_id
from podrun.api.validation.paths import descending
from podrun.api.validation.pod_windows import windows_options
from podrun.api.validation.read import (
    Object,
    flag,
    items,
    mapping,
    numbers,
    optional_flag,
    optional_mapping,
    optional_number,
    optional_text,
    size,
    strings,
    text,
)

PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
PROC_MOUNTS = ("Default", "Unmasked")
GROUP_CHANGE_POLICIES = ("Always", "OnRootMismatch")
SUPPLEMENTAL_POLICIES = ("Merge", "Strict")
SELINUX_POLICIES = ("Recursive",)
"""`MountOption` is behind the gate SELinuxMount, which is off in 1.36."""
LONGEST_PROFILE = 4095
LONGEST_SYSCTL = 253
SYSCTL_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
SYSCTL_FORMAT = rf"^({SYSCTL_SEGMENT}[\./])*{SYSCTL_SEGMENT}$"
SYSCTL = re.compile(SYSCTL_FORMAT.strip("^$"))
IPC_SYSCTLS = frozenset(
    f"kernel.{name}"
    for name in ("sem", "shm", "shmall", "shmmax", "shmmni", "shm_rmid_forced", "msg", "msgmax", "msgmnb", "msgmni")
)


def pod_security_context(context: Object, spec: Object, path: Path) -> Causes:
    """`spec.securityContext`; the host's namespaces are fields of the `spec`."""
    yield from ids(context, ("fsGroup", "runAsUser", "runAsGroup"), path)
    for position, group in enumerate(numbers(context, "supplementalGroups")):
        yield from each_invalid(path.child("supplementalGroups").at(position), group, user_or_group_id(group))
    if flag(spec, "shareProcessNamespace") and flag(spec, "hostPID"):
        why = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield invalid(path.child("shareProcessNamespace"), True, why)
    yield from sysctls(items(context, "sysctls"), spec, path.child("sysctls"))
    yield from one_of(context, "fsGroupChangePolicy", GROUP_CHANGE_POLICIES, path)
    yield from seccomp_profile(optional_mapping(context, "seccompProfile"), path.child("seccompProfile"))
    yield from windows_options(optional_mapping(context, "windowsOptions"), path.child("windowsOptions"))
    yield from apparmor_profile(optional_mapping(context, "appArmorProfile"), path.child("appArmorProfile"))
    yield from one_of(context, "supplementalGroupsPolicy", SUPPLEMENTAL_POLICIES, path)
    yield from one_of(context, "seLinuxChangePolicy", SELINUX_POLICIES, path)


def container_security_context(context: Object | None, path: Path, *, host_users: bool) -> Causes:
    """`securityContext` of a container; `host_users` says that the pod shares the host's user namespace."""
    if context is None:
        return
    yield from ids(context, ("runAsUser", "runAsGroup"), path)
    proc_mount = optional_text(context, "procMount")
    yield from one_of(context, "procMount", PROC_MOUNTS, path)
    if host_users and proc_mount == "Unmasked":
        yield invalid(path.child("procMount"), proc_mount, "`hostUsers` must be false to use `Unmasked`")
    yield from seccomp_profile(optional_mapping(context, "seccompProfile"), path.child("seccompProfile"))
    if optional_flag(context, "allowPrivilegeEscalation") is False:
        shown = internal("SecurityContext", context)
        if flag(context, "privileged"):
            yield invalid(path, shown, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
        for capability in strings(mapping(context, "capabilities"), "add"):
            if capability == "CAP_SYS_ADMIN":
                why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
                yield invalid(path, shown, why)
    yield from windows_options(optional_mapping(context, "windowsOptions"), path.child("windowsOptions"))
    yield from apparmor_profile(optional_mapping(context, "appArmorProfile"), path.child("appArmorProfile"))


def ids(context: Object, names: tuple[str, ...], path: Path) -> Causes:
    for name in names:
        value = optional_number(context, name)
        if value is not None:
            yield from each_invalid(path.child(name), value, user_or_group_id(value))


def one_of(context: Object, name: str, supported: tuple[str, ...], path: Path) -> Causes:
    """A field that may be left out, else holds one of the `supported` values."""
    value = optional_text(context, name)
    if value is not None and value not in supported:
        yield not_supported(path.child(name), value, supported)


def seccomp_profile(profile: Object | None, path: Path) -> Causes:
    if profile is None:
        return
    kind, file = text(profile, "type"), optional_text(profile, "localhostProfile")
    if not kind:
        yield required(path.child("type"), "type is required when seccompProfile is set")
    elif kind not in PROFILES:
        yield not_supported(path.child("type"), kind, PROFILES)
    here = path.child("localhostProfile")
    if kind != "Localhost":
        if file is not None:
            yield invalid(here, internal("Profile", profile), "can only be set when seccomp type is Localhost")
    elif file is None:
        yield required(here, "must be set when seccomp type is Localhost")
    else:
        yield from descending(file, here)


def apparmor_profile(profile: Object | None, path: Path) -> Causes:
    if profile is None:
        return
    kind, name = text(profile, "type"), optional_text(profile, "localhostProfile")
    here = path.child("localhostProfile")
    if kind == "Localhost":
        if name is None:
            yield required(here, "must be set when AppArmor type is Localhost")
            return
        if name.strip() != name:
            yield invalid(here, name, "must not be padded with whitespace")
        elif not name:
            yield required(here, "must be set when AppArmor type is Localhost")
        if size(name) > LONGEST_PROFILE:
            yield too_long(here, LONGEST_PROFILE)
    elif not kind:
        yield required(path.child("type"), "type is required when appArmorProfile is set")
    elif kind not in PROFILES:
        yield not_supported(path.child("type"), kind, PROFILES)
    elif name is not None:
        yield invalid(here, name, "can only be set when AppArmor type is Localhost")


def sysctls(settings: list[Object], spec: Object, path: Path) -> Causes:
    """Names that the kernel could have, each once, and none that would be set for the host."""
    seen: set[str] = set()
    for position, setting in enumerate(settings):
        here = path.at(position).child("name")
        name = text(setting, "name")
        if not name:
            yield required(here)
        elif size(name) > LONGEST_SYSCTL or not SYSCTL.fullmatch(name):
            why = f"must have at most {LONGEST_SYSCTL} characters and match regex {SYSCTL_FORMAT}"
            yield invalid(here, name, why)
        elif name in seen:
            yield duplicate(here, name)
        seen.add(name)
        dotted = sysctl_with_dots(name).partition("*")[0]
        if flag(spec, "hostNetwork") and dotted.startswith("net."):
            yield invalid(here, name, "may not be specified when 'hostNetwork' is true")
        elif flag(spec, "hostIPC") and is_ipc_sysctl(dotted):
            yield invalid(here, name, "may not be specified when 'hostIPC' is true")


def is_ipc_sysctl(dotted: str) -> bool:
    return dotted in IPC_SYSCTLS or dotted.startswith("fs.mqueue.")


def sysctl_with_dots(name: str) -> str:
    """The name with dots between its parts. When it is written with slashes, dots and slashes change places."""
    first = re.search(r"[./]", name)
    return name.translate(str.maketrans("./", "/.")) if first and first[0] == "/" else name


def hosts_users(spec: Object, containers: list[tuple[Object, Path]], path: Path) -> Causes:
    """What does not go together with a user namespace of the pod's own (KEP-127)."""
    if optional_flag(spec, "hostUsers") is not False:
        return
    why = "when `hostUsers` is false"
    if flag(spec, "hostNetwork"):
        yield forbidden(path.child("hostNetwork"), why)
    if flag(spec, "hostPID"):
        yield forbidden(path.child("HostPID"), why)
    if flag(spec, "hostIPC"):
        yield forbidden(path.child("HostIPC"), why)
    for container, container_path in containers:
        if items(container, "volumeDevices"):
            yield forbidden(container_path.child("volumeDevices"), why)
