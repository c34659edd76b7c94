"""What runs between fork and execve.

    spawner                              child
      | -- fork ----------------------->   |   (inside the new or joined pid namespace)
      |                                    |   close everything that is not this request's
      | -- request + descriptors ------>   |   (only to a spare: it was forked before there was one)
      | <------- b"M" + pid ---------------|   the plan's rest is done by another process, a child of the spawner
      |                                    |   plan, stdio, limits, working directory, user, seccomp, capabilities
      | <------- b"T" + descriptor --------|   the terminal's master, if there is one
      | <------- {"ready": timings} -------|   last before execve
      | <------- {"failed": Failure} ------|   instead, or when execve itself fails; then exit 255
      | <------- end of stream ------------|   execve closed the socket: it runs

The child is Python with the spawner's memory. It imports nothing, starts no thread, and cannot be looked into: the
spawner is not dumpable, and forks inherit that until execve.
"""

from __future__ import annotations

import array
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import stat
import struct
import termios
import time
from collections.abc import Iterable
from typing import NoReturn

from podrun.kernel import capabilities, mounts, paths, processes, seccomp
from podrun.kernel.calls import KernelError
from podrun.kernel.processes import Prctl, prctl
from podrun.spawner import codec, steps, wire
from podrun.spawner.plan import Directory, Mask, ReadOnly, Root, describe
from podrun.spawner.protocol import Capabilities, Failure, Log, Seccomp, Spawn, Stdio

READY, FAILED, TERMINAL = b"R", b"F", b"T"
"""First byte of what the child says."""
_TIOCSPTLCK, _TIOCGPTN, _TIOCGPTPEER = 0x40045431, 0x80045430, 0x5441


class _Refused(Exception):
    """A failure that has its own sentence."""

    def __init__(self, stage: str, message: str, number: int = 0, path: str = "") -> None:
        super().__init__(message)
        self.failure = Failure(stage, number, stage, path, message=message)  # type: ignore[arg-type]


