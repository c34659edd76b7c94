"""What is to be done for a pod: the outputs of a decision, for the supervisor to carry out in this order.

1. kill the whole pod, or the single containers named; 2. make a sandbox; 3. start ephemeral, then init, then regular
containers; what is in back-off is `held` and says until when.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from podrun.lifecycle.observed import Backoff
from podrun.lifecycle.why import Why

Sort = Literal["container", "init container", "ephemeral container"]


class KillReason(StrEnum):
    """Why a single container is killed; probes may bring their own grace period."""

    STARTUP_PROBE = "StartupProbe"
    LIVENESS_PROBE = "LivenessProbe"
    POST_START = "FailedPostStartHook"
    RESTART_ALL = "RestartAllContainers"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Start:
    """Start a new attempt of this container."""

    name: str
    sort: Sort


@dataclass(frozen=True, slots=True)
class Held:
    """A container whose restart waits: `message` is for its waiting state, `until` is seconds since the epoch."""

    name: str
    sort: Sort
    message: str
    until: float


@dataclass(frozen=True, slots=True)
class Kill:
    """End this attempt; `message` is the Killing event's, "" for the usual one."""

    container_id: str
    name: str
    message: str
    reason: KillReason = KillReason.UNKNOWN


@dataclass(frozen=True, slots=True)
class Reset:
    """Remove this attempt so that the pod starts anew in place (KEP-5532), killing it first where it runs."""

    container_id: str
    name: str
    kill: bool


@dataclass(frozen=True, slots=True)
class Actions:
    """One decision."""

    kill_pod: bool = False
    create_sandbox: bool = False
    sandbox_id: str = ""
    """The sandbox containers go to, or the old one that is to be replaced."""
    attempt: int = 0
    kills: tuple[Kill, ...] = ()
    resets: tuple[Reset, ...] = ()
    starts: tuple[Start, ...] = ()
    held: tuple[Held, ...] = ()
    backoffs: Mapping[str, Backoff] = field(default_factory=dict)
    """Entries that change with these starts, by key."""
    resizes: tuple[str, ...] = ()
    """Names of running containers whose limits are to be changed in place."""
    wake_at: float | None = None
    """When the pod is to be looked at again though nothing happens."""
    whys: tuple[Why, ...] = field(default=(), compare=False)
    """The reasons for all this: of the pod, if there is one, and of each container that was looked at."""

    @property
    def idle(self) -> bool:
        """Whether nothing is to be done now."""
        return not (self.kill_pod or self.create_sandbox or self.kills or self.resets or self.starts or self.resizes)
