"""podrund's side of the spawner: an asyncio client, and how a spawner is begun.

    spawner = await SpawnerClient.start(run / "spawner", visible=[state])   # connects, or begins one
    living = await spawner.subscribe(on_exit)                               # what runs, what ended meanwhile
    started = await spawner.spawn(Spawn(...), descriptors)
    ...
    await spawner.acknowledge(exit.id)

The client keeps duplicates of every living process's pipes and terminals, so that no writer meets a broken pipe when a
spawner is killed; `start` gives them to the next one by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from podrun.spawner import program
from podrun.spawner.connection import Connection, SpawnerError
from podrun.spawner.protocol import (
    Acknowledge,
    Adopt,
    Attach,
    CloseStdin,
    Descriptors,
    DrainLog,
    Drop,
    Exited,
    Fetch,
    Held,
    Keep,
    Kept,
    Leave,
    Living,
    Log,
    Passed,
    ReopenLog,
    Replace,
    Resize,
    Rest,
    Signal,
    Spawn,
    Spawned,
    Subscribe,
    Supervise,
)
from podrun.spawner.start import SpawnerLost, begin

__all__ = ["ExitHandler", "SpawnerClient", "SpawnerError", "SpawnerLost", "Started"]

ExitHandler = Callable[[Exited], None]
"""Called on the loop, in the order of the ends."""


@dataclass(frozen=True, slots=True)
class Started:
    """A process that runs."""

    id: str
    pid: int
    start_time: int
    """Clock ticks since boot."""
    started_at: float
    """Seconds since the epoch."""
    descriptors: Mapping[str, int]
    """`pidfd`, and what an exec's Stdio made: the caller's to close. A container's others: `descriptors(id)`."""
    timings: tuple[tuple[str, int], ...]
    """(what, microseconds), in order."""


