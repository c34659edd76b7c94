"""What a sandbox and a container are, in the terms of the Container Runtime Interface (CRI v1).

These values are the contract between what decides (the supervisor, or a kubelet through CRI) and what acts
(this room). They are frozen data: nothing here opens, reads or waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal


class State(StrEnum):
    """Where a container is in its life (CRI ContainerState)."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class PortMapping:
    """A port of the host that leads to a port of the pod."""

    container_port: int
    host_port: int
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    host_ip: str = ""


@dataclass(frozen=True, slots=True)
class Dns:
    """The content of /etc/resolv.conf."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resources:
    """Limits in the kernel's units; None leaves the kernel's default. CPU: shares (1024 per core), microseconds."""

    cpu_shares: int | None = None
    cpu_quota_us: int | None = None
    cpu_period_us: int = 100_000
    memory_limit: int | None = None
    pids_limit: int | None = None
    oom_score_adj: int = 0
    unified: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UserIds:
    """A user namespace's range: its ids 0 to `count` - 1, users and groups alike, are the host's from `first` on."""

    first: int
    count: int = 65536

    def on_host(self, number: int) -> int:
        """The host's number of the namespace's user or group `number`."""
        return self.first + number


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """A pod's shared context: what `run_sandbox` makes and pause holds."""

    pod_uid: str
    namespace: str
    name: str
    attempt: int
    hostname: str
    log_directory: Path
    cgroup_parent: str
    """Below podrun's own root, without the pod: "" (guaranteed), "burstable" or "besteffort"."""
    resources: Resources = Resources()
    dns: Dns = Dns()
    host_aliases: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Lines of /etc/hosts beyond the pod's own: (address, names)."""
    domain: str = ""
    """`subdomain.namespace.svc.cluster.local` where the pod has a subdomain, for its own line in /etc/hosts."""
    port_mappings: tuple[PortMapping, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_process_namespace: bool = False
    users: UserIds | None = None
    """The pod's own user namespace; None is the host's."""
    shm_size: int = 64 << 20
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SandboxStatus:
    """A sandbox as it is; `addresses` is empty for host_network."""

    id: str
    config: SandboxConfig
    ready: bool
    created_at: float
    addresses: tuple[str, ...]
    pid: int


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume in a container. The source is resolved by descriptor; `sub_path` beneath it, never out of it."""

    source: Path
    target: str
    sub_path: str = ""
    read_only: bool = False
    recursive_read_only: bool = False
    propagation: Literal["None", "HostToContainer", "Bidirectional"] = "None"
    volume: str = ""
    """The volume's name in the pod, for messages."""
    create_sub_path: bool = True
    """Whether a missing sub_path is made (a writable volume) or is an error."""
    layers: tuple[Path, ...] = ()
    """Of an image volume, lowest first. A user namespace needs them one by one: an overlay cannot be idmapped."""


@dataclass(frozen=True, slots=True)
class User:
    """Who the process is to be, as asked; names are looked up in the image's own /etc/passwd and /etc/group."""

    uid: int | None = None
    gid: int | None = None
    name: str = ""
    """The image's USER ("app", "1000", "1000:1000"), used where uid is None."""
    supplemental_groups: tuple[int, ...] = ()
    fs_group: int | None = None
    strict_groups: bool = False
    """supplementalGroupsPolicy Strict: groups of /etc/group in the image are not joined."""


@dataclass(frozen=True, slots=True)
class Security:
    """What a container may do. Defaults are containerd's with RuntimeDefault seccomp."""

    privileged: bool = False
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    no_new_privileges: bool = False
    read_only_root: bool = False
    seccomp: Literal["RuntimeDefault", "Unconfined"] | Path = "RuntimeDefault"
    """A Path is a Localhost profile (OCI JSON)."""
    apparmor: str = ""
    """Name of a profile that the kernel has; "" for none."""
    unmasked_proc: bool = False


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """A container to create in a sandbox; one attempt of it."""

    name: str
    attempt: int
    image: str
    """The reference as the pod names it."""
    image_id: str
    layers: tuple[Path, ...]
    """Unpacked layers, lowest first."""
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    log_path: Path
    working_dir: str = ""
    user: User = User()
    security: Security = Security()
    resources: Resources = Resources()
    mounts: tuple[Mount, ...] = ()
    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False
    target_id: str = ""
    """A container whose PID namespace is joined (ephemeral containers)."""
    stop_signal: str = "SIGTERM"
    termination_message_path: str = ""
    """Where in the container a file of the host is bound for the termination message; "" for none."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """A container as it is."""

    id: str
    sandbox_id: str
    pod_uid: str
    config: ContainerConfig
    state: State
    created_at: float
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int | None = None
    signal: int = 0
    reason: str = ""
    """Completed, Error, OOMKilled, StartError, ContainerCannotRun, ContainerStatusUnknown: as containerd says it."""
    message: str = ""
    pid: int = 0
    user: tuple[int, int, tuple[int, ...]] | None = None
    """uid, gid and supplementary groups the process began with."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to a sandbox or container; read its status anew.

    `spawner-replaced` is about every pod: what failed for want of a spawner may be tried again.
    """

    kind: Literal["container-started", "container-exited", "sandbox-exited", "oom", "spawner-replaced"]
    pod_uid: str
    sandbox_id: str
    container_id: str = ""
