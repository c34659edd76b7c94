"""What is known of a pod besides its specification: the inputs of every decision.

Times are seconds since the epoch. Sequences of sandboxes and containers are newest first, as the kubelet keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

RUNTIME_NAME: Final = "containerd"
"""The scheme of `containerID` in statuses. Clients and messages know it; podrun's ids are alike."""


class ContainerState(StrEnum):
    """Where one attempt of a container is in its life."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    """What a probe says of a container; UNKNOWN is a startup probe that has not decided."""

    SUCCESS = "success"
    FAILURE = "failure"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SandboxSeen:
    """A sandbox as the runtime reports it."""

    id: str
    attempt: int
    ready: bool
    created_at: float
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ActualResources:
    """CPU (millicores) and memory (bytes) in force for a running container; None where nothing is set."""

    cpu_request: int | None = None
    cpu_limit: int | None = None
    memory_request: int | None = None
    memory_limit: int | None = None


@dataclass(frozen=True, slots=True)
class ContainerSeen:
    """One attempt of a container as the runtime reports it."""

    id: str
    name: str
    sandbox_id: str
    state: ContainerState
    restart_count: int
    created_at: float
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    spec_image: str = ""
    """The image as the pod named it when this attempt was created."""
    image: str = ""
    """The image's normalised name, for the status."""
    image_id: str = ""
    resources: ActualResources | None = None
    user: tuple[int, int, tuple[int, ...]] | None = None
    """uid, gid and supplementary groups its process began with."""
    shift: float = 0.0
    """Seconds by which the machine's clock has been set since these times were taken."""

    @property
    def began(self) -> float:
        """When it was started, by the clock as it is now: for decisions."""
        return self.started_at + self.shift

    @property
    def ended(self) -> float:
        """When it ended, by the clock as it is now: for decisions."""
        return self.finished_at + self.shift

    @property
    def status_id(self) -> str:
        """`containerd://ID`, as statuses name it."""
        return f"{RUNTIME_NAME}://{self.id}"


@dataclass(frozen=True, slots=True)
class StartFailure:
    """Why a container could not be started last time: what its waiting state shows from the next sync on.

    The kubelet's reason cache (pkg/kubelet/reason_cache.go): a sync publishes what the sync before it found.
    """

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait between restarts of one container; `updated` is when the delay last grew."""

    delay: float
    updated: float


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The latest verdict of each probe, by container id; absent while a probe has not looked at that container."""

    liveness: Mapping[str, Verdict] = field(default_factory=dict)
    readiness: Mapping[str, Verdict] = field(default_factory=dict)
    startup: Mapping[str, Verdict] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Node:
    """What of the machine a status needs."""

    name: str = ""
    addresses: tuple[str, ...] = ()
    recursive_read_only: bool = False
    """Whether the runtime can make mounts read-only with all that is below them (mount_setattr, Linux 5.12)."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything a decision about one pod looks at, at the moment `now`."""

    now: float
    sandboxes: tuple[SandboxSeen, ...] = ()
    containers: tuple[ContainerSeen, ...] = ()
    verdicts: Verdicts = field(default_factory=Verdicts)
    failures: Mapping[str, StartFailure] = field(default_factory=dict)
    """By container name."""
    backoffs: Mapping[str, Backoff] = field(default_factory=dict)
    """By `backoff.key`."""
    asked: frozenset[str] = frozenset()
    """Ids of attempts in whose place an administrator wants another one, now."""
    node: Node = Node()

    def latest(self, name: str) -> ContainerSeen | None:
        """The newest attempt of a container."""
        for seen in self.containers:
            if seen.name == name:
                return seen
        return None

    @property
    def active(self) -> tuple[ContainerSeen, ...]:
        """Attempts in the newest sandbox; older sandboxes' containers do not say how far this one is."""
        if not self.sandboxes:
            return ()
        return tuple(seen for seen in self.containers if seen.sandbox_id == self.sandboxes[0].id)
