"""What the picture of a pod is made of: frozen values, read once, drawn as text or written as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

PAUSE = "pause"

KINDS = ("net", "ipc", "uts", "pid", "mnt", "cgroup", "user")
"""Namespaces in the order in which they are shown: first what a pod shares, then what it does not."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace of the kernel and who is in it."""

    type: str
    inode: int
    members: tuple[str, ...]
    """Container names in the pod's order, `pause` first."""
    host: bool
    """Whether it is the machine's own."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process of a container: its number on the machine, and the one it knows itself by."""

    pid: int
    inner_pid: int
    user: int
    command: str
    listens: tuple[int, ...] = ()
    """TCP ports, in order."""
    parent: int = 0
    """Of the same numbering as `pid`."""
    state: str = ""
    """A letter as in ps(1): R, S, D, T, Z."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A place in a container's file system that is not of its own image."""

    target: str
    volume: str
    """The pod's name for it; "" for what podrun itself mounts."""
    file_system: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Container:
    """A container that runs; `kind` is pause, init, sidecar, container or ephemeral."""

    name: str
    kind: str
    image: str
    processes: tuple[Process, ...]
    mounts: tuple[Mount, ...]
    cgroup: str
    namespaces: dict[str, int]
    restarts: int = 0
    memory: int = 0
    """Bytes in use, as its cgroup counts them."""
    memory_limit: int = 0
    """Bytes; 0 is none."""
    cpu_usec: int = 0
    """Time of a processor that it has used, in microseconds."""
    cpu_limit: int = 0
    """Thousandths of a processor; 0 is none."""
    pids: int = 0
    pids_limit: int = 0
    frozen: bool = False
    layers: int = 0
    """Of its image (the layer of mount points that podrun adds is not counted)."""
    written: int = 0
    """Bytes of its writable layer."""
    read_only: bool = False
    """Whether its root is."""
    capabilities: tuple[str, ...] = ()
    """That its first process has in effect."""
    seccomp: bool = False
    no_new_privileges: bool = False


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume of the pod and where each container has it."""

    name: str
    kind: str
    """emptyDir, configMap, ..."""
    targets: tuple[tuple[str, str], ...]
    """(container, path)"""
    bytes: int = 0
    """What is in it, as far as a container that runs has it."""


@dataclass(frozen=True, slots=True)
class Connection:
    """TCP connections inside the pod, from one container to a port of another."""

    source: str
    target: str
    port: int
    count: int


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A pod, opened."""

    namespace: str
    name: str
    uid: str
    phase: str
    hostname: str
    addresses: tuple[str, ...]
    containers: tuple[Container, ...]
    """Those that run, pause first."""
    absent: tuple[tuple[str, str], ...]
    """Containers that do not run: (name, why)."""
    namespaces: tuple[Namespace, ...]
    volumes: tuple[Volume, ...]
    cgroup: str
    """The pod's own, below the mount of the tree."""
    connections: tuple[Connection, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For `-o json`: the fields by their names, as plain data."""
        return asdict(self)


def group_namespaces(containers: tuple[Container, ...], host: dict[str, int]) -> tuple[Namespace, ...]:
    """Who shares what: a row per namespace, the most shared first within each kind."""
    found: dict[tuple[str, int], list[str]] = {}
    for container in containers:
        for kind, inode in container.namespaces.items():
            found.setdefault((kind, inode), []).append(container.name)
    rows = [Namespace(kind, inode, tuple(members), host.get(kind) == inode) for (kind, inode), members in found.items()]
    return tuple(sorted(rows, key=lambda row: (KINDS.index(row.type), -len(row.members))))
