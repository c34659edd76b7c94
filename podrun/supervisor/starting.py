"""Starting one container: its image, its configuration, create, start, postStart, and the Events of each step.

The kubelet's startContainer (kuberuntime_container.go).
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from podrun.api.pod import Container, FileKeyRef, Pod
from podrun.images.model import Image
from podrun.lifecycle import resize
from podrun.lifecycle.actions import KillReason, Sort
from podrun.lifecycle.downward import FieldUnknown, Surroundings
from podrun.lifecycle.environment import ConfigError, environment, service_links
from podrun.lifecycle.observed import ActualResources
from podrun.runtime.errors import CreateFailed, NotFound, RuntimeFailure, StartFailed
from podrun.runtime.model import ContainerConfig, State
from podrun.supervisor import configs
from podrun.supervisor.hooks import HookFailed, run_hook
from podrun.supervisor.killing import kill_container
from podrun.supervisor.needs import NotStarted
from podrun.supervisor.services import Services
from podrun.supervisor.waiting import unless_leaving
from podrun.volumes.model import PreparedVolume

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a container is started: the sandbox, its addresses, volumes, and images that volumes could not have."""

    sandbox_id: str
    addresses: tuple[str, ...]
    volumes: Mapping[str, PreparedVolume]
    missing_images: Mapping[str, NotStarted]
    """By volume name."""
    leaving: asyncio.Event
    """Set when the pod is to end: pulls and hooks are then not waited for."""


@dataclass(frozen=True, slots=True)
class Started:
    """The attempt that runs, and the resources it was created with."""

    container_id: str
    resources: ActualResources


async def create_ahead(services: Services, pod: Pod, container: Container, sort: Sort, place: Place) -> str | None:
    """Create a new attempt whose sandbox is still being made, where nothing is in the way; its id. Nothing is told:
    `start_container` does that, and finds out anew what is wrong where this gives None.
    """
    image = services.pulls.at_hand(pod, container.image, container.image_pull_policy)
    if image is None or any(mount.name in place.missing_images for mount in container.volume_mounts):
        return None
    try:
        config = _Starter(services, pod, container, place).config(image, sort)
        return await services.runtime.create_container(place.sandbox_id, config)
    except (ConfigError, FieldUnknown, CreateFailed, NotFound):
        return None


async def start_container(
    services: Services, pod: Pod, container: Container, sort: Sort, place: Place, *, created: str | None = None
) -> Started:
    """Begin a new attempt; `created` was made for it by `create_ahead`.

    Raises NotStarted (what was created and could not start is then EXITED in the runtime), or Left.
    """
    starter = _Starter(services, pod, container, place)
    for mount in container.volume_mounts:
        if (problem := place.missing_images.get(mount.name)) is not None:
            starter.warn(f"Error: {problem.reason}")
            raise problem
    image = await starter.image()
    container_id = await starter.create(image, sort, created)
    await starter.start(container_id)
    await starter.post_start(container_id)
    return Started(container_id, resize.wanted(container, pod))


