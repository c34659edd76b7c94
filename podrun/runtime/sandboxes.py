"""Sandboxes: made, adopted, stopped and removed.

    run:    cgroup, address, files, record ──> pause (namespaces and network in one request) ──> the host's end
    stop:   kill all of the pod's cgroup ──> pause's exit ──> host ports and route away
    remove: stop, files and record away, and with the pod's last sandbox its cgroup and address

A failure on the way takes back what was made, in reverse order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from podrun.cgroups.ending import end
from podrun.cgroups.group import Group
from podrun.kernel import namespaces
from podrun.network.addresses import AddressesExhausted
from podrun.network.netlink import IPv4
from podrun.network.pods import HostPortTaken
from podrun.network.rules import HostPort, RulesRefused
from podrun.network.wiring import Wire, link_name
from podrun.runtime import podfiles
from podrun.runtime.errors import NotFound, SandboxFailed
from podrun.runtime.host import Host
from podrun.runtime.limits import limits_of
from podrun.runtime.model import Event, SandboxConfig, SandboxStatus
from podrun.runtime.passing import Passing
from podrun.runtime.records import Records, SandboxRecord
from podrun.runtime.sandbox_plan import Wiring, pause_request
from podrun.spawner.client import SpawnerError
from podrun.spawner.protocol import Exit
from podrun.spawner.start import SpawnerLost
from podrun.timeline import marks

Begun = Callable[[SandboxStatus], None]
"""Told of a sandbox that is not ready yet. It must not wait."""


@dataclass(slots=True)
class Sandbox:
    """A sandbox that has not been removed. `pidfd` is pause's, -1 once it has ended."""

    record: SandboxRecord
    group: Group
    """The pod's."""
    pid: int = 0
    pidfd: int = -1
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ready(self) -> bool:
        """Whether pause runs."""
        return self.pidfd >= 0

    @property
    def config(self) -> SandboxConfig:
        """As it was asked for."""
        return self.record.config

    @property
    def wire(self) -> Wire | None:
        """Its link and address; None on the host's network."""
        record = self.record
        return Wire(link_name(record.id), IPv4(record.address)) if record.address else None

    @contextlib.contextmanager
    def user_namespace(self) -> Iterator[int | None]:
        """A descriptor of the pod's own user namespace; None where it has the host's. Raises OSError without pause."""
        if self.config.users is None:
            yield None
            return
        descriptor = namespaces.open_namespace("user", self.pid)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def status(self) -> SandboxStatus:
        """For callers."""
        record = self.record
        addresses = (record.address,) if record.address else ()
        return SandboxStatus(record.id, record.config, self.ready, record.created_at, addresses, self.pid)


