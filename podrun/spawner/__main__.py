"""The spawner's command lines.

python -m podrun.spawner DIRECTORY [VISIBLE...]   begin one; returns when its socket takes connections
python -m podrun.spawner --logs FD                its log process
python -m podrun.spawner --check FD               can this code take over that state?
python -m podrun.spawner --resume FD              take it over
"""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path

from podrun.kernel import capabilities, namespaces, processes
from podrun.kernel.processes import Prctl, prctl
from podrun.kernel.title import set_title
from podrun.spawner import codec, handover, logs, pause, program
from podrun.spawner.confine import confine
from podrun.spawner.launch import House
from podrun.spawner.server import Spawner
from podrun.spawner.start import SOCKET


def main(arguments: list[str]) -> int:
    """The exit status."""
    program.code()
    match arguments:
        case ["--logs", descriptor]:
            logs.main(int(descriptor))
            return 0
        case ["--check", descriptor]:
            return _check(int(descriptor))
        case ["--resume", descriptor]:
            return _resume(int(descriptor))
        case [directory, *visible] if not directory.startswith("-"):
            return _begin(Path(directory), [Path(path) for path in visible])
    print(__doc__, file=sys.stderr)
    return 2


def _begin(directory: Path, visible: list[Path]) -> int:
    """Fork the spawner and wait until it serves, or has said on stderr why it cannot."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    if os.fork():
        os.close(writer)
        return 0 if os.read(reader, 1) else 1
    os.close(reader)
    try:
        os.setsid()
        _close_all_but({writer})
        lock = _lock(directory)
        if lock is None:  # another one serves this directory
            os.write(writer, b"1")
            return 0
        listener = _listen(directory)
        _harden()
        house = _house(pause.open_program())
        host = confine(directory, visible)
        spawner = _make(directory=directory, visible=visible, listener=listener, lock=lock, host=host, house=house)
        spawner.log.begin()
        spawner.take_over()
    except (OSError, ValueError) as error:
        print(f"podrun spawner: {error}", file=sys.stderr)
        return 1
    os.write(writer, b"1")
    os.close(writer)
    return _run(spawner)


def _check(descriptor: int) -> int:
    try:
        handover.State.read(descriptor)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"podrun spawner: {error}", file=sys.stderr)
        return 1
    return 0


def _resume(descriptor: int) -> int:
    if not program.is_protected():  # a spawner that was begun by another interpreter knows only that one's mount
        interpreter = program.read_only_interpreter()
        os.execve(f"/proc/self/fd/{interpreter}", sys.orig_argv, dict(os.environ))
    state = handover.State.read(descriptor)
    os.close(descriptor)
    directory, visible = Path(state.data["directory"]), [Path(path) for path in state.data["visible"]]
    _close_all_but(set(state.data["descriptors"]))
    _harden()
    house = _house(state.data["pause"])
    host = confine(directory, visible)
    return _run(handover.resume(state, _make, host, house))


def _house(program: int) -> House:
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    return House(namespaces.open_namespace("pid"), null, program)


def _run(spawner: Spawner) -> int:
    """Serve until told to leave. From here on nothing is imported, and forks share what there is."""
    set_title(f"podrun spawner {spawner.directory}")
    codec.prepare()
    capabilities.last()
    processes.boot_id()
    gc.collect()
    gc.freeze()
    gc.disable()
    spawner.loop.run()
    return 0


_make = partial(Spawner, replace=handover.replace)


def _harden() -> None:
    """Nobody looks into this process or a fork of it, and no signal that is meant for podrund ends it.

    Signals are blocked rather than ignored, and those that Python ignores are not: a forked child then has one call to
    make. (Sockets are written to with MSG_NOSIGNAL.)
    """
    prctl(Prctl.SET_DUMPABLE, 0)
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP, signal.SIGINT, signal.SIGTERM))


def _lock(directory: Path) -> int | None:
    """The directory's lock, held for life; None when another spawner has it."""
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _listen(directory: Path) -> socket.socket:
    """Bound through a descriptor of the directory: its path may be longer than a socket's address can be."""
    (directory / SOCKET).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    where = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener.bind(f"/proc/self/fd/{where}/{SOCKET}")
    finally:
        os.close(where)
    listener.listen(64)
    return listener


def _close_all_but(keep: set[int]) -> None:
    following = 3
    for descriptor in sorted(keep):
        processes.close_descriptors(following, descriptor - 1)
        following = descriptor + 1
    processes.close_descriptors(following)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
