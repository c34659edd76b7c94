"""Small stand-ins for the rooms below the supervisor: they keep what they are told and answer at once.

`FakeRuntime` runs nothing: a test says when a container ends (`exit`). Time is the loop's (virtual under looptime).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from podrun.api.errors import already_exists, internal_error, not_found
from podrun.api.pod import Pod
from podrun.images.model import Credentials, Image, ImageConfig, ImageError, Reason
from podrun.runtime.errors import ExecFailed, NotFound, SandboxFailed, StartFailed
from podrun.runtime.model import ContainerConfig, ContainerStatus, Event, Resources, SandboxConfig, SandboxStatus, State
from podrun.runtime.service import Statistics
from podrun.store.records import Key, Record, WatchEvent
from podrun.store.store import Remove
from podrun.volumes.model import PreparedVolume, Usage, VolumeError


class FakeStore:
    """Objects in a dictionary; every change is told at once, and kept in `history` for pods."""

    def __init__(self) -> None:
        self.identity = "database"
        self.objects: dict[Key, dict[str, Any]] = {}
        self.handlers: dict[str, list[Callable[[WatchEvent], None]]] = {}
        self.versions = itertools.count(1)
        self.history: list[dict[str, Any]] = []
        self.full = False
        """Whether every write fails, as on a full disk."""

    def get(self, resource: str, namespace: str, name: str) -> dict[str, Any] | None:
        return self.objects.get(Key(resource, namespace, name))

    def list(self, resource: str, namespace: str | None = None) -> list[dict[str, Any]]:
        return [o for k, o in self.objects.items() if k.resource == resource and namespace in (None, k.namespace)]

    def subscribe(self, resource: str, handler: Callable[[WatchEvent], None]) -> Callable[[], None]:
        self.handlers.setdefault(resource, []).append(handler)
        return lambda: self.handlers[resource].remove(handler)

    async def create(self, resource: str, obj: dict[str, Any], *, patient: bool = False) -> dict[str, Any]:
        key = Key(resource, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        if key in self.objects:
            raise already_exists(resource, key.name)
        return await self._put(key, obj)

    async def modify(
        self, resource: str, namespace: str, name: str, change: Any, *, patient: bool = False
    ) -> dict[str, Any]:
        key = Key(resource, namespace, name)
        if key not in self.objects:
            raise not_found(resource, name)
        return await self._put(key, change(self.objects[key]))

    async def remove(self, resource: str, namespace: str, name: str) -> dict[str, Any]:
        key = Key(resource, namespace, name)
        if key not in self.objects:
            raise not_found(resource, name)
        obj = self.objects.pop(key)
        self._tell("DELETED", key, obj, obj)
        return obj

    async def write(self, resource: str, namespace: str, name: str, decide: Any, *, patient: bool = False) -> Any:
        if self.full:
            raise internal_error("no space left on device")
        key = Key(resource, namespace, name)
        decided = decide(self.objects.get(key))
        if isinstance(decided, Remove):
            return await self.remove(*key)
        if decided is None:
            if key not in self.objects:
                raise not_found(resource, name)
            return self.objects[key]
        return await self._put(key, decided)

    async def _put(self, key: Key, obj: dict[str, Any]) -> dict[str, Any]:
        old = self.objects.get(key)
        if old == obj:
            return old
        self.objects[key] = obj
        self._tell("MODIFIED" if old else "ADDED", key, obj, old)
        return obj

    def _tell(self, kind: Any, key: Key, obj: dict[str, Any], old: dict[str, Any] | None) -> None:
        if key.resource == "pods" and kind != "DELETED":
            self.history.append(obj)
        before = Record(0, b"", old) if old is not None else None
        event = WatchEvent(kind, key, Record(next(self.versions), b"", obj), before)
        for handler in list(self.handlers.get(key.resource, ())):
            handler(event)


class FakeRuntime:
    """Sandboxes and containers as records. `fail` names containers whose start fails, with the message."""

    def __init__(self) -> None:
        self.clock_set = 0.0
        """By how many seconds the machine's clock has been set."""
        self.sandbox_list: list[SandboxStatus] = []
        self.container_list: list[ContainerStatus] = []
        self.subscribers: list[Callable[[Event], None]] = []
        self.ids = itertools.count(1)
        self.done: list[tuple[str, str]] = []
        """What was done to which container, in order: ("start", "a"), ("stop", "a"), ..."""
        self.created: list[str] = []
        self.fail: dict[str, str] = {}
        self.beginning: SandboxStatus | None = None
        self.sandbox_takes = 0.0
        self.sandbox_fails = ""
        self.ignores_term: set[str] = set()
        self.execs: dict[tuple[str, ...], tuple[int, bytes]] = {}
        self.messages: dict[str, str] = {}
        self._killers: dict[str, asyncio.Event] = {}

    def now(self) -> float:
        return asyncio.get_running_loop().time() + self.clock_set

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        self.subscribers.append(callback)
        return lambda: self.subscribers.remove(callback)

    def tell(self, kind: Any, status: ContainerStatus) -> None:
        for subscriber in self.subscribers:
            subscriber(Event(kind, status.pod_uid, status.sandbox_id, status.id))

    async def run_sandbox(
        self, config: SandboxConfig, begun: Callable[[SandboxStatus], None] | None = None
    ) -> SandboxStatus:
        status = SandboxStatus(f"{next(self.ids):064x}", config, False, self.now(), ("10.244.0.2",), 0)
        self.beginning = status
        if begun is not None:
            begun(status)
        await asyncio.sleep(self.sandbox_takes)
        self.beginning = None
        if self.sandbox_fails:
            raise SandboxFailed(self.sandbox_fails)
        status = replace(status, ready=True, pid=1)
        self.sandbox_list.append(status)
        return status

    async def stop_sandbox(self, sandbox_id: str) -> None:
        self.sandbox_list = [replace(s, ready=False) if s.id == sandbox_id else s for s in self.sandbox_list]

    async def remove_sandbox(self, sandbox_id: str) -> None:
        self.sandbox_list = [s for s in self.sandbox_list if s.id != sandbox_id]
        self.container_list = [c for c in self.container_list if c.sandbox_id != sandbox_id]

    def sandboxes(self, pod_uid: str | None = None) -> list[SandboxStatus]:
        return [s for s in self.sandbox_list if pod_uid in (None, s.config.pod_uid)]

    def sandbox_status(self, sandbox_id: str) -> SandboxStatus:
        return next(s for s in self.sandbox_list if s.id == sandbox_id)

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        begins = self.beginning is not None and self.beginning.id == sandbox_id
        sandbox = self.beginning if begins else self.sandbox_status(sandbox_id)
        assert sandbox is not None
        self.created.append(config.name)
        new = ContainerStatus(
            f"{next(self.ids):064x}", sandbox_id, sandbox.config.pod_uid, config, State.CREATED, self.now()
        )
        self.container_list.append(new)
        return new.id

    async def start_container(self, container_id: str) -> None:
        status = self.status(container_id)
        running = [c.config.name for c in self.containers(status.pod_uid) if c.state is State.RUNNING]
        assert status.config.name not in running, "a container must never run twice"
        self.done.append(("start", status.config.name))
        if status.config.name in self.fail:
            text = self.fail[status.config.name]
            now = self.now()
            self._set(
                replace(
                    status,
                    state=State.EXITED,
                    exit_code=128,
                    reason="StartError",
                    message=text,
                    started_at=0.0,
                    finished_at=now,
                )
            )
            raise StartFailed(text)
        self._set(replace(status, state=State.RUNNING, started_at=self.now(), pid=2))
        self._killers[container_id] = asyncio.Event()

    def exit(self, name: str, code: int = 0, *, reason: str = "") -> None:
        """The newest attempt of a container ends."""
        status = next(c for c in reversed(self.container_list) if c.config.name == name and c.state is State.RUNNING)
        self._end(status, code, reason)

    def _end(self, status: ContainerStatus, code: int, reason: str = "") -> None:
        reason = reason or ("Completed" if code == 0 else "Error")
        self._set(replace(status, state=State.EXITED, exit_code=code, reason=reason, finished_at=self.now()))
        self.done.append(("end", status.config.name))
        self._killers[status.id].set()
        self.tell("container-exited", self.status(status.id))

    async def stop_container(self, container_id: str, grace: float, signal: str = "") -> None:
        status = self.status(container_id)
        if status.state is not State.RUNNING:
            return
        self.done.append(("stop", status.config.name))
        if status.config.name not in self.ignores_term:
            self._end(status, 143)
            return
        try:
            async with asyncio.timeout(grace):
                await self._killers[container_id].wait()
        except TimeoutError:
            if self.status(container_id).state is State.RUNNING:
                self._end(self.status(container_id), 137)

    async def kill_container(self, container_id: str, signal: str) -> None: ...

    async def remove_container(self, container_id: str) -> None:
        self.container_list = [c for c in self.container_list if c.id != container_id]

    def containers(self, pod_uid: str | None = None) -> list[ContainerStatus]:
        return [c for c in self.container_list if pod_uid in (None, c.pod_uid)]

    def status(self, container_id: str) -> ContainerStatus:
        for status in self.container_list:
            if status.id == container_id:
                return status
        raise NotFound(container_id)

    def _set(self, status: ContainerStatus) -> None:
        self.container_list = [status if c.id == status.id else c for c in self.container_list]

    async def update_resources(self, container_id: str, resources: Resources) -> None:
        self.done.append(("resize", self.status(container_id).config.name))

    async def update_pod_resources(self, sandbox_id: str, resources: Resources) -> None: ...

    async def reopen_log(self, container_id: str) -> None: ...

    async def exec(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    async def attach(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    async def exec_sync(self, container_id: str, argv: Sequence[str], seconds: float | None) -> tuple[int, bytes]:
        self.done.append(("exec", " ".join(argv)))
        if tuple(argv) not in self.execs:
            raise ExecFailed(f"no {argv[0]}")
        if argv[0] == "sleep":
            await asyncio.sleep(float(argv[1]))
        return self.execs[tuple(argv)]

    def container_statistics(self, container_id: str) -> Statistics | None:
        return None

    def sandbox_statistics(self, sandbox_id: str) -> Statistics | None:
        return None

    async def writable_layer_usage(self, container_id: str) -> int:
        return 0

    def termination_message(self, container_id: str) -> str:
        return self.messages.get(container_id, "")


class FakeImages:
    """`present` are references that are here; a pull of others fails with `refusal`, or lasts `pull_seconds`."""

    def __init__(self, *present: str) -> None:
        self.present = set(present)
        self.refusal = "connection refused"
        self.pull_seconds: float | None = None

    def _image(self, reference: str) -> Image:
        return Image(f"sha256:{reference}", (reference,), (), ImageConfig(), (), 1)

    def get(self, reference: str) -> Image | None:
        return self._image(reference) if reference in self.present else None

    async def pull(self, reference: str, credentials: Sequence[Credentials] = (), on_progress: Any = None) -> Image:
        if self.pull_seconds is None:
            raise ImageError(reference, Reason.PULL, self.refusal)
        await asyncio.sleep(self.pull_seconds)
        self.present.add(reference)
        return self._image(reference)


class FakeVolumes:
    """Every volume is there at once; `broken` gives the message of one that is not."""

    def __init__(self) -> None:
        self.broken: dict[str, str] = {}
        self.refreshed = 0
        self.refresh_takes = 0.0

    async def prepare(self, pod: Pod, lookup: Any) -> Mapping[str, PreparedVolume]:
        for volume in pod.spec.volumes:
            if volume.name in self.broken:
                raise VolumeError(volume.name, self.broken[volume.name])
        return {v.name: PreparedVolume(v.name, Path("/nowhere")) for v in pod.spec.volumes}

    async def refresh(self, pod: Pod, lookup: Any) -> frozenset[str]:
        self.refreshed += 1
        await asyncio.sleep(self.refresh_takes)
        return frozenset()

    def next_refresh(self, pod_uid: str) -> float | None:
        return None

    def usage(self, pod: Pod) -> Sequence[Usage]:
        return ()

    async def teardown(self, pod_uid: str) -> None: ...

    def pods(self) -> list[str]:
        return []
