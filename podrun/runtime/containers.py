"""Containers: created, started, stopped, removed.

create: user and volumes found, writable layer, record, cgroup made   CREATED
start:  one request to the spawner                                    RUNNING   (or EXITED: StartError, 128)
exit:   told by the spawner: record written, acknowledged, told on    EXITED
remove: killed if need be, writable layer and record away
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from podrun.cgroups.ending import end
from podrun.kernel import mounts, processes, signals
from podrun.runtime import container_plan
from podrun.runtime.container import Container
from podrun.runtime.container_plan import POD_FILES, Place, Volume
from podrun.runtime.errors import CreateFailed, NotFound, StartFailed
from podrun.runtime.host import Host
from podrun.runtime.identity import Identity
from podrun.runtime.limits import limits_of
from podrun.runtime.model import ContainerConfig, ContainerStatus, Event, Resources, State
from podrun.runtime.passing import Passing
from podrun.runtime.preparing import check_security, identity_of, mount_points, open_volumes
from podrun.runtime.records import ContainerRecord, Records
from podrun.runtime.sandboxes import Sandbox, Sandboxes
from podrun.runtime.skeleton import Skeletons
from podrun.runtime.volumes import idmap
from podrun.spawner.client import SpawnerError
from podrun.spawner.plan import Passed
from podrun.spawner.protocol import Exit
from podrun.spawner.start import SpawnerLost
from podrun.timeline import marks

_TERMINATION_LOG = "termination-log"
_SECCOMP_PROFILE = "seccomp.json"
_LOOKS, _LOOK_AGAIN = 25, 0.02
"""How often, and after how many seconds, the kernel is asked how a process ended whose parent was not podrun's."""
_LONGEST_MESSAGE = 4096
"""Bytes of a termination message that count (the kubelet's limit)."""


