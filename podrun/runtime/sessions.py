"""The streams of an exec'd process, or of a running container, in the caller's hands."""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios
from collections.abc import Awaitable, Callable

from podrun.runtime.container import Container
from podrun.runtime.host import Host
from podrun.runtime.model import State
from podrun.spawner.client import SpawnerError
from podrun.spawner.protocol import Exit
from podrun.spawner.start import SpawnerLost


class ExecSession:
    """A process begun by exec. See `service.Session`."""

    def __init__(
        self,
        host: Host,
        exec_id: str,
        stdin: int | None,
        stdout: int | None,
        stderr: int | None,
        *,
        terminal: bool,
    ) -> None:
        self._host = host
        self._id = exec_id
        self._terminal = terminal
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self._exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def on_exit(self, exited: Exit) -> None:
        """It has ended (told by the spawner)."""
        if not self._exit.done():
            self._exit.set_result(exited.code)

    @property
    def ended(self) -> bool:
        """Whether its exit code is known."""
        return self._exit.done()

    async def wait(self) -> int:
        """The exit code."""
        return await asyncio.shield(self._exit)

    async def resize(self, width: int, height: int) -> None:
        """The terminal's size: its master is ours alone, the spawner has none."""
        master = self.stdout if self.stdout is not None else self.stdin
        if self._terminal and master is not None:
            termios.tcsetwinsize(master, (height, width))

    async def close_stdin(self) -> None:
        """End of file for the process."""
        _close(self, "stdin")

    async def close(self) -> None:
        """Close what is open and end the process."""
        for name in ("stdin", "stdout", "stderr"):
            _close(self, name)
        if not self.ended:
            await self._host.kill(self._id)


class AttachSession:
    """The streams of a running container. See `service.Session`."""

    def __init__(
        self, host: Host, container: Container, stdin: int | None, stdout: int | None, stderr: int | None
    ) -> None:
        self._host = host
        self._container = container
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr

    async def wait(self) -> int:
        """The container's exit code, once it has ended."""
        await self._container.ended.wait()
        assert self._container.status.state is State.EXITED
        return self._container.status.exit_code or 0

    async def resize(self, width: int, height: int) -> None:
        """The terminal's size."""
        with contextlib.suppress(SpawnerError, SpawnerLost):
            await self._host.spawner.resize(self._container.status.id, width, height)

    async def close_stdin(self) -> None:
        """This caller writes no more; the container sees the end of its stdin only with stdinOnce."""
        had = self.stdin is not None
        _close(self, "stdin")
        if had and self._container.config.stdin_once and not self._container.config.tty:
            with contextlib.suppress(SpawnerError, SpawnerLost):
                await self._host.spawner.close_stdin(self._container.status.id)

    async def close(self) -> None:
        """Let go; the container goes on."""
        await self.close_stdin()
        _close(self, "stdout")
        _close(self, "stderr")


def _close(session: ExecSession | AttachSession, name: str) -> None:
    descriptor = getattr(session, name)
    if descriptor is not None:
        setattr(session, name, None)
        os.close(descriptor)


async def read_until(descriptor: int, ended: Callable[[], Awaitable[int]], output: bytearray, keep: int) -> int:
    """Read a non-blocking pipe into `output` while a process runs, and what is left in it when that has ended.

    Returns the process's exit code. A grandchild that keeps the pipe open does not delay the answer. At most `keep`
    bytes are kept; the rest is read and dropped, so that the process never waits for a reader.
    """
    loop = asyncio.get_running_loop()

    def take() -> None:
        while True:
            try:
                data = os.read(descriptor, 65536)
            except BlockingIOError:
                return
            if not data:
                loop.remove_reader(descriptor)
                return
            output.extend(data[: keep - len(output)])

    loop.add_reader(descriptor, take)
    try:
        code = await ended()
        take()
        return code
    finally:
        loop.remove_reader(descriptor)
