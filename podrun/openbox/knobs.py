"""Knobs for experiments on pods that live: freeze, restart, end a wait, worsen the network, break a part on purpose.

Each does one thing and returns a sentence that says what was done; what it cannot do it refuses with the API's own
errors (409 Conflict where the pod is not in a state for it, 400 where the words are wrong).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from podrun.api.errors import ApiError, bad_request, conflict
from podrun.kernel.processes import pidfd_open, send_signal
from podrun.lifecycle.phase import TERMINAL
from podrun.openbox import breaking, netem
from podrun.runtime.model import ContainerStatus, SandboxStatus, State
from podrun.runtime.runtime import Runtime
from podrun.supervisor.worker import PodWorker, Stage

Words = Mapping[str, Any]


class Knobs:
    """The knobs of one pod."""

    def __init__(self, runtime: Runtime, worker: PodWorker) -> None:
        self._runtime, self._worker = runtime, worker

    # What runs

    def _refused(self, why: str) -> ApiError:
        return conflict("pods", self._worker.pod.metadata.name, why)

    def _running(self, name: str = "") -> list[ContainerStatus]:
        """The attempts that run: of one container, or of all. Raises BadRequest, Conflict."""
        pod = self._worker.pod
        if name and pod.container(name) is None:
            names = ", ".join(c.name for c in (*pod.spec.init_containers, *pod.spec.containers))
            raise bad_request(f"there is no container {name} in the pod; it has {names}")
        found = [
            status
            for status in self._runtime.containers(pod.uid)
            if status.state is State.RUNNING and name in ("", status.config.name)
        ]
        if not found:
            raise self._refused(f"container {name} does not run" if name else "none of its containers runs")
        return found

    def _sandbox(self) -> SandboxStatus:
        """The sandbox that is ready. Raises Conflict."""
        for sandbox in reversed(self._runtime.sandboxes(self._worker.pod.uid)):
            if sandbox.ready:
                return sandbox
        raise self._refused("it has no sandbox now")

    # The knobs

    async def freeze(self, words: Words, *, frozen: bool) -> str:
        """Stop every process of a container, or of all containers, or let them go on (the cgroup's freezer)."""
        names = []
        for status in self._running(_text(words, "container")):
            try:
                self._runtime.freeze_container(status.id, frozen=frozen)
            except OSError as error:
                raise self._refused(f"its cgroup refuses: {error.strerror}") from None
            names.append(status.config.name)
        many = len(names) > 1
        if frozen:
            return f"{_listed(names)} {'are' if many else 'is'} frozen: no process of it runs until `podrun thaw`"
        return f"{_listed(names)} {'go' if many else 'goes'} on"

    async def retry(self, words: Words) -> str:
        """End what is waited for: a crash loop's back-off, an image's, a failed mount's."""
        worker, name = self._worker, _text(words, "container")
        if worker.stage is not Stage.SYNCING or worker.phase in TERMINAL:
            raise self._refused(f"it is {worker.phase} and waits for nothing")
        held = [n for n, failure in worker.failures.items() if name in ("", n)]
        if not held and worker.phase != "Pending":
            raise self._refused(f"container {name} waits for nothing" if name else "nothing of it waits")
        worker.services.pulls.hurry(worker.pod)
        worker.again(held)
        return f"{_listed(held)}: tried again now" if held else "tried again now"

    async def restart(self, words: Words) -> str:
        """End a container as usual (preStop, its grace period) and start a new attempt, whatever its policy."""
        worker, name = self._worker, _text(words, "container")
        pod = worker.pod
        if not name:
            if len(pod.spec.containers) > 1 or pod.spec.init_containers:
                raise bad_request("say which container is to be restarted")
            name = pod.spec.containers[0].name
        if pod.container(name) is None:
            self._running(name)
        if worker.stage is not Stage.SYNCING or worker.phase in TERMINAL:
            raise self._refused(f"it is {worker.phase}: nothing of it runs again")
        if not any(s.config.name == name for s in self._runtime.containers(pod.uid)):
            raise self._refused(f"container {name} has not run yet")
        worker.again([name])
        return f"container {name} is restarted"

    async def netem(self, words: Words) -> str:
        """Worsen the network of what the pod sends, or, with `clear`, give it back."""
        sandbox = self._sandbox()
        if sandbox.config.host_network:
            raise self._refused("it is on the machine's own network, which is left alone")
        wanted: netem.Weather | None = None
        if not words.get("clear"):
            try:
                wanted = netem.weather(**{key: _text(words, key) for key in ("delay", "jitter", "loss", "rate")})
            except ValueError as error:
                raise bad_request(str(error)) from None
            if wanted == netem.Weather():
                raise bad_request("say what is to be done to the pod's network: delay, jitter, loss, rate, or clear")
        asked = json.dumps(asdict(wanted) if wanted is not None else None)
        argv = (sys.executable, "-m", "podrun.openbox.netem", str(sandbox.pid), asked)
        process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
        said, _ = await process.communicate()
        if process.returncode:
            raise self._refused(said.decode(errors="replace").strip() or "netem could not be set")
        return f"what the pod sends: {wanted.words() if wanted is not None else 'as it was'}"

    async def break_(self, words: Words) -> str:
        """Break a part, to see what follows (podrun.openbox.breaking says which)."""
        what, name = _text(words, "what"), _text(words, "name")
        match what:
            case "pause":
                sandbox = self._sandbox()
                _kill(sandbox.pid)
                return f"pause (process {sandbox.pid}) is killed: the sandbox has ended, and the address with it"
            case "container":
                found = self._running(name)
                for status in found:
                    _kill(status.pid)
                return f"{_listed([s.config.name for s in found])}: the first process is killed"
            case "address" | "link" | "dns":
                sandbox = self._sandbox()
                if sandbox.config.host_network:
                    raise self._refused("it is on the machine's own network, which is left alone")
                if what == "dns":
                    return breaking.empty_file(self._runtime.pod_files(sandbox.id) / "resolv.conf")
                return await asyncio.to_thread(breaking.change_link, sandbox.pid, what)
            case "volume":
                return await self._fill(name, words)
        raise bad_request(f"{what or 'nothing'} cannot be broken; there are {', '.join(breaking.PARTS)}")

    async def _fill(self, name: str, words: Words) -> str:
        pod = self._worker.pod
        volumes = {v.name: v for v in pod.spec.volumes if v.empty_dir is not None}
        if not name and len(volumes) == 1:
            name = next(iter(volumes))
        if name not in volumes:
            raise bad_request(f"say which emptyDir volume is to be filled: {', '.join(volumes) or 'the pod has none'}")
        mounts = [
            (status, mount)
            for status in self._runtime.containers(pod.uid)
            if status.state is State.RUNNING
            for mount in status.config.mounts
            if mount.volume == name
        ]
        if not mounts:
            raise self._refused(f"no container that runs has the volume {name}")
        wanted = words.get("bytes")
        if wanted is not None and (not isinstance(wanted, int) or wanted <= 0):
            raise bad_request("bytes is a positive number")
        try:
            return await asyncio.to_thread(breaking.fill, mounts[0][1].source, name, wanted)
        except breaking.TooLarge as error:
            raise bad_request(str(error)) from None


def _kill(pid: int) -> None:
    descriptor = pidfd_open(pid)
    try:
        send_signal(descriptor, 9)
    finally:
        os.close(descriptor)


def _text(words: Words, key: str) -> str:
    value = words.get(key, "")
    if not isinstance(value, str):
        raise bad_request(f"{key} is a text")
    return value


def _listed(names: Sequence[str]) -> str:
    return f"container {names[0]}" if len(names) == 1 else f"containers {', '.join(names)}"