class Sandboxes:
    """All sandboxes of the machine, in the order in which they were made."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._records = Records(host.run / "sandboxes", SandboxRecord)
        self._live: dict[str, Sandbox] = {}
        self._beginning: dict[str, Sandbox] = {}
        """Those whose pause is being begun: containers may be created in them."""
        self._early: dict[str, Exit | None] = {}
        """Pauses that are being begun -> their exit, when that is told before the beginning."""

    def get(self, sandbox_id: str) -> Sandbox:
        """Also one whose pause is being begun. Raises NotFound."""
        sandbox = self._live.get(sandbox_id) or self._beginning.get(sandbox_id)
        if sandbox is None:
            raise NotFound(f"there is no sandbox {sandbox_id}")
        return sandbox

    def all(self) -> list[Sandbox]:
        """Oldest first."""
        return list(self._live.values())

    def files(self, sandbox_id: str) -> Path:
        """The directory of its hosts, hostname and resolv.conf."""
        return self._records.place(sandbox_id)

    async def run(self, config: SandboxConfig, begun: Begun | None = None) -> Sandbox:
        """Make one; `begun` is told of it when pause is on its way. Raises SandboxFailed."""
        sandbox_id = secrets.token_hex(32)
        async with contextlib.AsyncExitStack() as undo:
            try:
                sandbox = await self._make(sandbox_id, config, undo, begun)
            except (OSError, SpawnerError, SpawnerLost, RulesRefused, HostPortTaken, AddressesExhausted) as error:
                raise SandboxFailed(f"failed to create pod sandbox: {_why(error)}") from error
            undo.pop_all()
        return sandbox

    async def _make(
        self, sandbox_id: str, config: SandboxConfig, undo: contextlib.AsyncExitStack, begun: Begun | None
    ) -> Sandbox:
        host = self._host
        group = host.groups.pod(config.cgroup_parent, config.pod_uid)
        undo.push_async_callback(self._release, config)
        group.create(limits_of(config.resources), parent=True)
        leaf = group.leaf(sandbox_id)
        leaf.create()
        undo.push_async_callback(end, leaf)
        address = ""
        if not config.host_network:
            wire = host.network.wire(sandbox_id, config.pod_uid)
            host.network.check_ports(wire, host_ports(config))
            address = str(wire.address)
        record = SandboxRecord(sandbox_id, config, time.time(), address)
        undo.callback(self._records.remove, sandbox_id)
        self._records.write(sandbox_id, record)
        self._write_files(record)
        sandbox = Sandbox(record, group)
        await self._begin_pause(sandbox, leaf, begun)
        undo.push_async_callback(self._end_pause, sandbox)
        self._live[sandbox_id] = sandbox
        undo.callback(self._live.pop, sandbox_id, None)
        if sandbox.wire is not None:
            began = time.time_ns()
            await host.network.connect(sandbox.wire, host_ports(config), crowded=bool(self._early))
            marks.note(config.pod_uid, "wired", (began, sandbox.wire.link, address))
        if not sandbox.ready:
            raise OSError("pause ended at once")
        return sandbox

    def _write_files(self, record: SandboxRecord) -> None:
        place, config = self.files(record.id), record.config
        host_file = Path("/etc/hosts").read_text() if config.host_network else ""
        addresses = [record.address] if record.address else []
        for name, text in (
            ("hosts", podfiles.hosts(config, addresses, host_file)),
            ("hostname", podfiles.hostname(config)),
            ("resolv.conf", podfiles.resolv_conf(config.dns)),
        ):
            descriptor = os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                os.fchmod(descriptor, 0o644)
                os.write(descriptor, text.encode())
            finally:
                os.close(descriptor)

    async def _begin_pause(self, sandbox: Sandbox, leaf: Group, begun: Begun | None) -> None:
        host, sandbox_id = self._host, sandbox.record.id
        with Passing() as passing:
            procs = [passing.open(file, os.O_WRONLY) for file in leaf.procs_files]
            wiring = None
            if sandbox.wire is not None:
                batch, namespace = host.network.pod_batch(sandbox.wire), passing.lend(host.network.namespace)
                wiring = Wiring(batch, namespace)
            request = pause_request(sandbox_id, sandbox.config, procs, wiring)
            self._early[sandbox_id], self._beginning[sandbox_id] = None, sandbox
            if begun is not None:
                begun(sandbox.status())
            try:
                asked = time.time_ns()
                started = await host.spawner.spawn(request, passing.descriptors)
            finally:
                early = self._early.pop(sandbox_id)
                del self._beginning[sandbox_id]
        sandbox.pid, sandbox.pidfd = started.pid, started.descriptors["pidfd"]
        marks.note(sandbox.config.pod_uid, "pause", (asked, started.started_at, marks.packed(started.timings)))
        if early is not None:
            self._note_exit(sandbox)

    async def _end_pause(self, sandbox: Sandbox) -> None:
        if sandbox.ready:
            await self._host.kill(sandbox.record.id, sandbox.pidfd)
            await sandbox.ended.wait()

    async def _release(self, config: SandboxConfig) -> None:
        """Give back what belongs to the pod, unless another sandbox of it is there."""
        if any(other.config.pod_uid == config.pod_uid for other in self._live.values()):
            return
        await end(self._host.groups.pod(config.cgroup_parent, config.pod_uid))
        self._host.network.addresses.release(config.pod_uid)

    async def stop(self, sandbox: Sandbox) -> None:
        """End pause, and take the pod's ports and route away; its containers must have ended."""
        await self._end_pause(sandbox)
        if sandbox.wire is not None:
            await self._host.network.disconnect(sandbox.wire, host_ports(sandbox.config))

    async def remove(self, sandbox: Sandbox) -> None:
        """Stop it and take away what is left of it."""
        await self.stop(sandbox)
        self._live.pop(sandbox.record.id, None)
        await end(sandbox.group.leaf(sandbox.record.id))
        await self._release(sandbox.config)
        self._records.remove(sandbox.record.id)
        marks.note(sandbox.config.pod_uid, "sandbox removed")

    def on_exit(self, exited: Exit) -> None:
        """A pause has ended (told by the spawner)."""
        if exited.id in self._early:
            self._early[exited.id] = exited
        elif (sandbox := self._live.get(exited.id)) is not None:
            self._note_exit(sandbox)
        self._host.acknowledge(exited.id)

    def _note_exit(self, sandbox: Sandbox) -> None:
        if sandbox.pidfd >= 0:
            os.close(sandbox.pidfd)
            sandbox.pidfd, sandbox.pid = -1, 0
        sandbox.ended.set()
        marks.note(sandbox.config.pod_uid, "pause ended")
        self._host.tell(Event("sandbox-exited", sandbox.config.pod_uid, sandbox.record.id))

    # Adoption

    def load(self) -> list[str]:
        """Read the records; ids of the sandboxes whose pause is to be found. Unreadable ones are removed."""
        found, broken = self._records.load()
        for sandbox_id in broken:
            self._records.remove(sandbox_id)
        for record in sorted(found.values(), key=lambda record: record.created_at):
            group = self._host.groups.pod(record.config.cgroup_parent, record.config.pod_uid)
            sandbox = self._live[record.id] = Sandbox(record, group)
            sandbox.ended.set()
        return list(self._live)

    def adopt(self, sandbox_id: str, pid: int, pidfd: int) -> None:
        """Pause of this sandbox runs."""
        sandbox = self.get(sandbox_id)
        sandbox.pid, sandbox.pidfd = pid, pidfd
        sandbox.ended.clear()

    def close(self) -> None:
        """Let go of the descriptors."""
        for sandbox in self._live.values():
            if sandbox.pidfd >= 0:
                os.close(sandbox.pidfd)
                sandbox.pidfd = -1


def host_ports(config: SandboxConfig) -> tuple[HostPort, ...]:
    """The sandbox's host ports; a pod on the host's network needs none led to it."""
    if config.host_network:
        return ()
    return tuple(
        HostPort(port.host_port, port.container_port, port.protocol, port.host_ip) for port in config.port_mappings
    )


def _why(error: Exception) -> str:
    if isinstance(error, SpawnerError):
        failure = error.failure
        return failure.message or f"{failure.what}: {os.strerror(failure.errno)}"
    return str(error)