class _Starter:
    def __init__(self, services: Services, pod: Pod, container: Container, place: Place) -> None:
        self._services, self._pod, self._container, self._place = services, pod, container, place

    def tell(self, kind: str, reason: str, message: str) -> None:
        self._services.recorder.pod(self._pod, kind, reason, message, container=self._container.name)

    def warn(self, message: str) -> None:
        self.tell("Warning", "Failed", message)

    @property
    def _address(self) -> str:
        return next(iter(self._place.addresses), "")

    async def image(self) -> Image:
        container = self._container
        try:
            return await unless_leaving(
                self._place.leaving,
                self._services.pulls.ensure(self._pod, container.image, container.image_pull_policy, container.name),
            )
        except NotStarted as error:
            self.warn(f"Error: {error.reason}")
            raise

    def config(self, image: Image, sort: Sort) -> ContainerConfig:
        """Of the next attempt. Raises ConfigError, FieldUnknown."""
        return configs.container_config(
            self._pod,
            self._container,
            attempt=self._attempt(),
            image=image,
            environment=self._environment(),
            volumes=self._place.volumes,
            target=self._target() if sort == "ephemeral container" else None,
            options=self._services.options,
        )

    async def create(self, image: Image, sort: Sort, created: str | None) -> str:
        container_id = created or await self._create(image, sort)
        self.tell("Normal", "Created", "Container created")
        return container_id

    async def _create(self, image: Image, sort: Sort) -> str:
        try:
            config = self.config(image, sort)
        except (ConfigError, FieldUnknown) as error:
            self.warn(f"Error: {error}")
            raise NotStarted("CreateContainerConfigError", str(error)) from error
        try:
            return await self._services.runtime.create_container(self._place.sandbox_id, config)
        except (CreateFailed, NotFound) as error:
            self.warn(f"Error: {error.message}")
            raise NotStarted(
                error.reason if isinstance(error, CreateFailed) else CreateFailed.reason, error.message
            ) from error

    async def start(self, container_id: str) -> None:
        try:
            await self._services.runtime.start_container(container_id)
        except (StartFailed, RuntimeFailure) as error:
            self.warn(f"Error: {error.message}")
            raise NotStarted("RunContainerError", error.message) from error
        self.tell("Normal", "Started", "Container started")

    async def post_start(self, container_id: str) -> None:
        """A postStart that fails ends its container; the Event does not say why, since the output may be secret."""
        container = self._container
        hook = container.lifecycle.post_start if container.lifecycle is not None else None
        if hook is None:
            return
        try:
            await unless_leaving(
                self._place.leaving,
                run_hook(self._services.runtime, hook, self._pod, container, container_id, self._address),
            )
        except HookFailed as error:
            self.tell("Warning", "FailedPostStartHook", "PostStartHook failed")
            await kill_container(
                self._services,
                self._pod,
                container,
                container_id,
                address=self._address,
                message="FailedPostStartHook",
                reason=KillReason.POST_START,
            )
            raise NotStarted("PostStartHookError", str(error)) from error

    def _attempt(self) -> int:
        """One more than the newest attempt's number; where the runtime has none, what the logs on disk tell."""
        name = self._container.name
        known = [s.config.attempt for s in self._services.runtime.containers(self._pod.uid) if s.config.name == name]
        if known:
            return max(known) + 1
        logs = configs.log_directory(self._pod, self._services.options) / name
        return max((int(p.stem) + 1 for p in logs.glob("*.log") if p.stem.isdecimal()), default=0)

    def _target(self) -> tuple[Container, str] | None:
        name = self._container.target_container_name
        if not name:
            return None
        target = self._pod.container(name)
        running = [
            s
            for s in self._services.runtime.containers(self._pod.uid)
            if s.config.name == name and s.state is State.RUNNING
        ]
        if target is None or not running:
            raise ConfigError(f'unable to find target container "{name}"')
        return target, running[-1].id

    def _environment(self) -> dict[str, str]:
        services, pod = self._services, self._pod
        around = Surroundings(self._place.addresses, services.options.node_addresses, services.options.allocatable)
        return environment(
            pod,
            self._container,
            services=service_links(pod, services.store.list("services")),
            lookup=self._look_up,
            read_file=self._read_file,
            around=around,
        )

    def _look_up(self, kind: Literal["configmap", "secret"], name: str) -> Mapping[str, Any] | None:
        return self._services.store.get(f"{kind}s", self._pod.metadata.namespace, name)

    def _read_file(self, ref: FileKeyRef) -> str:
        """An environment file, whose path may not lead out of its volume."""
        volume = self._place.volumes.get(ref.volume_name)
        if volume is None:
            raise ConfigError(f'cannot find the volume "{ref.volume_name}" referenced by FileKeyRef')
        path = (volume.path / ref.path).resolve()
        if not path.is_relative_to(volume.path.resolve()):
            raise ConfigError("couldn't parse env file")
        return path.read_text()


def remove_log(path: Path) -> None:
    """Delete the log of an attempt that is gone, with what was rotated away."""
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink(missing_ok=True)


def remove_logs(directory: Path) -> None:
    """Delete the logs of a pod that is gone."""
    shutil.rmtree(directory, ignore_errors=True)
