"""What the runtime knows of a pod, in the terms decisions are made in; termination messages are read here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from podrun.api.pod import Container, Pod
from podrun.lifecycle.observed import ActualResources, ContainerSeen, ContainerState, SandboxSeen
from podrun.runtime.model import ContainerStatus, SandboxStatus, State
from podrun.runtime.service import RuntimeService
from podrun.supervisor.configs import SHOWN_IMAGE, SHOWN_IMAGE_ID

LONGEST_LOG_LINES, LONGEST_FROM_LOG = 80, 2048
"""What a termination message may take from the log: lines, bytes."""

_STATES = {
    State.CREATED: ContainerState.CREATED,
    State.RUNNING: ContainerState.RUNNING,
    State.EXITED: ContainerState.EXITED,
}


def sandboxes(runtime: RuntimeService, uid: str) -> tuple[SandboxSeen, ...]:
    """The pod's sandboxes, newest first."""
    return tuple(_sandbox(s) for s in reversed(runtime.sandboxes(uid)))


def _sandbox(status: SandboxStatus) -> SandboxSeen:
    return SandboxSeen(status.id, status.config.attempt, status.ready, status.created_at, status.addresses)


class Messages:
    """Termination messages of attempts that have ended, each read once."""

    def __init__(self, read: Callable[[str], str]) -> None:
        self._read = read
        self._known: dict[str, str] = {}

    def of(self, status: ContainerStatus, container: Container) -> str:
        """What the container left in its file, or the end of its log where it failed and the policy says so."""
        if status.id not in self._known:
            self._known[status.id] = self._find(status, container)
        return self._known[status.id]

    def _find(self, status: ContainerStatus, container: Container) -> str:
        text = self._read(status.id)
        falls_back = container.termination_message_policy == "FallbackToLogsOnError"
        if text or not falls_back or not status.exit_code or status.reason == "ContainerCannotRun":
            return text
        return log_tail(status.config.log_path)

    def keep_only(self, ids: set[str]) -> None:
        """Forget attempts that are gone."""
        self._known = {key: text for key, text in self._known.items() if key in ids}


def log_tail(path: Path) -> str:
    """The last lines of a container's log (CRI format), without time and stream."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 64 * 1024))
            lines = file.read().splitlines(keepends=True)[-LONGEST_LOG_LINES:]
    except OSError as error:
        return f"Error on reading termination message from logs: {error.strerror}"
    made = bytearray()
    for line in lines:
        parts = line.split(b" ", 3)
        if len(parts) == 4:
            made += parts[3] if parts[2] == b"F" else parts[3].rstrip(b"\n")
    return bytes(made[-LONGEST_FROM_LOG:]).decode(errors="replace")


def containers(
    runtime: RuntimeService,
    pod: Pod,
    messages: Messages,
    in_force: Mapping[str, ActualResources],
    shifts: Mapping[str, float] = MappingProxyType({}),
) -> tuple[ContainerSeen, ...]:
    """The attempts of the pod's containers, newest first. `in_force` are limits changed since they were created,
    `shifts` seconds by which the clock has been set since they began or ended."""
    every = reversed(runtime.containers(pod.uid))
    return tuple(_container(status, pod, messages, in_force, shifts.get(status.id, 0.0)) for status in every)


def _container(
    status: ContainerStatus, pod: Pod, messages: Messages, in_force: Mapping[str, ActualResources], shift: float
) -> ContainerSeen:
    config = status.config
    container = pod.container(config.name)
    message = status.message
    if status.state is State.EXITED and container is not None:
        left = messages.of(status, container)
        message = f"{message}: {left}" if message and left else message or left
    return ContainerSeen(
        id=status.id,
        name=config.name,
        sandbox_id=status.sandbox_id,
        state=_STATES[status.state],
        restart_count=config.attempt,
        created_at=status.created_at,
        started_at=status.started_at,
        finished_at=status.finished_at,
        exit_code=status.exit_code or 0,
        reason=status.reason,
        message=message,
        spec_image=config.image,
        image=config.annotations.get(SHOWN_IMAGE, config.image),
        image_id=config.annotations.get(SHOWN_IMAGE_ID, config.image_id),
        resources=in_force.get(status.id),
        user=status.user,
        shift=shift,
    )
