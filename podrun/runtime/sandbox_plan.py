"""A sandbox as a request to the spawner: the namespaces that pause will hold, and pause in an empty root."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from podrun.kernel.flags import Clone, MountAttr, MountFlags
from podrun.network.netlink import Batch
from podrun.runtime.model import SandboxConfig
from podrun.spawner.plan import (
    ROOTFS,
    Attributes,
    EnterCgroups,
    Hostname,
    JoinUsers,
    Mount,
    Netlink,
    NewUsers,
    Passed,
    PivotRoot,
    Root,
    Step,
    Sysctl,
    Unshare,
)
from podrun.spawner.protocol import Capabilities, Spawn, User

SHM = "/dev/shm"
_NOBODY = 65535
"""Who pause is (as in Kubernetes' own image): not root, so that a root without CAP_SYS_PTRACE cannot look into it."""
_OOM_SCORE_ADJ = -998
_QUIET = MountFlags.NOSUID | MountFlags.NODEV | MountFlags.NOEXEC

_UNPRIVILEGED = {
    # containerd's enable_unprivileged_ports and enable_unprivileged_icmp: port 80 and ping without capabilities.
    "net.ipv4.ip_unprivileged_port_start": "0",
    "net.ipv4.ping_group_range": "0 2147483647",
}


@dataclass(frozen=True, slots=True)
class Wiring:
    """The pod's own network: the batch, and the host's namespace among the passed descriptors."""

    batch: Batch
    host_namespace: Passed


def namespaces(config: SandboxConfig) -> Clone:
    """The kinds that the pod has of its own and its containers join."""
    kinds = Clone(0)
    if not config.host_network:
        # A pod on the host's network has the host's name too, as Kubernetes' own.
        kinds |= Clone.NET | Clone.UTS
    if not config.host_ipc:
        kinds |= Clone.IPC
    return kinds


def pause_request(sandbox_id: str, config: SandboxConfig, procs: Sequence[Passed], wiring: Wiring | None) -> Spawn:
    """The request that makes the sandbox. `wiring` is None on the host's network."""
    new_pid = config.share_process_namespace and not config.host_pid
    users = config.users
    steps: list[Step] = [EnterCgroups(tuple(procs))]
    if users is not None:
        steps.append(NewUsers(users.first, users.count, namespaces(config)))
    else:
        steps.append(Unshare(namespaces(config) | Clone.MNT))
    if wiring is not None:
        offsets = tuple((offset, wiring.host_namespace) for offset in wiring.batch.namespace_at)
        steps.append(Netlink(wiring.batch.messages, offsets))
        steps.append(Hostname(config.hostname))
        defaults = {name: value for name, value in _UNPRIVILEGED.items() if name not in config.sysctls}
        steps += [Sysctl(name, value) for name, value in defaults.items()]
    sysctls = [Sysctl(name, value) for name, value in config.sysctls.items()]
    if users is not None:
        steps += [step for step in sysctls if step.name.startswith("net.")]
        steps.append(JoinUsers(new_pid=new_pid, owner=users.on_host(_NOBODY)))
        # An IPC namespace's values are written by the root of the user namespace that owns it, and by nobody else.
        steps += [step for step in sysctls if not step.name.startswith("net.")]
        steps.append(Unshare(Clone.MNT))
    else:
        steps += sysctls
    steps += [Mount("tmpfs", ROOTFS, _QUIET, "mode=755,size=64k"), Root()]
    if not config.host_ipc:
        steps.append(Mount("tmpfs", SHM, _QUIET, f"mode=1777,size={config.shm_size}", source="shm"))
    steps += [PivotRoot(), Attributes("/", set=MountAttr.RDONLY)]
    return Spawn(
        id=sandbox_id,
        kind="pause",
        argv=("/pause",),
        builtin_pause=True,
        new_pid=new_pid and users is None,
        plan=tuple(steps),
        user=User(_NOBODY, _NOBODY),
        capabilities=Capabilities(0, 0, 0),
        no_new_privs=True,
        oom_score_adj=_OOM_SCORE_ADJ,
    )
