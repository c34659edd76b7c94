"""The runtime: sandboxes, containers and sessions joined to one spawner, and what the spawner tells dispatched to them.

start:  connect to the spawner ──> subscribe ──> records + living + exits = the state ──> tidy what belongs to nobody
later:  the spawner's exits ──> containers, sandboxes, sessions ──> Events for subscribers
lost:   the spawner was killed ──> connect (another is begun) ──> the same joining again
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from podrun.cgroups import swift
from podrun.cgroups.ending import end
from podrun.cgroups.group import AttachDevices, Group
from podrun.cgroups.tree import PodGroups
from podrun.kernel import clock
from podrun.network.pods import PodNetwork
from podrun.runtime.containers import Containers
from podrun.runtime.errors import NotFound, RuntimeFailure
from podrun.runtime.host import Connect, Host
from podrun.runtime.limits import limits_of
from podrun.runtime.model import (
    ContainerConfig,
    ContainerStatus,
    Event,
    Resources,
    SandboxConfig,
    SandboxStatus,
    State,
)
from podrun.runtime.sandboxes import Sandbox, Sandboxes, host_ports
from podrun.runtime.service import Statistics
from podrun.runtime.sessions import AttachSession, ExecSession
from podrun.runtime.streams import Streams
from podrun.spawner.client import SpawnerClient, SpawnerError
from podrun.spawner.protocol import Exit, Exited, Living
from podrun.spawner.start import SpawnerFailed, SpawnerLost

log = logging.getLogger(__name__)

_ATTEMPTS = 20
"""Spawners that are begun in place of one that was lost, before it is given up."""
_PATIENCE = 10.0
"""Seconds that the end of podrund waits for what goes on in the background."""
_PAUSE = 0.1
"""Seconds longer before each of these attempts than before the one before."""


class Runtime:
    """See `podrun.runtime.service.RuntimeService`, which this is."""

    def __init__(
        self,
        run: Path,
        state: Path,
        connect: Connect,
        groups: PodGroups,
        network: PodNetwork,
        attach_devices: AttachDevices | None = None,
    ) -> None:
        """`run` (records, pods' files) and `state` (writable layers) must both be visible to the spawner that
        `connect` begins; so must the images' layers. `attach_devices` is None where BPF cannot be used."""
        self._connect = connect
        self._run, self._state = run, state
        self._groups, self._network = groups, network
        self._attach_devices = attach_devices
        self._subscribers: list[Callable[[Event], None]] = []
        self._watching: asyncio.Task[None] | None = None
        self._swift: int | None = None
        self.broken: asyncio.Future[None]
        """From `start` on. Fails with the reason when no spawner can be begun in place of a lost one: podrund had
        better end then."""
        self._host: Host
        self._sandboxes: Sandboxes
        self._containers: Containers
        self._streams: Streams

    # Beginning and end

    async def start(self) -> None:
        """Adopt what runs. Raises SpawnerLost, RulesRefused, OSError where the machine does not allow it."""
        for directory in (self._run, self._state):
            directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.broken = asyncio.get_running_loop().create_future()
        self._swift = swift.hold()
        spawner = await self._connect(None)
        self._host = Host(
            spawner, self._groups, self._network, self._run, self._state, self._tell, self._attach_devices
        )
        self._groups.prepare()
        self._sandboxes = Sandboxes(self._host)
        self._containers = Containers(self._host, self._sandboxes)
        self._streams = Streams(self._host, self._sandboxes)
        self._sandboxes.load()
        self._containers.load()
        await self._join(await spawner.subscribe(self._on_exit))
        connected = [(s.wire, host_ports(s.config)) for s in self._sandboxes.all() if s.wire is not None and s.ready]
        await self._network.start(connected)
        await self._tidy()
        self._watching = asyncio.get_running_loop().create_task(self._watch_spawner())

    async def _join(self, living: Living) -> None:
        """Make the state agree with what the spawner says; whatever neither runs nor ended is lost."""
        known = {status.record.id for status in self._sandboxes.all()} | {c.status.id for c in self._containers.all()}
        for process in living.processes:
            if process.id not in known:
                await self._host.kill(process.id)
                continue
            pidfd = await self._pidfd(process.id)
            if pidfd is None:
                continue
            if process.kind == "pause":
                self._sandboxes.adopt(process.id, process.pid, pidfd)
            else:
                self._containers.adopt(process.id, process.pid, pidfd, process.started_at / 1e9)
        for exited in living.exits:
            self._dispatch(exited)
        accounted = {process.id for process in living.processes} | {exited.id for exited in living.exits}
        self._note_lost(accounted)
        self._note_perhaps_started(accounted)

    def _note_perhaps_started(self, accounted: set[str]) -> None:
        """End containers that may have run under a spawner that was lost: that one runs is not written down.

        Those that are younger than this spawner, which knows nothing of them, were never started and stay as they are.
        """
        began = clock.offset() + self._host.spawner.welcome.start_time / os.sysconf("SC_CLK_TCK")
        for container in self._containers.all():
            status = container.status
            if status.state is State.CREATED and status.created_at < began and status.id not in accounted:
                self._containers.on_exit(_lost(status.id, status.pid))

    async def _pidfd(self, process_id: str) -> int | None:
        try:
            held = await self._host.spawner.descriptors(process_id)
        except SpawnerError:
            return None  # it has just ended: its exit is on the way
        pidfd = held.pop("pidfd", None)
        for descriptor in held.values():
            os.close(descriptor)
        return pidfd

    def _note_lost(self, accounted: set[str]) -> None:
        now = time.time_ns()
        for container in self._containers.all():
            status = container.status
            if status.state is State.RUNNING and status.id not in accounted:
                self._containers.on_exit(_lost(status.id, status.pid))
        for sandbox in self._sandboxes.all():
            if sandbox.ready and sandbox.record.id not in accounted:
                self._sandboxes.on_exit(Exit(sandbox.record.id, "pause", sandbox.pid, 0, 0, finished_at=now, lost=True))

    async def _tidy(self) -> None:
        """Remove what no sandbox stands for: groups and addresses of pods of a former life."""
        uids = {sandbox.config.pod_uid for sandbox in self._sandboxes.all()}
        for uid, group in self._groups.pods().items():
            if uid not in uids:
                await end(group)
        for uid in self._network.addresses.owners():
            if uid not in uids:
                self._network.addresses.release(uid)

    async def _watch_spawner(self) -> None:
        while True:
            await asyncio.shield(self._host.spawner.lost)
            self._streams.lose_all()
            try:
                await self._replace_spawner()
            except Exception as error:  # without a spawner nothing can go on: podrund ends, saying why
                self._host.rejoined(ever=False)
                self.broken.set_exception(error)
                return

    async def _replace_spawner(self) -> None:
        """Begin another one, and another where that is lost as well. Raises SpawnerFailed with its words."""
        for attempt in range(_ATTEMPTS):
            try:
                await self._rejoin(await self._connect(self._host.spawner))
                return
            except SpawnerFailed:
                raise
            except SpawnerLost as error:
                log.warning("another spawner was lost at once: %s", error)
                await asyncio.sleep(_PAUSE * attempt)
        raise SpawnerLost(f"{_ATTEMPTS} spawners were lost one after another")

    async def _rejoin(self, spawner: SpawnerClient) -> None:
        """After another spawner has begun: what we hold stays, what has gone with the old one is lost."""
        living = await spawner.subscribe(self._on_exit)
        self._host.spawner = spawner
        held = {sandbox.record.id for sandbox in self._sandboxes.all()}
        containers = {container.status.id: container for container in self._containers.all()}
        for process in living.processes:
            container = containers.get(process.id)
            if container is not None and container.starting and not container.running:
                # It was being started: the answer was lost, the process is not.
                if (pidfd := await self._pidfd(process.id)) is not None:
                    self._containers.adopt(process.id, process.pid, pidfd, process.started_at / 1e9)
            elif container is None and process.id not in held:
                await self._host.kill(process.id)
        for exited in living.exits:
            self._dispatch(exited)
        self._note_lost({process.id for process in living.processes} | {exited.id for exited in living.exits})
        self._host.rejoined()
        self._tell(Event("spawner-replaced", "", ""))

    async def settle(self) -> None:
        """Returns when nothing goes on in the background (acknowledgements, groups that are being removed)."""
        await self._host.settle()

    async def close(self) -> None:
        """Let go of everything; pods go on."""
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        self._host.rejoined(ever=False)
        await self._streams.close()
        with contextlib.suppress(TimeoutError):  # without a spawner some ends are never told
            async with asyncio.timeout(_PATIENCE):
                await self._host.settle()
        self._containers.close()
        self._sandboxes.close()
        self._network.close()
        self._host.oom.close()
        swift.release(self._swift)
        await self._host.spawner.close()

    @property
    def spawner(self) -> SpawnerClient:
        """The connection of the moment, also for the daemon's listening sockets; another one after a loss."""
        return self._host.spawner

    # Events

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """`callback` hears of each Event; the function returned ends that."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def _tell(self, event: Event) -> None:
        for callback in tuple(self._subscribers):
            callback(event)

    def _on_exit(self, exited: Exited) -> None:
        self._dispatch(exited.exit)

    def _dispatch(self, exited: Exit) -> None:
        match exited.kind:
            case "pause":
                self._sandboxes.on_exit(exited)
            case "container":
                self._containers.on_exit(exited)
            case "exec":
                self._streams.on_exit(exited)

    # Sandboxes

    async def run_sandbox(
        self, config: SandboxConfig, begun: Callable[[SandboxStatus], None] | None = None
    ) -> SandboxStatus:
        """Raises SandboxFailed."""
        return (await self._host.whole(self._sandboxes.run(config, begun))).status()

    async def stop_sandbox(self, sandbox_id: str) -> None:
        """Kill what runs in it, then pause; its network goes."""
        sandbox = self._sandboxes.get(sandbox_id)
        await asyncio.gather(*(self._containers.kill(c) for c in self._containers.of_sandbox(sandbox_id)))
        await self._sandboxes.stop(sandbox)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        """Stop it, remove its containers, then it; nothing happens when it is gone."""
        with contextlib.suppress(NotFound):
            await self._host.whole(self._remove_sandbox(self._sandboxes.get(sandbox_id)))

    async def _remove_sandbox(self, sandbox: Sandbox) -> None:
        containers = self._containers.of_sandbox(sandbox.record.id)
        await asyncio.gather(*(self._containers.remove(container) for container in containers))
        await self._sandboxes.remove(sandbox)

    def sandboxes(self, pod_uid: str | None = None) -> list[SandboxStatus]:
        """Oldest first."""
        every = self._sandboxes.all()
        return [sandbox.status() for sandbox in every if pod_uid in (None, sandbox.config.pod_uid)]

    def pod_files(self, sandbox_id: str) -> Path:
        """The directory of the sandbox's hosts, hostname and resolv.conf."""
        return self._sandboxes.files(sandbox_id)

    def sandbox_status(self, sandbox_id: str) -> SandboxStatus:
        """Raises NotFound."""
        return self._sandboxes.get(sandbox_id).status()

    # Containers

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        """Raises CreateFailed, NotFound."""
        return self._containers.create(self._sandboxes.get(sandbox_id), config)

    async def start_container(self, container_id: str) -> None:
        """Raises StartFailed, NotFound."""
        await self._host.whole(self._containers.start(self._containers.get(container_id)))

    async def stop_container(self, container_id: str, grace: float, signal: str = "") -> None:
        """Raises NotFound."""
        await self._containers.stop(self._containers.get(container_id), grace, signal)

    async def kill_container(self, container_id: str, signal: str) -> None:
        """Raises NotFound."""
        await self._containers.signal(self._containers.get(container_id), signal)

    def freeze_container(self, container_id: str, *, frozen: bool) -> None:
        """Stop every process of it where it is, or let them go on. Raises OSError, NotFound."""
        self._containers.get(container_id).group.freeze(frozen)

    async def remove_container(self, container_id: str) -> None:
        """Nothing happens when it is gone."""
        with contextlib.suppress(NotFound):
            await self._host.whole(self._containers.remove(self._containers.get(container_id)))

    def containers(self, pod_uid: str | None = None) -> list[ContainerStatus]:
        """Oldest first."""
        every = (container.status for container in self._containers.all())
        return [status for status in every if pod_uid is None or status.pod_uid == pod_uid]

    def status(self, container_id: str) -> ContainerStatus:
        """Raises NotFound."""
        return self._containers.get(container_id).status

    def termination_message(self, container_id: str) -> str:
        """What the container wrote to its termination message file (at most its last 4096 bytes). Raises NotFound."""
        return self._containers.termination_message(self._containers.get(container_id))

    async def update_resources(self, container_id: str, resources: Resources) -> None:
        """Raises RuntimeFailure with the kernel's refusal, NotFound."""
        try:
            self._containers.update(self._containers.get(container_id), resources)
        except OSError as error:
            raise RuntimeFailure(f"failed to update container {container_id}: {error}") from error

    async def update_pod_resources(self, sandbox_id: str, resources: Resources) -> None:
        """Raises RuntimeFailure with the kernel's refusal, NotFound."""
        sandbox = self._sandboxes.get(sandbox_id)
        try:
            sandbox.group.limit(limits_of(resources))
        except OSError as error:
            raise RuntimeFailure(f"failed to update pod {sandbox.config.pod_uid}: {error}") from error

    async def reopen_log(self, container_id: str) -> None:
        """Raises NotFound."""
        with contextlib.suppress(SpawnerError):
            await self._host.spawner.reopen_log(self._containers.get(container_id).status.id)

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
    ) -> ExecSession:
        """Raises ExecFailed, NotFound."""
        container = self._containers.get(container_id)
        return await self._streams.exec(container, argv, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr)

    async def exec_sync(self, container_id: str, argv: Sequence[str], seconds: float | None) -> tuple[int, bytes]:
        """Raises ExecFailed, ExecTimeout, NotFound."""
        return await self._streams.exec_sync(self._containers.get(container_id), argv, seconds)

    async def attach(
        self, container_id: str, *, stdin: bool = False, stdout: bool = True, stderr: bool = True
    ) -> AttachSession:
        """Raises ExecFailed when it does not run, NotFound."""
        container = self._containers.get(container_id)
        return await self._streams.attach(container, stdin=stdin, stdout=stdout, stderr=stderr)

    # Numbers

    def container_statistics(self, container_id: str) -> Statistics | None:
        """None when it is not running. Raises NotFound."""
        container = self._containers.get(container_id)
        return _statistics(container.group) if container.running else None

    def sandbox_statistics(self, sandbox_id: str) -> Statistics | None:
        """Of the whole pod; None when its group is gone. Raises NotFound."""
        return _statistics(self._sandboxes.get(sandbox_id).group)

    async def writable_layer_usage(self, container_id: str) -> int:
        """Bytes on disk in the container's writable layer. Raises NotFound."""
        return await asyncio.to_thread(_disk_usage, self._containers.writable_layer(self._containers.get(container_id)))


def _lost(container_id: str, pid: int) -> Exit:
    """The end of a container that nobody saw."""
    return Exit(container_id, "container", pid, 0, 0, finished_at=time.time_ns(), code=137, lost=True)


def _statistics(group: Group) -> Statistics | None:
    try:
        usage = group.usage()
    except OSError:
        return None
    return Statistics(time.time(), usage.cpu_ns, usage.memory_bytes, usage.memory_working_set, usage.pids)


def _disk_usage(directory: Path) -> int:
    total = 0
    for top, _, files in os.walk(directory):
        for name in (".", *files):
            with contextlib.suppress(FileNotFoundError):
                total += os.stat(os.path.join(top, name), follow_symlinks=False).st_blocks * 512
    return total
