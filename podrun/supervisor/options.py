"""How the supervisor is to behave on this machine: plain values, made by the daemon from its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from podrun.lifecycle.backoff import CRASH_LOOP, IMAGE_PULL, BackoffPolicy
from podrun.lifecycle.naming import Resolver


@dataclass(frozen=True, slots=True)
class Options:
    """`log_root` is the kubelet's /var/log/pods; `state` a directory of ours that survives a restart of podrund."""

    node_name: str
    log_root: Path
    state: Path
    node_addresses: tuple[str, ...] = ("127.0.0.1",)
    memory_capacity: int = 1 << 30
    """Bytes of the machine's memory (oom_score_adj is relative to it)."""
    allocatable: Mapping[str, str] = field(default_factory=dict)
    """Quantities pods may have: cpu, memory, ephemeral-storage, pods."""
    cluster_dns: tuple[str, ...] = ()
    resolver: Resolver = field(default_factory=Resolver)
    """The machine's own resolv.conf, loopback addresses replaced by what is behind them."""
    seccomp_default: bool = True
    """Whether a container that says nothing gets RuntimeDefault (the kubelet's seccompDefault)."""
    seccomp_profiles: Path = Path("/var/lib/kubelet/seccomp")
    app_armor: bool = False
    """Whether the kernel enforces AppArmor."""
    app_armor_default: str = ""
    """The loaded profile of containers that name none; "" where it could not be loaded."""
    recursive_read_only: bool = True
    user_namespaces: bool = True
    """Whether the kernel can do what a pod with `hostUsers: false` needs."""
    debug_sees_volumes: bool = True
    """Whether a debug container with a target gets the target's volume mounts in what is executed."""
    time_scale: float = 1.0
    """0.1 makes back-offs and the life of events ten times shorter; nothing else."""

    @property
    def crash_loop(self) -> BackoffPolicy:
        """The back-off of containers."""
        return CRASH_LOOP.scaled(self.time_scale)

    @property
    def image_pull(self) -> BackoffPolicy:
        """The back-off of image pulls."""
        return IMAGE_PULL.scaled(self.time_scale)
