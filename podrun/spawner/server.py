"""The spawner: requests in, processes made, ends recorded and told.

    Spawn -> _start -> starts.py -> add_running, Spawned
    pidfd readable -> _reap -> exit record on disk -> log drained -> _tell -> Exited -> Acknowledge -> record gone

One thread; no method waits.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import socket
import struct
import termios
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from podrun.kernel import processes
from podrun.spawner import logs, program, protocol, wire
from podrun.spawner.launch import House, LaunchError
from podrun.spawner.log_link import Followed, LogLink
from podrun.spawner.loop import Loop
from podrun.spawner.peer import Peer
from podrun.spawner.protocol import Done, Exit, Exited, Failed, Failure, Living, Process
from podrun.spawner.records import Records, is_name
from podrun.spawner.running import Running, ended, lost
from podrun.spawner.starts import Starts
from podrun.spawner.supervise import Supervisor

_THE_CHILDS = ("plan", "seccomp")
"""Of a Spawn: only the child reads them, so only the child decodes them."""
_LOG_PATIENCE = 1.0
"""Seconds that an exit waits for the log process to have everything on file."""


class Spawner:
    """All that one spawner knows. `replace` re-executes it, and does not return when that succeeds."""

    def __init__(
        self,
        directory: Path,
        visible: Sequence[Path],
        listener: socket.socket,
        lock: int,
        host: int,
        house: House,
        replace: Callable[[Spawner, protocol.Replace, Peer, int], None],
    ) -> None:
        self.directory = directory
        self.visible = tuple(visible)
        self.lock = lock
        self.listener = listener
        self.host = host
        self.house = house
        self.loop = Loop()
        self.records = Records(directory)
        self.running: dict[str, Running] = {}
        self.exits: dict[str, Exit] = {exit.id: exit for exit in self.records.exits()}
        self.peers: list[Peer] = []
        self.kept: dict[str, tuple[str, tuple[int, ...]]] = {}
        self.supervisor = Supervisor(self.loop, host)
        self.log = LogLink(self.loop, host, self._followed, self._now_quiet)
        self.starts = Starts(self.loop, house, self.records, self._follow, self.add_running, self._now_quiet)
        self._replace = replace
        self._when_quiet: list[Callable[[], None]] = []
        self.loop.watch(listener.fileno(), self._accept)

    # Connections

    def _accept(self, events: int) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            sock, _ = self.listener.accept()
            if not _is_one_of_us(sock, self.host):
                sock.close()
                return
            peer = self.add_peer(sock)
            peer.send(0, self._welcome())

    def add_peer(self, sock: socket.socket) -> Peer:
        """Serve a connection."""
        peer = Peer(self.loop, sock, self._on_packet, self._on_gone, _THE_CHILDS)
        peer.pid = _peer_pid(sock)
        self.peers.append(peer)
        return peer

    def _welcome(self) -> protocol.Welcome:
        pid = os.getpid()
        start = processes.start_time(pid)
        return protocol.Welcome(
            protocol.VERSION, processes.boot_id(), pid, start, program.code(), log_process=self.log.pid
        )

    def _on_gone(self, peer: Peer) -> None:
        if peer in self.peers:
            self.peers.remove(peer)

    def _on_packet(self, peer: Peer, packet: wire.Packet) -> None:
        descriptors = list(packet.descriptors)
        try:
            self._serve(peer, packet.number, packet.message, descriptors, packet.text)
        except _Refused as refused:
            peer.send(packet.number, Failed(refused.failure))
        except Exception as error:
            number = getattr(error, "errno", None) or errno.EINVAL
            peer.send(packet.number, Failed(Failure("request", number, message=str(error))))
            if not isinstance(error, (OSError, IndexError)):
                raise  # the loop writes it down
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _serve(self, peer: Peer, number: int, request: Any, descriptors: list[int], text: bytes) -> None:
        """Carry out one request; descriptors that are taken over are removed from the list, the rest is closed."""
        done = partial(peer.send, number, Done())
        match request:
            case protocol.Spawn():
                self._start(peer, number, request, tuple(descriptors), text)
                return
            case protocol.Subscribe():
                self.quietly(partial(self._subscribe, peer, number))
                return
            case protocol.Signal(id=name, signal=value):
                processes.send_signal(self._living(name).pidfd, value)
            case protocol.Acknowledge(ids=names):
                for name in names:
                    if self.exits.pop(name, None) is not None:
                        self.records.acknowledge(name)
            case protocol.Descriptors(id=name):
                running = self._living(name)
                every = {"pidfd": running.pidfd, **running.held}
                peer.send(number, protocol.Held(tuple(every)), every.values())
                return
            case protocol.Attach(id=name):
                self._living(name)
                copy = logs.Copy(name, request.stdout, request.stderr)
                self.log.ask(copy, partial(peer.send, number), descriptors)
                return
            case protocol.CloseStdin(id=name):
                self._living(name).release("stdin")
            case protocol.Resize(id=name):
                size = struct.pack("=HHHH", request.rows, request.columns, 0, 0)
                terminal = self._living(name).held.get("terminal")
                if terminal is not None:
                    fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
            case protocol.ReopenLog(id=name, rotate=rotate):
                self._living(name)
                self.log.ask(logs.Reopen(name, rotate), partial(peer.send, number))
                return
            case protocol.DrainLog(id=name):
                self.log.ask(logs.Drain(name), partial(peer.send, number))
                return
            case protocol.Keep(name=name, about=about):
                self._drop(name)
                self.kept[name] = (about, tuple(descriptors))
                descriptors.clear()
            case protocol.Fetch(name=name):
                about, held = self.kept.get(name, ("", ()))
                peer.send(number, protocol.Kept(about, len(held)), held)
                return
            case protocol.Drop(name=name):
                self._drop(name)
            case protocol.Supervise():
                self.supervisor.watch(peer.pid, request)
            case protocol.Adopt():
                self._adopt(request, descriptors)
            case protocol.Rest():
                self.starts.spares.let_go()
            case protocol.Replace():
                self.quietly(partial(self._replace, self, request, peer, number), everything=True)
                return
            case protocol.Leave(force=force):
                self.quietly(partial(self._leave, peer, number, force))
                return
            case _:
                raise _Refused(Failure("request", errno.EINVAL, message=f"a {type(request).__name__} is no request"))
        done()

    def _living(self, name: str) -> Running:
        running = self.running.get(name)
        if running is None or running.exit is not None:
            raise _Refused(Failure("request", errno.ESRCH, message=f"no process {name} runs"))
        return running

    def _drop(self, name: str) -> None:
        for descriptor in self.kept.pop(name, ("", ()))[1]:
            os.close(descriptor)

    # Starts

    def _start(self, peer: Peer, number: int, spawn: protocol.Spawn, passed: tuple[int, ...], text: bytes) -> None:
        if not is_name(spawn.id) or not spawn.argv:
            raise _Refused(Failure("request", errno.EINVAL, message=f"an id and argv are needed: {spawn.id!r}"))
        if spawn.id in self.starts or spawn.id in self.running or spawn.id in self.exits:
            raise _Refused(Failure("request", errno.EEXIST, message=f"there is a process {spawn.id} already"))
        try:
            self.starts.begin(peer, number, spawn, passed, text)
        except LaunchError as error:
            raise _Refused(error.failure) from None

    def add_running(self, running: Running) -> None:
        """Watch a process's end."""
        self.running[running.process.id] = running
        self.loop.watch(running.pidfd, lambda events: self._reap(running))

    def _follow(self, running: Running) -> None:
        followed = running.followed()
        if followed is not None:
            self.log.follow(followed)

    def _followed(self) -> Iterable[Followed]:
        every = [*self.running.values(), *self.starts.as_running()]
        return [followed for running in every if (followed := running.followed()) is not None]

    # Ends

    def _reap(self, running: Running) -> None:
        process = running.process
        try:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        except ChildProcessError:
            exit = lost(process, time.time_ns())
        else:
            if pid == 0:
                return
            exit = ended(process, status, usage, time.time_ns())
        self.loop.forget(running.pidfd)
        running.exit = exit
        running.release("stdin")
        if process.kind != "exec":
            self.records.end(exit)
        if running.followed() is None:
            self._tell(running, complete=True)
        else:
            running.patience = self.loop.later(_LOG_PATIENCE, partial(self._tell, running, complete=False))
            self._drain(running)

    def _drain(self, running: Running) -> None:
        self.log.ask(logs.Drain(running.process.id, ended=True), partial(self._drained, running))

    def _drained(self, running: Running, answer: Done | Failed) -> None:
        if isinstance(answer, Failed):
            self.loop.later(0.1, partial(self._drain, running))
            return
        if running.patience is not None:
            running.patience.cancel()
        if running.process.id in self.running:
            self._tell(running, complete=True)
        running.close()

    def _tell(self, running: Running, *, complete: bool) -> None:
        assert running.exit is not None
        exit = running.exit
        del self.running[exit.id]
        if exit.kind != "exec":
            self.exits[exit.id] = exit
        for peer in list(self.peers):
            if peer.subscribed:
                peer.send(0, Exited(exit, complete))
        if running.followed() is None:
            running.close()
        self._now_quiet()

    def _subscribe(self, peer: Peer, number: int) -> None:
        """An exit that is not told yet counts as living: the subscriber hears of it in a moment."""
        peer.subscribed = True
        living = tuple(_with_held(running) for running in self.running.values())
        peer.send(number, Living(living, tuple(self.exits.values())))

    # After an earlier spawner's death

    def take_over(self) -> None:
        """Watch what an earlier spawner began and still runs; record what ended meanwhile."""
        for process, alive in self.records.left_behind():
            with contextlib.suppress(OSError):
                if alive:
                    pidfd = processes.pidfd_open(process.pid)
                    self.add_running(Running(_adopted(process), pidfd, {}))
                    continue
            exit = lost(process, time.time_ns())
            self.records.end(exit)
            self.exits[exit.id] = exit

    def _adopt(self, request: protocol.Adopt, descriptors: list[int]) -> None:
        running = self._living(request.id)
        held = {name: descriptors[index] for name, index in request.held if name not in running.held}
        for descriptor in held.values():
            descriptors.remove(descriptor)
        running.held.update(held)
        if request.log is not None:
            running.process = _adopted(running.process, request.log)
            self.records.begin(running.process)
        self._follow(running)

    # Leaving

    def quietly(self, action: Callable[[], None], *, everything: bool = False) -> None:
        """Do it once no start is under way (and, with `everything`, no exit waits to be told)."""

        def attempt() -> None:
            busy = bool(len(self.starts))
            if everything:
                busy = busy or any(running.exit for running in self.running.values()) or not self.log.quiet
            if busy:
                self._when_quiet.append(attempt)
            else:
                action()

        attempt()

    def _now_quiet(self) -> None:
        waiting, self._when_quiet = self._when_quiet, []
        for attempt in waiting:
            attempt()

    def _leave(self, peer: Peer, number: int, force: bool) -> None:
        living = [running for running in self.running.values() if running.exit is None]
        if living and not force:
            words = f"{len(living)} processes still run"
            peer.send(number, Failed(Failure("request", errno.EBUSY, message=words)))
            return
        if living:
            for running in living:
                with contextlib.suppress(OSError):
                    processes.send_signal(running.pidfd, signal.SIGKILL)
            self._when_quiet.append(partial(self._leave, peer, number, force))
            return
        self.supervisor.stop()
        self.starts.spares.let_go()
        peer.send(number, Done())
        self.log.leave()
        self.loop.stop()


class _Refused(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def _with_held(running: Running) -> Process:
    process = running.process
    held = ("pidfd", *running.held)
    return Process(
        process.id,
        process.kind,
        process.pid,
        process.start_time,
        process.started_at,
        held,
        process.log,
        process.adopted,
    )


def _adopted(process: Process, log: protocol.Log | None = None) -> Process:
    return Process(
        process.id,
        process.kind,
        process.pid,
        process.start_time,
        process.started_at,
        (),
        log or process.log,
        adopted=True,
    )


def _peer_pid(sock: socket.socket) -> int:
    pid, _, _ = struct.unpack("=iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(pid)


def _is_one_of_us(sock: socket.socket, host: int) -> bool:
    """Root, in this process's own user and pid namespace and in the mount namespace `host`: no container, not even a
    privileged one with the host's processes that was given the socket's directory.
    """
    pid, uid, _ = struct.unpack("=iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        ours = {"mnt": os.fstat(host), **{kind: os.stat(f"/proc/self/ns/{kind}") for kind in ("user", "pid")}}
        return uid == 0 and all(os.stat(f"/proc/{pid}/ns/{kind}").st_ino == our.st_ino for kind, our in ours.items())
    except OSError:
        return False
