"""A runtime on a machine of a test's own: spawner, cgroup root, network and mount namespace, and a busybox layer."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from podrun.cgroups.bpf import DevicePrograms
from podrun.cgroups.hierarchy import detect
from podrun.cgroups.tree import PodGroups
from podrun.network.pods import PodNetwork
from podrun.runtime.model import ContainerConfig, ContainerStatus, Event, SandboxConfig, SandboxStatus, State
from podrun.runtime.runtime import Runtime
from podrun.spawner.client import SpawnerClient
from podrun.spawner.start import SpawnerFailed

BUSYBOX = Path("/bin/busybox")


def busybox_layer(at: Path) -> Path:
    """A root file system of busybox-static with a user and a group."""
    (at / "bin").mkdir(parents=True)
    shutil.copy(BUSYBOX, at / "bin/busybox")
    for name in (
        "sh",
        "cat",
        "ls",
        "sleep",
        "id",
        "echo",
        "hostname",
        "nc",
        "ip",
        "mount",
        "ps",
        "kill",
        "true",
        "touch",
        "stat",
        "dd",
        "head",
        "ipcs",
        "wc",
        "grep",
        "mkdir",
        "readlink",
        "tty",
        "stty",
        "env",
        "mknod",
        "test",
        "false",
        "printf",
        "rm",
        "sync",
        "wget",
        "umount",
    ):
        (at / "bin" / name).symlink_to("busybox")
    (at / "etc").mkdir()
    (at / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n")
    (at / "etc/group").write_text("root:x:0:\nwheel:x:10:root\napp:x:1000:\n")
    (at / "tmp").mkdir(mode=0o1777)
    return at


@dataclass
class Machine:
    """One test's machine."""

    root: Path
    layer: Path
    groups: PodGroups
    network: PodNetwork
    runtime: Runtime
    events: list[Event] = field(default_factory=list)
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)
    reconnected: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the runtime has another spawner."""
    refuse_spawner: bool = False
    """No spawner can be begun any more."""
    _uids: int = 0

    def hear(self, event: Event) -> None:
        """Subscribed to the runtime."""
        self.events.append(event)
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def until(self, container_id: str, state: State = State.EXITED, seconds: float = 20) -> ContainerStatus:
        """The container's status once it is in this state."""
        async with asyncio.timeout(seconds):
            while (status := self.runtime.status(container_id)).state is not state:
                future = asyncio.get_running_loop().create_future()
                self._waiting.append(future)
                await future
        return status

    async def sandbox(self, **fields: object) -> SandboxStatus:
        """A sandbox of a new pod."""
        self._uids += 1
        uid = str(fields.pop("pod_uid", f"uid-{self._uids}"))
        config = SandboxConfig(uid, "ns", "p", 0, "host1", self.root / "logs" / uid, "")
        return await self.runtime.run_sandbox(replace(config, **fields))  # type: ignore[arg-type]

    async def sandbox_with(self, *argv: str) -> tuple[SandboxStatus, str]:
        """A sandbox, and a container that was created in it while pause was still on its way."""
        made: list[asyncio.Task[str]] = []

        def begun(status: SandboxStatus) -> None:
            assert not status.ready
            assert status not in self.runtime.sandboxes()
            made.append(asyncio.ensure_future(self.create(status, *argv)))

        config = SandboxConfig("early", "ns", "p", 0, "host1", self.root / "logs" / "early", "")
        sandbox = await self.runtime.run_sandbox(config, begun)
        return sandbox, await made[0]

    async def create(self, sandbox: SandboxStatus, *argv: str, **fields: object) -> str:
        """A container of busybox, created."""
        name = str(fields.pop("name", "a"))
        attempt = len(self.runtime.containers(sandbox.config.pod_uid))
        config = ContainerConfig(
            name=name,
            attempt=attempt,
            image="busybox",
            image_id="sha256:0",
            layers=(self.layer,),
            argv=argv,
            env=(),
            log_path=sandbox.config.log_directory / name / f"{attempt}.log",
        )
        return await self.runtime.create_container(sandbox.id, replace(config, **fields))  # type: ignore[arg-type]

    async def run(self, sandbox: SandboxStatus, *argv: str, **fields: object) -> str:
        """A container of busybox, started."""
        container_id = await self.create(sandbox, *argv, **fields)
        await self.runtime.start_container(container_id)
        return container_id

    def log(self, container_id: str) -> str:
        """What it wrote, without the CRI prefix."""
        text = self.runtime.status(container_id).config.log_path.read_text()
        return "".join(line.split(" ", 3)[3] + "\n" for line in text.splitlines())

    async def output(self, sandbox: SandboxStatus, script: str, **fields: object) -> str:
        """What a shell script in a container prints until it ends."""
        container_id = await self.run(sandbox, "sh", "-c", script, **fields)
        await self.until(container_id)
        return self.log(container_id)


def make_runtime(root: Path, name: str, layer: Path) -> Machine:
    """A runtime that has not been started; a second one of the same root is the next podrund."""
    groups, network = PodGroups(detect(), name), PodNetwork(root / "state/network")

    async def connect(former: SpawnerClient | None) -> SpawnerClient:
        if machine.refuse_spawner:
            raise SpawnerFailed("no room for a spawner")
        client = await SpawnerClient.start(root / "spawner", visible=[root], former=former)
        if former is not None:
            machine.reconnected.set()
        return client

    runtime = Runtime(root / "run", root / "state", connect, groups, network, DevicePrograms())
    machine = Machine(root, layer, groups, network, runtime)
    runtime.subscribe(machine.hear)
    return machine


@asynccontextmanager
async def started(root: Path) -> AsyncIterator[Machine]:
    """A machine from its first start to its last trace."""
    name = f"podrun-test-{os.getpid()}-{root.name}"
    machine = make_runtime(root, name, busybox_layer(root / "layer"))
    await machine.runtime.start()
    try:
        yield machine
    finally:
        for sandbox in machine.runtime.sandboxes():
            await machine.runtime.remove_sandbox(sandbox.id)
        await machine.network.reset()
        await machine.runtime.spawner.leave(force=True)
        await machine.runtime.close()
        machine.groups.remove()