class Containers:
    """All containers of the machine, in the order in which they were created."""

    def __init__(self, host: Host, sandboxes: Sandboxes) -> None:
        self._host = host
        self._sandboxes = sandboxes
        self._records = Records(host.run / "containers", ContainerRecord)
        self._layers = host.state / "containers"
        self._layers.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._skeletons = Skeletons(host.state / "skeletons")
        self._live: dict[str, Container] = {}

    def get(self, container_id: str) -> Container:
        """Raises NotFound."""
        try:
            return self._live[container_id]
        except KeyError:
            raise NotFound(f"there is no container {container_id}") from None

    def all(self) -> list[Container]:
        """Oldest first."""
        return list(self._live.values())

    def of_sandbox(self, sandbox_id: str) -> list[Container]:
        """Its containers, oldest first."""
        return [container for container in self._live.values() if container.status.sandbox_id == sandbox_id]

    # Create

    def create(self, sandbox: Sandbox, config: ContainerConfig) -> str:
        """Raises CreateFailed (ConfigFailed where the pod's own words are at fault)."""
        began = time.time_ns()
        who = identity_of(config)
        check_security(config.security)
        container_id = secrets.token_hex(32)
        asked, config = config, self._with_own_profile(container_id, config)
        env = container_plan.environment(config, sandbox.config, who.home, _hostname(sandbox))
        status = ContainerStatus(
            id=container_id,
            sandbox_id=sandbox.record.id,
            pod_uid=sandbox.config.pod_uid,
            config=config,
            state=State.CREATED,
            created_at=time.time(),
            user=(who.uid, who.gid, who.groups),
        )
        container = Container(ContainerRecord(status, env), sandbox.group.child(container_id))
        users = sandbox.config.users
        try:
            if config is not asked:
                self._records.place(container_id).mkdir(mode=0o700)
                shutil.copyfile(str(asked.security.seccomp), str(config.security.seccomp))
            with sandbox.user_namespace() as namespace:
                container.trees = open_volumes(config, namespace)
            for name in ("upper", "work"):
                (self._layers / container_id / name).mkdir(mode=0o755, parents=True)
            if users is not None:
                os.chown(self._layers / container_id / "upper", users.first, users.first)
            config.log_path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._records.write(container_id, container.record)
            if config.termination_message_path:
                _world_writable(self._records.place(container_id) / _TERMINATION_LOG)
            with contextlib.suppress(OSError):  # tried again at the start, whose failure it is
                self._make_group(container)
        except OSError as error:
            container.close_trees()
            self._discard(container_id)
            raise CreateFailed(f"failed to create containerd container: {error}") from error
        except CreateFailed:
            self._discard(container_id)
            raise
        self._live[container_id] = container
        marks.note(sandbox.config.pod_uid, "created", (began, config.name))
        return container_id

    def _with_own_profile(self, container_id: str, config: ContainerConfig) -> ContainerConfig:
        """A Localhost profile stays what it was at create, also for what is executed in the container later."""
        if not isinstance(config.security.seccomp, Path) or config.security.privileged:
            return config
        copy = self._records.place(container_id) / _SECCOMP_PROFILE
        return replace(config, security=replace(config.security, seccomp=copy))

    def _discard(self, container_id: str) -> None:
        layer = self._layers / container_id
        try:
            # Most containers change nothing in their root: what overlayfs and podrun made is then all there is.
            for name in ("upper", "work/work", "work", ""):
                os.rmdir(layer / name)
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(layer)
        self._records.remove(container_id)

    # Start

    async def start(self, container: Container) -> None:
        """Raises StartFailed: the container is then EXITED with that message."""
        if container.status.state is not State.CREATED or container.starting:
            raise StartFailed(f"container {container.status.id} is {container.status.state.value}, not created")
        container.starting = True
        try:
            await self._begin_surely(container)
        except (OSError, ValueError, SpawnerError, SpawnerLost, NotFound, CreateFailed) as error:
            failure = _start_failure(error)
            await self._note_failed_start(container, failure)
            raise failure from error
        finally:
            container.starting = False
            container.close_trees()
        self._host.tell(self._event("container-started", container))
        if container.early_exit is not None:
            self._note_exit(container, container.early_exit)

    async def _begin_surely(self, container: Container) -> None:
        """A start whose spawner is lost meanwhile is the next one's, unless that one knows the process already."""
        while True:
            joined = self._host.joined
            try:
                await self._begin(container)
                return
            except SpawnerLost:
                await self._host.another_spawner(joined)
                if container.running or container.early_exit is not None:
                    return

    async def _begin(self, container: Container) -> None:
        status, config = container.status, container.config
        sandbox = self._sandboxes.get(status.sandbox_id)
        if not sandbox.ready:
            raise StartFailed.because(f"its sandbox {sandbox.record.id} has ended")
        if not container.grouped:
            self._make_group(container)
        with Passing() as passing, sandbox.user_namespace() as users:
            if container.trees is None:
                container.trees = open_volumes(config, users)
            place = self._place(container, sandbox, passing, users)
            opened = [
                Volume(mount, passing.lend(tree)) for mount, tree in zip(config.mounts, container.trees, strict=True)
            ]
            assert status.user is not None
            who = Identity(*status.user, home="")
            request = container_plan.container_request(
                status.id, config, sandbox.config, who, container.record.environment, place, opened
            )
            asked = time.time_ns()
            started = await self._host.spawner.spawn(request, passing.descriptors)
        container.pidfd = started.descriptors["pidfd"]
        told = (asked, started.started_at, marks.packed(started.timings), config.name, config.argv)
        marks.note(status.pod_uid, "container", told)
        self._note_running(container, started.pid, started.started_at)

    def _make_group(self, container: Container) -> None:
        container.group.create(limits_of(container.config.resources, container=True))
        if not container.config.security.privileged:
            container.group.allow_devices(self._host.attach_devices)
        container.grouped = True

    def _note_running(self, container: Container, pid: int, started_at: float) -> None:
        """Not written down: the spawner knows it, and has its own record for the next spawner."""
        status = replace(container.status, state=State.RUNNING, pid=pid, started_at=started_at)
        container.record = replace(container.record, status=status)
        self._watch_memory(container)

    def _watch_memory(self, container: Container) -> None:
        """Tell of OOM kills, also of processes whose end does not end the container; the watch ends with the group."""
        if container.config.resources.memory_limit is not None:
            with contextlib.suppress(OSError):  # no memory controller, or too many watches: the exit still says it
                self._host.oom.watch(container.group, lambda: self._host.tell(self._event("oom", container)))

    def _place(self, container: Container, sandbox: Sandbox, passing: Passing, users: int | None) -> Place:
        config, container_id = container.config, container.status.id
        join_pid: Passed | None = None
        if config.target_id:
            join_pid = passing.lend(self._target(config.target_id).pidfd)
        elif sandbox.config.share_process_namespace and not sandbox.config.host_pid:
            join_pid = passing.lend(sandbox.pidfd)
        host_shm = passing.give(mounts.open_tree("/dev/shm")) if sandbox.config.host_ipc else None
        message = self._records.place(container_id) / _TERMINATION_LOG if config.termination_message_path else None
        pod_files = self._sandboxes.files(sandbox.record.id)
        own_files: dict[str, Passed] = {}
        if users is not None:
            files = {f"/etc/{name}": pod_files / name for name in POD_FILES}
            if message is not None:
                files[config.termination_message_path] = message
            for target, path in files.items():
                tree = mounts.open_tree(str(path))
                own_files[target] = passing.give(tree)
                idmap(tree, users, str(path))
        return Place(
            machine=self._host.groups.machine,
            pod_files=pod_files,
            skeleton=self._skeletons.layer(mount_points(config, container.trees or ())),
            upper=self._layers / container_id / "upper",
            work=self._layers / container_id / "work",
            empty=self._skeletons.empty,
            termination_file=message,
            procs=tuple(passing.open(file, os.O_WRONLY) for file in container.group.procs_files),
            pause=passing.lend(sandbox.pidfd),
            join_pid=join_pid,
            host_shm=host_shm,
            users=passing.lend(users) if users is not None else None,
            own_files=own_files,
        )

    def _target(self, container_id: str) -> Container:
        target = self.get(container_id)
        if not target.running:
            raise StartFailed.because(f"target container {container_id} is not running")
        return target

    async def _note_failed_start(self, container: Container, failure: StartFailed) -> None:
        self._change(
            container,
            state=State.EXITED,
            finished_at=time.time(),
            exit_code=failure.exit_code,
            reason=failure.container_reason,
            message=failure.message,
        )
        container.ended.set()
        await end(container.group)
        container.close_pidfd()
        self._host.tell(self._event("container-exited", container))

    # Exit

    def on_exit(self, exited: Exit) -> None:
        """The first process of a container has ended (told by the spawner)."""
        container = self._live.get(exited.id)
        if container is None:
            self._host.acknowledge(exited.id)
        elif container.starting:
            container.early_exit = exited
        elif exited.lost and container.pidfd >= 0 and not container.asking:
            container.asking = True
            self._host.background(self._note_lost_exit(container, exited))
        else:
            self._note_exit(container, exited)

    async def _note_lost_exit(self, container: Container, exited: Exit) -> None:
        """Nobody was the parent when it ended: the kernel may know how all the same, once it has been reaped."""
        with contextlib.suppress(OSError):
            for _ in range(_LOOKS):
                status = processes.wait_status(container.pidfd)
                if status is not None:
                    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
                    code = 128 + number if number else os.WEXITSTATUS(status)
                    exited = replace(exited, lost=False, status=status, code=code, signal=number)
                    break
                await asyncio.sleep(_LOOK_AGAIN)
        container.asking = False
        self._note_exit(container, exited)

    def _note_exit(self, container: Container, exited: Exit) -> None:
        if container.status.state is State.EXITED:
            self._host.acknowledge(exited.id)
            return
        reason, message = "Completed" if exited.code == 0 else "Error", ""
        if exited.lost:
            reason = "ContainerStatusUnknown"
            message = "the spawner that knew how the container ended was lost"
        elif container.group.oom_kills():
            reason = "OOMKilled"
        noted = self._change(
            container,
            state=State.EXITED,
            pid=0,
            started_at=container.status.started_at or exited.started_at / 1e9,
            finished_at=exited.finished_at / 1e9,
            exit_code=exited.code,
            signal=exited.signal,
            reason=reason,
            message=message,
        )
        if noted:  # else the spawner keeps its record for the next podrund
            self._host.acknowledge(exited.id)
        container.close_pidfd()
        ended = container.status
        told = (ended.config.name, ended.finished_at, ended.exit_code, ended.signal, ended.reason)
        marks.note(ended.pod_uid, "exit", told)
        container.ended.set()
        # What the first process leaves behind in a shared pid namespace goes with it.
        self._host.background(end(container.group))
        self._host.tell(self._event("container-exited", container))

    def _change(self, container: Container, **changes: Any) -> bool:
        """Change the status, and write it down; False when that could not be done (a full disk)."""
        status = replace(container.status, **changes)
        container.record = replace(container.record, status=status)
        if not self._records.place(status.id).is_dir():
            return True  # removed meanwhile: nothing is to be remembered
        try:
            self._records.write(status.id, container.record)
        except OSError:
            return False
        return True

    def _event(self, kind: str, container: Container) -> Event:
        status = container.status
        assert kind in ("container-started", "container-exited", "oom")
        return Event(kind, status.pod_uid, status.sandbox_id, status.id)  # type: ignore[arg-type]

    # Stop and remove

    async def stop(self, container: Container, grace: float, signal: str = "") -> None:
        """See RuntimeService.stop_container."""
        if not container.running:
            return
        if grace > 0:
            await self.signal(container, signal or container.config.stop_signal)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await container.ended.wait()
                    return
        await self.kill(container)

    async def kill(self, container: Container) -> None:
        """SIGKILL to all of it; returns when its first process has been reaped."""
        while container.running:
            marks.note(container.status.pod_uid, "signal", (container.config.name, "SIGKILL"))
            container.group.kill()
            # Where a cgroup cannot kill, or the process left it (a privileged one may), the spawner reaches it.
            await self._host.kill(container.status.id, container.pidfd)
            await container.ended.wait()

    async def signal(self, container: Container, name: str) -> None:
        """One signal to its first process. Raises CreateFailed for a name that is none."""
        try:
            number = signals.number(name)
        except ValueError as error:
            raise CreateFailed(str(error)) from None
        marks.note(container.status.pod_uid, "signal", (container.config.name, name))
        try:
            await self._host.spawner.signal(container.status.id, number)
        except SpawnerLost:  # podrund has a descriptor of the process too
            if container.running:
                with contextlib.suppress(OSError):
                    processes.send_signal(container.pidfd, number)

    async def remove(self, container: Container) -> None:
        """Kill it if it runs; its writable layer and record go."""
        await self.kill(container)
        container_id = container.status.id
        container.close_trees()
        self._live.pop(container_id, None)
        await end(container.group)
        await asyncio.to_thread(self._discard, container_id)

    def update(self, container: Container, resources: Resources) -> None:
        """Change its limits; what is None stays. Raises OSError with the kernel's refusal."""
        if container.running or (container.grouped and container.status.state is State.CREATED):
            container.group.limit(limits_of(resources, container=True))
        given = {name: value for name, value in _fields(resources) if value is not None}
        config = replace(container.config, resources=replace(container.config.resources, **given))
        self._change(container, config=config)

    # Its own words

    def termination_message(self, container: Container) -> str:
        """What it wrote to its termination message file: the last 4096 bytes."""
        file = self._records.place(container.status.id) / _TERMINATION_LOG
        try:
            with file.open("rb") as opened:
                opened.seek(max(0, os.fstat(opened.fileno()).st_size - _LONGEST_MESSAGE))
                return opened.read(_LONGEST_MESSAGE).decode(errors="replace")
        except OSError:
            return ""

    def writable_layer(self, container: Container) -> Path:
        """The directory that its changes to the image are in."""
        return self._layers / container.status.id / "upper"

    # Adoption

    def load(self) -> list[str]:
        """Read the records; the ids of containers that have not ended as far as is known. The rest is tidied."""
        found, broken = self._records.load()
        for container_id in broken:
            self._records.remove(container_id)
        for record in sorted(found.values(), key=lambda record: record.status.created_at):
            try:
                sandbox = self._sandboxes.get(record.status.sandbox_id)
            except NotFound:
                self._records.remove(record.status.id)
                continue
            container = Container(record, sandbox.group.child(record.status.id))
            if record.status.state is State.EXITED:
                container.ended.set()
            self._live[record.status.id] = container
        for entry in self._layers.iterdir():
            if entry.name not in self._live:
                shutil.rmtree(entry, ignore_errors=True)
        return [container.status.id for container in self._live.values() if container.status.state is not State.EXITED]

    def adopt(self, container_id: str, pid: int, pidfd: int, started_at: float) -> None:
        """Its first process runs."""
        container = self.get(container_id)
        container.pidfd = pidfd
        self._note_running(container, pid, started_at)

    def close(self) -> None:
        """Let go of the descriptors."""
        for container in self._live.values():
            container.close_trees()
            container.close_pidfd()


def _hostname(sandbox: Sandbox) -> str:
    return os.uname().nodename if sandbox.config.host_network else sandbox.config.hostname


def _fields(resources: Resources) -> Iterator[tuple[str, Any]]:
    return ((entry.name, getattr(resources, entry.name)) for entry in fields(resources))


def _world_writable(file: Path) -> None:
    """Whoever the container runs as may write its message."""
    file.touch(mode=0o666)
    file.chmod(0o666)


def _start_failure(error: Exception) -> StartFailed:
    if isinstance(error, StartFailed):
        return error
    if isinstance(error, SpawnerError):
        failure = error.failure
        if failure.stage in ("exec", "cwd"):
            return StartFailed.because(failure.message)
        return StartFailed.because(f"error during container init: {error}")
    return StartFailed.because(f"error during container init: {error}")
