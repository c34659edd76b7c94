"""Whether a node takes a pod that was assigned to it (pkg/kubelet/lifecycle/predicate.go and handlers.go)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from podrun.api.pod import Pod
from podrun.lifecycle import fitting, resources, security
from podrun.lifecycle.fitting import Lack, NodeView

SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why not: the pod's reason and message, as in its status and its Event."""

    reason: str
    message: str


def rejection(
    pod: Pod, node: NodeView, others: Sequence[Pod], *, app_armor: bool, room: bool = True
) -> Rejection | None:
    """None when the node takes the pod beside the `others` that it has already; `room`: whether that counts."""
    if (forbidden := _sysctls(pod)) is not None:
        return forbidden
    if pod.metadata.labels.get(_OS_LABEL, "linux") != "linux":  # the pod's own label, a known oddity of the kubelet
        message = f"Failed to admit pod as the `{_OS_LABEL}` label doesn't match node label"
        return Rejection("PodOSSelectorNodeLabelDoesNotMatch", message)
    if pod.spec.os is not None and pod.spec.os.name not in ("", "linux"):
        return Rejection("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    if room and (lack := next(iter(lacks(pod, others, node)), None)):
        return Rejection(f"OutOf{lack.resource}", str(lack))
    for name, failed, why in (
        ("NodeAffinity", not fitting.matches_node(pod, node), fitting.AFFINITY_REASON),
        ("NodeName", pod.spec.node_name not in ("", node.name), fitting.NAME_REASON),
        ("NodePorts", fitting.ports_clash(pod, others), fitting.PORTS_REASON),
        (
            "TaintToleration",
            fitting.untolerated(pod, node.taints, ("NoExecute",)) is not None,
            "node(s) had taints that the pod didn't tolerate",
        ),
    ):
        if failed:
            return Rejection(name, f"Predicate {name} failed: {why}")
    return _app_armor(pod, available=app_armor)


_OS_LABEL = "kubernetes.io/os"


def lacks(pod: Pod, others: Sequence[Pod], node: NodeView) -> list[Lack]:
    """What the node has too little of. An extended resource that it has not at all is for others to care about."""
    found = fitting.lacks(pod, others, node.allocatable)
    return [lack for lack in found if "/" not in lack.resource or lack.resource in node.allocatable]


def _sysctls(pod: Pod) -> Rejection | None:
    """Only sysctls that are the pod's own and touch no other pod (sysctl/safe_sysctls.go, allowlist.go)."""
    for sysctl in pod.spec.security_context.sysctls:
        name = sysctl.name.replace("/", ".")
        if name not in SAFE_SYSCTLS:
            return Rejection("SysctlForbidden", f'forbidden sysctl: "{name}" not allowlisted')
        namespace, shared = ("Net", pod.spec.host_network) if name.startswith("net.") else ("IPC", pod.spec.host_ipc)
        if shared:
            why = f'"{name}" not allowed with host {namespace} enabled'
            return Rejection("SysctlForbidden", f"forbidden sysctl: {why}")
    return None


def _app_armor(pod: Pod, *, available: bool) -> Rejection | None:
    """A profile that is asked for and cannot be enforced."""
    everyone = (*pod.spec.init_containers, *pod.spec.containers)
    asked = [p for p in (security.app_armor(pod, c) for c in everyone) if p is not None and p.type != "Unconfined"]
    if not asked or available:
        return None
    return Rejection("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")


def resize_problem(pod: Pod, others: Sequence[Pod], allocatable: Mapping[str, str]) -> str | None:
    """Why a resize has to wait; None when there is room for it."""
    lack = next((lack for lack in fitting.lacks(pod, others, allocatable) if lack.resource in ("cpu", "memory")), None)
    return str(lack) if lack is not None else None


def resize_refusal(pod: Pod, allocatable: Mapping[str, str]) -> str | None:
    """Why the API refuses a resize outright: the node could not hold it even alone (plugin podresize)."""
    wanted, have = resources.pod_requests(pod), resources.amounts(allocatable)
    said = [
        f"{name}, requested: {fitting.units(name, wanted[name])}, allocatable: {fitting.units(name, have[name])}"
        for name in ("cpu", "memory")
        if name in wanted and name in have and wanted[name] > have[name]
    ]
    return f"node didn't have enough allocatable resources: {'; '.join(said)}" if said else None
