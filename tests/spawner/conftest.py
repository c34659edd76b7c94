"""A spawner of its own for each test, a busybox root, and a check that nothing is left of either."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from podrun.kernel.capabilities import DEFAULT
from podrun.kernel.flags import Clone, MountFlags
from podrun.spawner import plan
from podrun.spawner.client import SpawnerClient, Started
from podrun.spawner.plan import Step
from podrun.spawner.protocol import Capabilities, Exited, Log, Spawn, Stdio

HIDDEN = ("/proc/kcore", "/proc/keys", "/proc/acpi", "/sys/firmware", "/proc/timer_list", "/proc/scsi")
FIXED = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
DEVICES = (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9))
NOSUID, NOEXEC, NODEV = MountFlags.NOSUID, MountFlags.NOEXEC, MountFlags.NODEV


@dataclass
class Box:
    """A spawner's client, its directories, and the exits it has heard of."""

    client: SpawnerClient
    run: Path
    state: Path
    logs: Path
    exits: list[Exited] = field(default_factory=list)
    _heard: asyncio.Event = field(default_factory=asyncio.Event)
    _count: int = 0

    def hear(self, exited: Exited) -> None:
        self.exits.append(exited)
        self._heard.set()

    async def exit_of(self, process_id: str) -> Exited:
        """The end of this process, once it is told."""
        while True:
            for exited in self.exits:
                if exited.exit.id == process_id:
                    return exited
            self._heard.clear()
            await asyncio.wait_for(self._heard.wait(), 10)

    def container(self, *argv: str, extra: Sequence[Step] = (), unshare: Clone = Clone.NET) -> Spawn:
        """A container on busybox with all the usual mounts; vary it with dataclasses.replace."""
        self._count += 1
        name = f"c{self._count}"
        layer = self.state / "layers" / name
        for part in ("upper", "work"):
            (layer / part).mkdir(parents=True)
        steps: list[Step] = [
            plan.Unshare(Clone.MNT | Clone.IPC | Clone.UTS | unshare),
            plan.Overlay((str(self.state / "image"),), str(layer / "upper"), str(layer / "work")),
            plan.Root(),
            plan.Mount("proc", "/proc", NOSUID | NOEXEC | NODEV),
            plan.Mount("tmpfs", "/dev", NOSUID | MountFlags.STRICTATIME, "mode=755,size=65536k"),
            plan.Mount("devpts", "/dev/pts", NOSUID | NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"),
            plan.Mount("mqueue", "/dev/mqueue", NOSUID | NOEXEC | NODEV),
            plan.Mount("sysfs", "/sys", NOSUID | NOEXEC | NODEV | MountFlags.RDONLY),
            *(plan.Device(f"/dev/{name}", "c", 1, minor) for name, minor in DEVICES),
            plan.Device("/dev/tty", "c", 5, 0),
            plan.File("/dev/console"),
            plan.Symlink("/dev/ptmx", "pts/ptmx"),
            plan.Symlink("/dev/stdout", "/proc/self/fd/1"),
            *extra,
            plan.Mask(HIDDEN),
            plan.ReadOnly(FIXED),
            plan.PivotRoot(),
        ]
        return Spawn(
            name,
            "container",
            argv,
            ("PATH=/bin", "HOME=/"),
            new_pid=True,
            plan=tuple(steps),
            stdio=Stdio(log=Log(str(self.logs / f"{name}.log"))),
            capabilities=Capabilities(DEFAULT, DEFAULT, DEFAULT),
        )

    async def run_to_end(self, spawn: Spawn, descriptors: Sequence[int] = ()) -> tuple[Exited, list[str]]:
        """Its end, and the contents of its log's lines."""
        started = await self.client.spawn(spawn, descriptors)
        self.close(started)
        exited = await self.exit_of(spawn.id)
        await self.client.acknowledge(spawn.id)
        return exited, self.lines(spawn.id)

    def lines(self, process_id: str) -> list[str]:
        text = (self.logs / f"{process_id}.log").read_text(errors="replace")
        return [line.split(" ", 3)[3] for line in text.splitlines()]

    @staticmethod
    def close(started: Started) -> None:
        for descriptor in started.descriptors.values():
            os.close(descriptor)


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with busybox and its applets."""
    program = shutil.which("busybox")
    assert program is not None, "these tests need busybox-static"
    root = tmp_path_factory.mktemp("busybox")
    (root / "bin").mkdir()
    shutil.copy(program, root / "bin/busybox")
    for applet in ("sh", "cat", "echo", "id", "sleep", "ls", "true", "stat", "head", "tty", "stty", "dd", "readlink"):
        (root / "bin" / applet).symlink_to("busybox")
    for directory in ("proc", "sys", "dev", "etc", "tmp"):
        (root / directory).mkdir()
    return root


@pytest.fixture
async def box(tmp_path: Path, busybox: Path) -> AsyncIterator[Box]:
    state, run, logs = tmp_path / "state", tmp_path / "run", tmp_path / "logs"
    state.mkdir()
    logs.mkdir()
    shutil.copytree(busybox, state / "image", symlinks=True)
    client = await SpawnerClient.start(run, visible=[state])
    box = Box(client, run, state, logs)
    await client.subscribe(box.hear)
    before = descriptors_of(client.welcome.pid)
    try:
        yield box
        await _nothing_is_left(box, before if box.client is client else None)
    finally:
        await box.client.leave(force=True)


async def _nothing_is_left(box: Box, descriptors: list[str] | None) -> None:
    living = await box.client.subscribe(box.hear)
    for process in living.processes:
        await box.client.signal(process.id, 9)
        await box.exit_of(process.id)
    await box.client.acknowledge(*(exited.exit.id for exited in box.exits), *(exit.id for exit in living.exits))
    await box.client.rest()
    if descriptors is not None:
        async with asyncio.timeout(5):  # a peer that has just gone may not have been noticed yet
            while descriptors_of(box.client.welcome.pid) != descriptors:
                await box.client.drain_log("nobody")
    assert not any((box.run / "living").iterdir())
    assert not any((box.run / "exits").iterdir())


def descriptors_of(pid: int) -> list[str]:
    """What a process has open, without the changing numbers of pipes and sockets."""
    found: list[str] = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that listed the others
            found.append(os.readlink(f"/proc/{pid}/fd/{number}").split(":")[0])
    return sorted(found)
