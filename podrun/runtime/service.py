"""The runtime as its callers see it: what a supervisor, a kubelet (through CRI) and the API server ask for.

    run_sandbox ──> create_container ──> start_container ──> (runs, exits) ──> remove_container
         │                                    │  exec, attach, stats, update_resources
         └── stop_sandbox ── remove_sandbox   └─ stop_container

All methods belong to one event loop. Every state is known from memory (`containers`, `status` never wait); changes are
told to subscribers after they are visible there. Ids are 64 hexadecimal digits, as containerd's. What fails raises a
`RuntimeFailure` (see errors.py) and leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from podrun.runtime.model import ContainerConfig, ContainerStatus, Event, Resources, SandboxConfig, SandboxStatus


@dataclass(frozen=True, slots=True)
class Statistics:
    """Use of a container's or pod's cgroup at `time` (seconds since the epoch)."""

    time: float
    cpu_ns: int
    """CPU time since the cgroup was made."""
    memory_usage: int
    """Bytes, page cache included."""
    memory_working_set: int
    """Bytes that cannot simply be reclaimed: usage without inactive file pages (what `kubectl top` shows)."""
    pids: int


class Session(Protocol):
    """The caller's ends of a process's streams (exec) or of a running container's (attach).

    The descriptors are open, non-blocking and the caller's to read, write and close one by one (closing `stdin` is how
    end of file is said); None where a stream was not asked for. With a terminal, `stdout` carries everything, `stderr`
    is None, and `stdin` and `stdout` are two descriptors of one pty master (a read of it gives EIO at the end).
    """

    stdin: int | None
    stdout: int | None
    stderr: int | None

    async def wait(self) -> int:
        """The exit code (128 + signal for a killed process), once the process has ended."""

    async def resize(self, width: int, height: int) -> None:
        """Columns and rows for the terminal; nothing happens where there is none."""

    async def close_stdin(self) -> None:
        """End of file for the process (for a container's own stdin, only where that is stdinOnce)."""

    async def close(self) -> None:
        """Close what is still open; an exec'd process that still runs is killed, an attached container never is."""


class RuntimeService(Protocol):
    """Sandboxes and containers of one machine. `podrun.runtime.runtime.Runtime` is the real one."""

    async def start(self) -> None:
        """Adopt what runs: state files, living processes and unacknowledged exits are joined; call once, first.

        Subscribers that are there before `start` hear of the exits that happened while nobody listened.
        """

    async def close(self) -> None:
        """Let go of everything without touching a pod: they go on and are adopted by the next runtime."""

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """`callback` is called on the loop for each Event; the function returned ends that."""

    # Sandboxes

    async def run_sandbox(
        self, config: SandboxConfig, begun: Callable[[SandboxStatus], None] | None = None
    ) -> SandboxStatus:
        """Make the pod's cgroup, namespaces, network, files and pause. Raises SandboxFailed.

        `begun` is called (it must not wait) when all is decided and pause is on its way, a third of the time: from then
        on containers can be created in the sandbox, those of a pod with a user namespace of its own excepted. They are
        the caller's to remove when this fails.
        """

    async def stop_sandbox(self, sandbox_id: str) -> None:
        """Kill what still runs in it, then pause, and take its network away; idempotent. The address stays reserved
        for the pod until `remove_sandbox`, the last sandbox of the pod uid."""

    async def remove_sandbox(self, sandbox_id: str) -> None:
        """Stop it and remove its containers, files and cgroup; idempotent."""

    def sandboxes(self, pod_uid: str | None = None) -> list[SandboxStatus]:
        """All that have not been removed (of this pod), oldest first."""

    def sandbox_status(self, sandbox_id: str) -> SandboxStatus:
        """Raises NotFound."""

    # Containers

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        """Check and prepare everything but the process; the id. Raises CreateFailed, or NotFound for the sandbox."""

    async def start_container(self, container_id: str) -> None:
        """Begin the process; returns once execve has succeeded. Raises StartFailed: the container is then EXITED."""

    async def stop_container(self, container_id: str, grace: float, signal: str = "") -> None:
        """Send `signal` (default: the container's stop_signal), wait for the exit at most `grace` seconds, then kill.

        Returns when it has ended; a second caller with a shorter grace shortens the wait; a container that is not
        running is left as it is. grace 0 kills at once.
        """

    async def kill_container(self, container_id: str, signal: str) -> None:
        """Send one signal to the container's first process, and no more."""

    async def remove_container(self, container_id: str) -> None:
        """Kill it if it runs and remove its writable layer and state; its log stays. Idempotent."""

    def containers(self, pod_uid: str | None = None) -> list[ContainerStatus]:
        """All that have not been removed (of this pod), oldest first."""

    def status(self, container_id: str) -> ContainerStatus:
        """Raises NotFound."""

    def termination_message(self, container_id: str) -> str:
        """At most the last 4096 bytes of the container's termination message file; "" where there is none.

        Until `remove_container`. Raises NotFound.
        """

    async def update_resources(self, container_id: str, resources: Resources) -> None:
        """Change a running container's limits in place. Raises RuntimeFailure with the kernel's refusal."""

    async def update_pod_resources(self, sandbox_id: str, resources: Resources) -> None:
        """Change the pod's own cgroup."""

    async def reopen_log(self, container_id: str) -> None:
        """Begin a new log file at the container's log path (the old one was moved away)."""

    # Streams

    async def exec(
        self,
        container_id: str,
        argv: Sequence[str],
        *,
        tty: bool = False,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
    ) -> Session:
        """Run `argv` in a running container with its environment, user and capabilities. Raises ExecFailed."""

    async def exec_sync(self, container_id: str, argv: Sequence[str], seconds: float | None) -> tuple[int, bytes]:
        """Exit code and output (stdout and stderr in the order written, at most 16 KiB kept) of `argv`.

        Raises ExecFailed when it could not begin, ExecTimeout after `seconds`; None waits for ever.
        """

    async def attach(
        self, container_id: str, *, stdin: bool = False, stdout: bool = True, stderr: bool = True
    ) -> Session:
        """The streams of a running container, from now on."""

    # Numbers

    def container_statistics(self, container_id: str) -> Statistics | None:
        """None when it is not running."""

    def sandbox_statistics(self, sandbox_id: str) -> Statistics | None:
        """Of the whole pod."""

    def writable_layer_usage(self, container_id: str) -> Awaitable[int]:
        """Bytes on disk in the container's writable layer (ephemeral-storage)."""
