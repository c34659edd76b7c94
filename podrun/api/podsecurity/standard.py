"""Which checks a level of the standard has, in which version of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from podrun.api.podsecurity import baseline, restricted
from podrun.api.podsecurity.policy import BASELINE, PRIVILEGED, LevelVersion
from podrun.api.podsecurity.reading import Check, Object, Violation
from podrun.api.podsecurity.restricted import except_own_users, except_windows


@dataclass(frozen=True, slots=True)
class Rule:
    """A check as it was from each minor version of Kubernetes on; before the first it was none."""

    since: Mapping[int, Check]
    replaces: str = ""
    """For a rule of `restricted`: the rule of `baseline` that is not asked where this one is."""

    def at(self, minor: int) -> Check | None:
        begun = [version for version in self.since if version <= minor]
        return self.since[max(begun)] if begun else None


_SELINUX = ("container_t", "container_init_t", "container_kvm_t")
_SYSCTLS = (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
)
_SYSCTLS_27 = (*_SYSCTLS, "net.ipv4.ip_local_reserved_ports")
_SYSCTLS_29 = (
    *_SYSCTLS_27,
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
)
_SYSCTLS_32 = (*_SYSCTLS_29, "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem")

BASELINE_RULES: Mapping[str, Rule] = {
    "appArmorProfile": Rule({0: baseline.app_armor}),
    "capabilities_baseline": Rule({0: baseline.capabilities}),
    "hostNamespaces": Rule({0: baseline.host_namespaces}),
    "hostPathVolumes": Rule({0: baseline.host_path_volumes}),
    "hostPorts": Rule({0: baseline.host_ports}),
    "hostProbesAndHostLifecycle": Rule({34: baseline.hosts_of_handlers}),
    "privileged": Rule({0: baseline.privileged}),
    "procMount": Rule({0: baseline.proc_mount, 35: baseline.proc_mount_of_own_users}),
    "seLinuxOptions": Rule(
        {0: baseline.selinux(*_SELINUX), 31: baseline.selinux(*_SELINUX, "container_engine_t")},
    ),
    "seccompProfile_baseline": Rule({0: baseline.seccomp_annotations, 19: baseline.seccomp}),
    "sysctls": Rule(
        {
            0: baseline.sysctls(*_SYSCTLS),
            27: baseline.sysctls(*_SYSCTLS_27),
            29: baseline.sysctls(*_SYSCTLS_29),
            32: baseline.sysctls(*_SYSCTLS_32),
        }
    ),
    "windowsHostProcess": Rule({0: baseline.windows_host_process}),
}
"""By the names of the standard, in the order in which violations are told."""

RESTRICTED_RULES: Mapping[str, Rule] = {
    "allowPrivilegeEscalation": Rule(
        {8: restricted.privilege_escalation, 25: except_windows(restricted.privilege_escalation)}
    ),
    "capabilities_restricted": Rule(
        {22: restricted.capabilities, 25: except_windows(restricted.capabilities)}, "capabilities_baseline"
    ),
    "procMount_restricted": Rule({35: baseline.proc_mount}, "procMount"),
    "restrictedVolumes": Rule({0: restricted.volumes}, "hostPathVolumes"),
    "runAsNonRoot": Rule({0: restricted.run_as_non_root, 35: except_own_users(restricted.run_as_non_root)}),
    "runAsUser": Rule({23: restricted.run_as_user, 35: except_own_users(restricted.run_as_user)}),
    "seccompProfile_restricted": Rule(
        {19: restricted.seccomp, 25: except_windows(restricted.seccomp)}, "seccompProfile_baseline"
    ),
}


def violations(policy: LevelVersion, metadata: Object, spec: Object) -> list[Violation]:
    """What a pod of this metadata and spec violates, in the standard's order; [] where it may be."""
    if policy.level == PRIVILEGED:
        return []
    found = (check(metadata, spec) for check in _checks(policy))
    return [violation for violation in found if violation is not None]


@cache
def _known(level: str, minor: int) -> tuple[Check, ...]:
    basic = {name: check for name, rule in BASELINE_RULES.items() if (check := rule.at(minor))}
    if level == BASELINE:
        return tuple(basic.values())
    more = {name: check for name, rule in RESTRICTED_RULES.items() if (check := rule.at(minor))}
    replaced = {RESTRICTED_RULES[name].replaces for name in more}
    return (*(check for name, check in basic.items() if name not in replaced), *more.values())


NEWEST = max(
    version for rules in (BASELINE_RULES, RESTRICTED_RULES) for rule in rules.values() for version in rule.since
)
"""The version that last changed something."""


def _checks(policy: LevelVersion) -> tuple[Check, ...]:
    return _known(policy.level, min(policy.minor, NEWEST))