class SpawnerClient:
    """One connection; all methods belong to the loop that made it. After SpawnerLost it is of no more use."""

    def __init__(self, connection: Connection, reserve: dict[str, _Reserve]) -> None:
        self.welcome = connection.welcome
        self.lost = connection.lost
        """Done when the spawner has gone: await it to begin another."""
        self._connection = connection
        self._ask = connection.ask
        self._reserve = reserve

    @classmethod
    async def connect(cls, directory: Path) -> SpawnerClient:
        """The spawner that runs with this directory. Raises SpawnerLost when there is none (or it does not answer)."""
        return cls(await Connection.open(directory), {})

    @classmethod
    async def start(
        cls,
        directory: Path,
        *,
        visible: Sequence[Path] = (),
        former: SpawnerClient | None = None,
    ) -> SpawnerClient:
        """The spawner of this directory (made 0700), begun if none runs.

        `visible` are directories that plans name by path (the state directory); the spawner sees these, `directory`,
        and nothing else of the host's files. `former` is the client whose spawner was lost: what it kept of the living
        processes is handed to the new spawner. Raises SpawnerLost with the spawner's own words when it cannot begin.
        """
        try:
            connection = await Connection.open(directory)
        except SpawnerLost:
            await begin(directory, visible)
            connection = await Connection.open(directory)
        client = cls(connection, _taken_from(former))
        try:
            await client._give_back()
        except SpawnerLost:  # this one too: whoever tries again has the reserve
            if former is not None:
                former._reserve = client._reserve
            raise
        return client

    async def spawn(self, request: Spawn, descriptors: Sequence[int] = ()) -> Started:
        """Begin a process; returns when its execve has succeeded. Raises SpawnerError.

        `descriptors` are what `Passed` numbers of the request mean; they stay the caller's.
        """
        packet = await self._ask(request, descriptors)
        answer: Spawned = packet.message
        held = dict(zip(answer.held, packet.descriptors, strict=True))
        if request.kind != "exec":
            kept = {name: held.pop(name) for name in list(held) if name != "pidfd"}
            self._reserve[answer.id] = _Reserve(request.stdio.log, kept)
        return Started(answer.id, answer.pid, answer.start_time, answer.started_at / 1e9, held, answer.timings)

    async def signal(self, process_id: str, number: int) -> bool:
        """Send a signal to one process; False when it has already ended."""
        try:
            await self._ask(Signal(process_id, number))
        except SpawnerError:
            return False
        return True

    async def subscribe(self, on_exit: ExitHandler) -> Living:
        """From now on `on_exit` hears each end; the answer holds what runs and the exits not acknowledged so far."""
        self._connection.on_exit = on_exit
        living: Living = (await self._ask(Subscribe())).message
        for process in living.processes:
            if process.kind != "exec" and process.id not in self._reserve:
                try:
                    held = await self.descriptors(process.id)
                except SpawnerError:
                    continue  # it has ended meanwhile: its exit is on the way
                os.close(held.pop("pidfd"))
                self._reserve[process.id] = _Reserve(process.log, held)
        return living

    async def acknowledge(self, *process_ids: str) -> None:
        """These exits are noted durably: the spawner may forget their records."""
        for process_id in process_ids:
            self._forget(process_id)
        await self._ask(Acknowledge(process_ids))

    async def descriptors(self, process_id: str) -> dict[str, int]:
        """Fresh duplicates (the caller's to close) of pidfd, stdin, stdout, stderr, terminal: those that there are."""
        packet = await self._ask(Descriptors(process_id))
        answer: Held = packet.message
        return dict(zip(answer.held, packet.descriptors, strict=True))

    async def attach(self, process_id: str, stdout: int | None, stderr: int | None = None) -> None:
        """Copy the process's output to these write ends (the caller closes its own copies after this returns)."""
        passed = [descriptor for descriptor in (stdout, stderr) if descriptor is not None]
        out = Passed(0) if stdout is not None else None
        err = Passed(len(passed) - 1) if stderr is not None else None
        await self._ask(Attach(process_id, out, err), passed)

    async def close_stdin(self, process_id: str) -> None:
        """The spawner lets go of stdin's write end, and so does this client; the caller closes what it has itself."""
        reserve = self._reserve.get(process_id)
        if reserve is not None and "stdin" in reserve.descriptors:
            os.close(reserve.descriptors.pop("stdin"))
        await self._ask(CloseStdin(process_id))

    async def resize(self, process_id: str, columns: int, rows: int) -> None:
        """The size of the process's terminal."""
        await self._ask(Resize(process_id, columns, rows))

    async def reopen_log(self, process_id: str, *, rotate: bool = False) -> None:
        """Begin a new file at the log's path, moving the old one aside first with `rotate`."""
        await self._ask(ReopenLog(process_id, rotate))

    async def drain_log(self, process_id: str) -> None:
        """Returns when everything that the process has written so far is in its log file."""
        await self._ask(DrainLog(process_id))

    async def keep(self, name: str, sockets: Sequence[socket.socket], about: str = "") -> None:
        """Deposit listening sockets for the next podrund."""
        await self._ask(Keep(name, about), [sock.fileno() for sock in sockets])

    async def fetch(self, name: str) -> tuple[str, list[socket.socket]]:
        """What was deposited: (about, sockets); no sockets when nothing was."""
        packet = await self._ask(Fetch(name))
        answer: Kept = packet.message
        return answer.about, [socket.socket(fileno=descriptor) for descriptor in packet.descriptors]

    async def drop(self, name: str) -> None:
        """The spawner closes what it holds under this name."""
        await self._ask(Drop(name))

    async def listener(self, name: str, address: tuple[str, int] | Path, *, mode: int = 0o600) -> socket.socket:
        """A listening socket that outlives podrund: the one held if it has this address, else bound and deposited now.

        Raises OSError when the address cannot be had.
        """
        about = _about(address)
        held_about, sockets = await self.fetch(name)
        if sockets and held_about == about and (not isinstance(address, Path) or address.exists()):
            sockets[0].setblocking(False)
            return sockets[0]
        for sock in sockets:
            sock.close()
        if sockets:
            await self.drop(name)
        sock = _listen(address, mode)
        await self.deposit(name, sock, address)
        return sock

    async def deposit(self, name: str, sock: socket.socket, address: tuple[str, int] | Path) -> None:
        """Have this listening socket held as `listener` holds its own (for the next spawner, when one was lost)."""
        await self.keep(name, [sock], _about(address))

    async def supervise(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, output: Path | None) -> None:
        """When this process dies the spawner starts `argv` in its place; an empty argv ends that."""
        pairs = tuple(f"{name}={value}" for name, value in env.items())
        await self._ask(Supervise(tuple(argv), pairs, str(cwd), str(output or "")))

    async def replace(self, argv: Sequence[str] = ()) -> None:
        """Put new code in the spawner's place while pods run. Raises SpawnerError when it cannot read the old state."""
        await self._ask(Replace(tuple(argv)))

    async def update(self) -> None:
        """Have this code in the spawner's place where it runs other code. Raises SpawnerError when that cannot be."""
        if self.welcome.code != program.code():
            await self.replace(program.taking_over())

    async def rest(self) -> None:
        """Let the spawner drop what it keeps ready for more starts (it does by itself after some seconds)."""
        await self._ask(Rest())

    async def leave(self, *, force: bool = False) -> None:
        """End the spawner (and, with `force`, everything that it runs). Raises SpawnerError while processes live."""
        await self._ask(Leave(force))
        with contextlib.suppress(SpawnerLost):
            await asyncio.shield(self.lost)
        await self.close()

    async def close(self) -> None:
        """Leave the spawner alone; everything goes on."""
        self._connection.close()
        for reserve in list(self._reserve.values()):
            _close(reserve.descriptors.values())
        self._reserve.clear()

    def _forget(self, process_id: str) -> None:
        reserve = self._reserve.pop(process_id, None)
        if reserve is not None:
            _close(reserve.descriptors.values())

    async def _give_back(self) -> None:
        """Hand the reserve of a killed spawner's processes to the new one."""
        for process_id, reserve in list(self._reserve.items()):
            names = tuple((name, Passed(index)) for index, name in enumerate(reserve.descriptors))
            with contextlib.suppress(SpawnerError):  # it has ended: the exit is told as lost
                await self._ask(Adopt(process_id, names, reserve.log), tuple(reserve.descriptors.values()))


@dataclass(frozen=True, slots=True)
class _Reserve:
    """What is kept of a living process so that its pipes survive the spawner."""

    log: Log | None
    descriptors: dict[str, int]


def _taken_from(former: SpawnerClient | None) -> dict[str, _Reserve]:
    """The former client's reserve, which it then no longer has."""
    if former is None:
        return {}
    reserve, former._reserve = former._reserve, {}
    return reserve


def _about(address: tuple[str, int] | Path) -> str:
    return f"unix:{address}" if isinstance(address, Path) else f"tcp:{address[0]}:{address[1]}"


def _listen(address: tuple[str, int] | Path, mode: int) -> socket.socket:
    if isinstance(address, Path):
        sock = socket.socket(socket.AF_UNIX)
        address.unlink(missing_ok=True)
        previous = os.umask(0o777 & ~mode)
        try:
            sock.bind(str(address))
        finally:
            os.umask(previous)
    else:
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    sock.listen(1024)
    sock.setblocking(False)
    return sock


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