class _Story:
    """What has been done so far, and how long each part took."""

    __slots__ = ("index", "marks", "stage", "what")

    def __init__(self, began: int) -> None:
        self.stage = "request"
        self.index = -1
        self.what = ""
        self.marks = [("", began)]

    def mark(self, what: str) -> None:
        self.marks.append((what, time.monotonic_ns()))

    def timings(self) -> list[tuple[str, int]]:
        pairs = zip(self.marks, self.marks[1:], strict=False)
        return [(what, (end - start) // 1000) for (_, start), (what, end) in pairs]


def wait(report: socket.socket) -> NoReturn:
    """A spare: rehearse, wait for a request, become it; end when the socket closes."""
    try:
        _close_all_but({report.fileno()})
        os.setsid()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        processes.set_name("podrun spare")
        _rehearse()
        data, ancillary, _, _ = report.recvmsg(wire.INLINE + 64, socket.CMSG_SPACE(256 * 4), socket.MSG_CMSG_CLOEXEC)
        if not data:
            os._exit(0)
        received = array.array("i")
        for _, _, value in ancillary:
            received.frombytes(value)
        stdin, stdout, stderr, pause, *passed = received
        (began,) = struct.unpack_from("=q", data)
        become(data[8:], tuple(passed), (stdin, stdout, stderr), report, began, pause)
    finally:
        os._exit(255)


def hand_over(
    report: socket.socket, text: bytes, passed: tuple[int, ...], streams: tuple[int, int, int], began: int, pause: int
) -> None:
    """Give a spare its request (the packet's own text). Raises OSError when it has gone."""
    descriptors = array.array("i", [*streams, pause, *passed])
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
    report.sendmsg([struct.pack("=q", began) + text], rights, socket.MSG_NOSIGNAL)


def _rehearse() -> None:
    """Do what a start does, as far as it changes nothing: the pages that this writes to are then this process's own."""
    story = _Story(time.monotonic_ns())
    spawn: Spawn = codec.decode(json.loads(_REHEARSAL))
    context = steps.Context(())
    for step in spawn.plan:
        story.what = describe(step)
        steps.execute(step, context)
        story.mark(story.what)
    os.close(context.root)
    try:
        _look_up(spawn.argv[0], spawn.env)
    except _Refused as refused:
        json.dumps(codec.encode(refused.failure))
    capabilities.get()
    json.dumps(story.timings())


_REHEARSAL = json.dumps(
    codec.encode(
        Spawn(
            "rehearsal",
            "container",
            ("missing",),
            ("PATH=/bin",),
            new_pid=True,
            plan=(Root("/"), Directory("/proc"), Mask(("/missing",)), ReadOnly(("/missing",))),
            stdio=Stdio(log=Log("/missing")),
            capabilities=Capabilities(0, 0, 0),
            seccomp=Seccomp(b""),
        )
    )
)


def become(
    text: bytes, passed: tuple[int, ...], streams: tuple[int, int, int], report: socket.socket, began: int, pause: int
) -> NoReturn:
    """Turn this freshly forked process into what the request's text (a packet's) describes.

    `streams` are stdin, stdout and stderr, `began` is time.monotonic_ns() before the fork, `pause` the descriptor of
    the pause program.
    """
    story = _Story(began)
    try:
        spawn: Spawn = codec.decode(json.loads(text)["m"])
        _become(spawn, passed, streams, report, story, pause)
    except BaseException as error:
        _send(report, FAILED + json.dumps(codec.encode(_failure(error, story))).encode())
    finally:
        os._exit(255)


def _become(
    spawn: Spawn,
    passed: tuple[int, ...],
    streams: tuple[int, int, int],
    report: socket.socket,
    story: _Story,
    pause: int,
) -> None:
    story.stage = "fork"
    program = pause if spawn.builtin_pause else (passed[spawn.program] if spawn.program is not None else -1)
    _close_all_but({report.fileno(), program, *passed, *streams})
    if os.getsid(0) != os.getpid():  # a spare has done it
        os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if spawn.oom_score_adj is not None:
        _set_oom_score(spawn.oom_score_adj)
    story.mark("fork")

    # Of the spawner: in the container's own /proc another file may stand in the kernel's place.
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) if spawn.apparmor else -1

    story.stage = "plan"
    context = steps.Context(passed, streams, report)
    for index, step in enumerate(spawn.plan):
        story.index, story.what = index, describe(step)
        steps.execute(step, context)
        story.mark(story.what)
    story.index, story.what = -1, ""
    if spawn.apparmor:
        story.stage = "identity"
        _confine(spawn.apparmor, proc)

    story.stage = "stdio"
    _connect(spawn, streams, report)
    _close_all_but({0, 1, 2, report.fileno(), program})

    story.stage = "identity"
    _limit(spawn)
    story.stage = "cwd"
    entered = _enter(spawn.cwd, spawn.create_cwd)
    story.stage = "identity"
    _take_user(spawn)
    story.stage = "cwd"
    if not entered:
        _enter(spawn.cwd, False, final=True)
    story.stage = "exec"
    path = "" if program >= 0 else _look_up(spawn.argv[0], spawn.env)
    env = [os.fsencode(pair) for pair in spawn.env]
    argv = [os.fsencode(argument) for argument in spawn.argv]
    story.mark("become the user")
    _send(report, READY + json.dumps(story.timings()).encode())
    _restrict(spawn)
    if program >= 0:
        os.set_inheritable(program, False)
        processes.execute_descriptor(program, argv, env)
    try:
        os.execve(path, argv, dict(pair.split(b"=", 1) for pair in env if b"=" in pair))
    except OSError as error:
        words = _words(error)
        raise _Refused("exec", f"exec {path}: {words}", error.errno or 0, path) from None


def _failure(error: BaseException, story: _Story) -> Failure:
    if isinstance(error, _Refused):
        return error.failure
    number = error.errno or 0 if isinstance(error, OSError) else 0
    call = error.call if isinstance(error, KernelError) else type(error).__name__
    path = os.fsdecode(error.filename) if isinstance(error, OSError) and error.filename is not None else ""
    why = f"{path}: {_words(error)}" if path else _words(error)
    message = (
        f"{story.what or story.stage}: {call}: {why}"
        if isinstance(error, KernelError)
        else f"{story.what or story.stage}: {why}"
    )
    return Failure(story.stage, number, call, path, story.index, story.what, message)  # type: ignore[arg-type]


def _words(error: BaseException) -> str:
    """The reason in Go's and runc's words: lower case."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error)


def _send(report: socket.socket, data: bytes, descriptor: int = -1) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))] if descriptor >= 0 else []
    report.sendmsg([data], rights, socket.MSG_NOSIGNAL)


def _close_all_but(keep: Iterable[int]) -> None:
    """Nothing of the spawner, of other pods, or of the plan stays open in what comes next."""
    following = 3
    for descriptor in sorted({number for number in keep if number >= 3}):
        processes.close_descriptors(following, descriptor - 1)
        following = descriptor + 1
    processes.close_descriptors(following)


def _connect(spawn: Spawn, streams: tuple[int, int, int], report: socket.socket) -> None:
    stdio = spawn.stdio
    if stdio.terminal:
        slave = _terminal(stdio, spawn.kind, report)
        streams = (slave, slave, slave)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        _give(number, spawn.user.uid)


def _give(descriptor: int, uid: int) -> None:
    """A user other than root can open /dev/stdout again (as runc does it); /dev/null is nobody's."""
    status = os.fstat(descriptor)
    if not uid or status.st_uid == uid or (stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)):
        return
    try:
        os.fchown(descriptor, uid, -1)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EPERM, errno.EROFS):
            raise


