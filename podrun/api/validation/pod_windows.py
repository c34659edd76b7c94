"""Windows pods: options of their own, and everything of Linux that may not be set for them.

podrun runs no Windows containers, but it refuses the same manifests as Kubernetes does.
"""

from __future__ import annotations

import re

from podrun.api.validation.field import Causes, Path, each_invalid, forbidden, invalid
from podrun.api.validation.names import dns_subdomain
from podrun.api.validation.read import Object, flag, has, items, mapping, optional_flag, optional_text, size

CREDENTIAL_SPEC_KIB = 64
DOMAIN_LENGTH = 256
USER_LENGTH = 104
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
NETBIOS = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}')
DNS_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
DNS_DOMAIN = re.compile(rf"{DNS_LABEL}(?:\.{DNS_LABEL})*")
NOT_IN_USER_NAMES = frozenset('"/\\:;|=,+*?<>@[]')

NOT_FOR_PODS = (
    "securityContext.appArmorProfile",
    "securityContext.seLinuxOptions",
    "hostUsers",
    "hostPID",
    "hostIPC",
    "securityContext.seccompProfile",
    "securityContext.fsGroup",
    "securityContext.fsGroupChangePolicy",
    "securityContext.sysctls",
    "shareProcessNamespace",
    "securityContext.runAsUser",
    "securityContext.runAsGroup",
    "securityContext.supplementalGroups",
    "securityContext.supplementalGroupsPolicy",
    "securityContext.seLinuxChangePolicy",
)
NOT_FOR_CONTAINERS = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
)
PLAIN_BOOLEANS = ("hostPID", "hostIPC")


def windows_options(options: Object | None, path: Path) -> Causes:
    if options is None:
        return
    name = optional_text(options, "gmsaCredentialSpecName")
    if name is not None:
        yield from each_invalid(path.child("gmsaCredentialSpecName"), name, dns_subdomain(name))
    spec = optional_text(options, "gmsaCredentialSpec")
    if spec == "":
        yield invalid(path.child("gmsaCredentialSpec"), spec, "gmsaCredentialSpec cannot be an empty string")
    elif spec is not None and size(spec) > CREDENTIAL_SPEC_KIB * 1024:
        why = f"gmsaCredentialSpec size must be under {CREDENTIAL_SPEC_KIB} KiB"
        yield invalid(path.child("gmsaCredentialSpec"), spec, why)
    user = optional_text(options, "runAsUserName")
    if user is not None:
        yield from each_invalid(path.child("runAsUserName"), user, user_name(user))


def user_name(value: str) -> list[str]:
    """A user of Windows: `USER` or `DOMAIN\\USER`."""
    domain, backslash, user = value.rpartition("\\")
    if not value:
        return ["runAsUserName cannot be an empty string"]
    if CONTROL.search(value):
        return ["runAsUserName cannot contain control characters"]
    if "\\" in domain:
        return ["runAsUserName cannot contain more than one backslash"]
    problems = []
    if size(domain) >= DOMAIN_LENGTH:
        problems.append(f"runAsUserName's Domain length must be under {DOMAIN_LENGTH} characters")
    if backslash and not NETBIOS.fullmatch(domain) and not DNS_DOMAIN.fullmatch(domain):
        problems.append("runAsUserName's Domain doesn't match the NetBios nor the DNS format")
    if not user:
        problems.append("runAsUserName's User cannot be empty")
    elif size(user) > USER_LENGTH:
        problems.append(f"runAsUserName's User length must not be longer than {USER_LENGTH} characters")
    if user and not user.strip(". "):
        problems.append("runAsUserName's User cannot contain only periods or spaces")
    if set(user) & NOT_IN_USER_NAMES:
        problems.append("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]")
    return problems


def host_process(spec: Object, containers: list[tuple[Object, Path]], path: Path) -> Causes:
    """HostProcess containers: all of a pod's or none, and with the host's network."""
    of_pod = optional_flag(mapping(mapping(spec, "securityContext"), "windowsOptions"), "hostProcess")
    count = 0
    for container, container_path in containers:
        options = mapping(mapping(container, "securityContext"), "windowsOptions")
        own = optional_flag(options, "hostProcess")
        if of_pod is not None and own is not None and of_pod is not own:
            shown = "true" if of_pod else "false"
            why = f"pod hostProcess value must be identical if both are specified, was {shown}"
            yield invalid(container_path.child("securityContext", "windowsOptions", "hostProcess"), own, why)
        count += of_pod is True if own is None else own
    if not count:
        return
    if count != len(containers):
        why = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
        yield invalid(path, "", why)
    if not flag(spec, "hostNetwork"):
        why = "hostNetwork must be true if pod contains any hostProcess containers"
        yield invalid(path.child("hostNetwork"), False, why)


def linux_pod(spec: Object, containers: list[tuple[Object, Path]], path: Path) -> Causes:
    """A pod that says it is for Linux sets nothing of Windows."""
    why = "windows options cannot be set for a linux pod"
    if has(mapping(spec, "securityContext"), "windowsOptions"):
        yield forbidden(path.child("securityContext", "windowsOptions"), why)
    for container, container_path in containers:
        if has(mapping(container, "securityContext"), "windowsOptions"):
            yield forbidden(container_path.child("securityContext", "windowsOptions"), why)


def windows_pod(spec: Object, containers: list[tuple[Object, Path]], path: Path) -> Causes:
    """A pod that says it is for Windows sets nothing of Linux."""
    why = "cannot be set for a windows pod"
    for name in NOT_FOR_PODS:
        holder, _, field = name.rpartition(".")
        owner = mapping(spec, holder) if holder else spec
        if field == "sysctls":
            given = bool(items(owner, field))
        elif field in PLAIN_BOOLEANS:
            given = flag(owner, field)
        else:
            given = has(owner, field)
        if given:
            yield forbidden(path.child(name), why)
    for container, container_path in containers:
        context = mapping(container, "securityContext")
        for name in NOT_FOR_CONTAINERS:
            if has(context, name):
                yield forbidden(container_path.child("securityContext", name), why)
