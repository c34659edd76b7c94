"""Replacing the spawner's code while pods run: its state as text and descriptors, across execve.

    old code                                   new code
      | -- fork, exec `NEW --check FD` -------->  reads the state, ends with 0 or says why not
      | == execve `NEW --resume FD` ===========>  same process, same children, same descriptors
                                                  | -- Done to whoever asked

The state is a memfd with one JSON object; numbers in it are descriptors that stay open across execve. Exit records are
on disk already, and no start or untold exit is under way at that moment.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podrun.spawner import codec, program
from podrun.spawner.launch import House
from podrun.spawner.peer import Peer
from podrun.spawner.protocol import Done, Failed, Failure, Replace
from podrun.spawner.running import Running
from podrun.spawner.server import Spawner

STATE_VERSION = 1
_CHECK_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class State:
    """What is handed over, as read."""

    data: dict[str, Any]

    @classmethod
    def read(cls, descriptor: int) -> State:
        """Raises ValueError when this code cannot take it over."""
        with open(descriptor, "rb", closefd=False) as file:
            file.seek(0)
            data = json.load(file)
        if data.get("version") != STATE_VERSION:
            raise ValueError(f"the state is of version {data.get('version')}, this code reads {STATE_VERSION}")
        for running in data["running"]:
            codec.decode(running["process"])
        codec.decode(data["supervise"])
        return cls(data)


def replace(spawner: Spawner, request: Replace, peer: Peer, number: int) -> None:
    """Check the new code, then become it. Answers Failed when it cannot; otherwise the new code answers."""
    argv = list(request.argv or program.own_command())
    descriptor = os.memfd_create("podrun-spawner-state", os.MFD_CLOEXEC)
    _write(descriptor, _state(spawner, peer, number))
    pid, pidfd = program.begin([*argv, "--check", str(descriptor)], spawner.host, keep=[descriptor])
    timer = spawner.loop.later(_CHECK_SECONDS, lambda: os.kill(pid, 9))

    def checked(events: int) -> None:
        timer.cancel()
        spawner.loop.forget(pidfd)
        os.close(pidfd)
        os.close(descriptor)
        _, status = os.waitpid(pid, 0)
        if status == 0:
            spawner.quietly(lambda: _become(spawner, argv, peer, number), everything=True)
        else:
            words = f"the new code cannot take over: its check ended with {os.waitstatus_to_exitcode(status)}"
            peer.send(number, Failed(Failure("request", message=words)))

    spawner.loop.watch(pidfd, checked)


def _become(spawner: Spawner, argv: list[str], peer: Peer, number: int) -> None:
    for other in list(spawner.peers):
        if not other.idle:
            other.close()
    spawner.starts.spares.let_go()
    descriptor = os.memfd_create("podrun-spawner-state", os.MFD_CLOEXEC)
    state = _state(spawner, peer, number)
    _write(descriptor, state)
    try:
        program.become([*argv, "--resume", str(descriptor)], spawner.host, [descriptor, *state["descriptors"]])
    except OSError as error:
        # This process is now in the host's mount namespace. Starts still work there: each makes a namespace of its own.
        peer.send(number, Failed(Failure("request", error.errno or 0, "execve", argv[0], message=str(error))))


def _state(spawner: Spawner, peer: Peer, number: int) -> dict[str, Any]:
    log_socket = spawner.log.socket
    state: dict[str, Any] = {
        "version": STATE_VERSION,
        "directory": str(spawner.directory),
        "visible": [str(path) for path in spawner.visible],
        "listener": spawner.listener.fileno(),
        "lock": spawner.lock,
        "pause": spawner.house.pause,
        "log": [spawner.log.pid, spawner.log.pidfd, log_socket.fileno()] if log_socket is not None else None,
        "peers": [[each.sock.fileno(), each.subscribed] for each in spawner.peers if each.idle],
        "answer": [peer.sock.fileno() if peer in spawner.peers else -1, number],
        "running": [
            {"process": codec.encode(running.process), "pidfd": running.pidfd, "held": running.held}
            for running in spawner.running.values()
        ],
        "kept": {name: [about, list(held)] for name, (about, held) in spawner.kept.items()},
        "supervise": codec.encode(spawner.supervisor.request),
        "supervised": spawner.supervisor.pid,
    }
    state["descriptors"] = [
        state["listener"],
        state["lock"],
        state["pause"],
        *(state["log"] or ())[1:],
        *(descriptor for descriptor, _ in state["peers"]),
        *(descriptor for running in state["running"] for descriptor in (running["pidfd"], *running["held"].values())),
        *(descriptor for _, held in state["kept"].values() for descriptor in held),
    ]
    return state


def _write(descriptor: int, state: dict[str, Any]) -> None:
    os.write(descriptor, json.dumps(state).encode())


def resume(state: State, make: Callable[..., Spawner], host: int, house: House) -> Spawner:
    """The spawner as it was. `make` is its constructor with what the caller knows."""
    data = state.data
    for descriptor in data["descriptors"]:
        os.set_inheritable(descriptor, False)
    spawner = make(
        directory=Path(data["directory"]),
        visible=[Path(path) for path in data["visible"]],
        listener=socket.socket(fileno=data["listener"]),
        lock=data["lock"],
        host=host,
        house=house,
    )
    for running in data["running"]:
        process = codec.decode(running["process"])
        spawner.add_running(Running(process, running["pidfd"], dict(running["held"])))
    asker, number = data["answer"]
    peers = {descriptor: spawner.add_peer(socket.socket(fileno=descriptor)) for descriptor, _ in data["peers"]}
    for descriptor, subscribed in data["peers"]:
        peers[descriptor].subscribed = subscribed

    def answer() -> None:
        if asker in peers:
            peers[asker].send(number, Done())

    if data["log"] is None:
        spawner.log.begin()
        answer()
    else:
        pid, pidfd, descriptor = data["log"]
        spawner.log.resume(pid, pidfd, socket.socket(fileno=descriptor))
        spawner.log.renew(answer)
    spawner.kept = {name: (about, tuple(held)) for name, (about, held) in data["kept"].items()}
    supervise = codec.decode(data["supervise"])
    if supervise.argv:
        spawner.supervisor.watch(data["supervised"], supervise)
    return spawner