def _terminal(stdio: Stdio, kind: str, report: socket.socket) -> int:
    """A pty of the container's own devpts: its master goes to the spawner, its slave is returned."""
    master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    if os.fstat(master).st_rdev != os.makedev(5, 2):
        raise KernelError(errno.ENODEV, "open", "/dev/pts/ptmx")
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("=i", 0))
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)
    if stdio.columns and stdio.rows:
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("=HHHH", stdio.rows, stdio.columns, 0, 0))
    if kind == "container":
        (number,) = struct.unpack("=I", fcntl.ioctl(master, _TIOCGPTN, bytes(4)))
        _cover_console(number)
    _send(report, TERMINAL, master)
    os.close(master)
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    return slave


def _cover_console(number: int) -> None:
    try:
        console = os.open("/dev/console", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    tree = mounts.open_tree(f"/dev/pts/{number}", recursive=False)
    mounts.attach(tree, console, "/dev/console")
    os.close(tree)
    os.close(console)


def _set_oom_score(score: int) -> None:
    """While the host's privileges are there. The kernel may not permit a value below the spawner's own."""
    descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(score).encode())
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM):
            raise
    finally:
        os.close(descriptor)


def _confine(profile: str, proc: int) -> None:
    """Enter an AppArmor profile at the next execve. `proc` is a directory of procfs that shows this process."""
    name = "self/attr/apparmor/exec"
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc)
    except FileNotFoundError:  # before Linux 5.1
        name = "self/attr/exec"
        descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc)
    try:
        os.write(descriptor, f"exec {profile}".encode())
    except OSError as error:
        raise KernelError(error.errno or 0, "write", f"/proc/{name} (apparmor profile {profile})") from None
    finally:
        os.close(descriptor)


def _limit(spawn: Spawn) -> None:
    os.umask(spawn.umask)
    for number, soft, hard in spawn.rlimits:
        try:
            resource.setrlimit(number, (soft, hard))
        except (OSError, ValueError) as error:
            raise KernelError(getattr(error, "errno", None) or errno.EPERM, "setrlimit", str(number)) from None


def _enter(cwd: str, create: bool, *, final: bool = False) -> bool:
    """chdir; False when only the user may be able to (a directory that root cannot search, on NFS)."""
    if create:
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.close(paths.make_directory(root, cwd))
        except KernelError as error:
            raise _Refused("cwd", f"mkdir {cwd}: {_words(error)}", error.errno or 0, cwd) from None
        finally:
            os.close(root)
    try:
        os.chdir(cwd)
        os.getcwd()
    except OSError as error:
        if error.errno == errno.EACCES and not final:
            return False
        words = f'chdir to cwd ("{cwd}") set in config.json failed: {_words(error)}'
        raise _Refused("cwd", words, error.errno or 0, cwd) from None
    return True


def _take_user(spawn: Spawn) -> None:
    """Groups and user; the capabilities survive the change of user until `_restrict`."""
    if spawn.capabilities is not None:
        capabilities.drop_bounding(spawn.capabilities.bounding)
    prctl(Prctl.SET_KEEPCAPS, 1)
    os.setgroups(spawn.user.groups)
    os.setresgid(spawn.user.gid, spawn.user.gid, spawn.user.gid)
    os.setresuid(spawn.user.uid, spawn.user.uid, spawn.user.uid)
    if spawn.no_new_privs:
        prctl(Prctl.SET_NO_NEW_PRIVS, 1)


def _restrict(spawn: Spawn) -> None:
    """Seccomp while CAP_SYS_ADMIN is still there, then the capabilities. Only execve follows."""
    effective, permitted, inheritable = capabilities.get()
    if spawn.seccomp is not None:
        if effective != permitted:
            capabilities.set_sets(permitted, permitted, inheritable)
        seccomp.load(spawn.seccomp.program, spawn.seccomp.flags)
    wanted = spawn.capabilities
    if wanted is None:
        return
    allowed = wanted.permitted & permitted
    capabilities.set_sets(wanted.effective & allowed, allowed, wanted.inheritable & permitted)
    if wanted.ambient:
        capabilities.set_ambient(wanted.ambient & allowed)


def _look_up(command: str, env: tuple[str, ...]) -> str:
    """The program's path as runc finds it, after the change of user. Raises _Refused in runc's words."""
    if "/" in command:
        return _check_program(command, command)
    search = next((pair[5:] for pair in env if pair.startswith("PATH=")), "")
    for directory in search.split(":"):
        path = f"{directory or '.'}/{command}"
        try:
            return _check_program(path, command)
        except _Refused:
            continue
    message = f'exec: "{command}": executable file not found in $PATH'
    raise _Refused("exec", message, errno.ENOENT, command)


def _check_program(path: str, command: str) -> str:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        message = f'exec: "{command}": stat {path}: {_words(error)}'
        raise _Refused("exec", message, error.errno or 0, path) from None
    if stat.S_ISDIR(mode):
        raise _Refused("exec", f'exec: "{command}": permission denied', errno.EACCES, path)
    if not os.access(path, os.X_OK, effective_ids=True):
        raise _Refused("exec", f'exec: "{command}": permission denied', errno.EACCES, path)
    return path
