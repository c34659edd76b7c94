"""Executing other programs from the spawner: its own code anew, its log process, podrund."""

from __future__ import annotations

import functools
import os
import signal
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import podrun
from podrun.kernel import mounts, namespaces, processes
from podrun.kernel.flags import Clone, MountAttr

_ELSEWHERE = """
import os, sys
place = sys.argv.pop(1)
sys.path.insert(0, place)
os.environ["PYTHONPATH"] = place  # for the processes that it begins
from podrun.spawner.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def read_only_interpreter() -> int:
    """The Python that runs this, as a descriptor on a detached read-only mount of it.

    Executed from there (`/proc/self/fd/N`), the process's /proc/PID/exe leads to a file that cannot be opened for
    writing, not even by a container's root that got hold of it before its own execve (CVE-2019-5736).
    """
    path = os.path.realpath(sys.executable)
    tree = mounts.open_tree(path, recursive=False)
    mounts.set_attributes(tree, set=MountAttr.RDONLY)
    return tree


@functools.cache
def code() -> str:
    """Which code this is: podrun's version and a sum of the files that a spawner runs.

    To be asked for first where those files can be read: a confined spawner has them no longer.
    """
    package = Path(podrun.__file__).parent
    total = 0
    for room in ("kernel", "spawner"):
        for file in sorted((package / room).glob("*.py")):
            total = zlib.crc32(file.read_bytes(), total)
    return f"{podrun.__version__}+{total:08x}"


def taking_over() -> list[str]:
    """The command line by which this code takes the place of a spawner that other code began: it says where it is."""
    place = str(Path(podrun.__file__).parents[1])
    return [sys.executable, "-c", _ELSEWHERE, place]


def is_protected() -> bool:
    """Whether this process's interpreter is on a read-only mount (`read_only_interpreter`)."""
    return bool(os.statvfs("/proc/self/exe").f_flag & os.ST_RDONLY)


def own_command(*arguments: str) -> list[str]:
    """The command line of another process of this package."""
    return [sys.executable, "-m", "podrun.spawner", *arguments]


def begin(
    argv: Sequence[str],
    host: int,
    *,
    keep: Iterable[int] = (),
    env: Mapping[str, str] | None = None,
    cwd: str = "/",
    output: str = "",
) -> tuple[int, int]:
    """Fork and execute in the host's mount namespace; (pid, pidfd). Only `keep` stays open beside 0, 1 and 2.

    `output` is a file that 1 and 2 are appended to; else they stay the spawner's. A program that cannot be executed
    ends with 127, as in a shell. Raises OSError when there can be no fork.
    """
    pid = os.fork()
    if pid:
        return pid, processes.pidfd_open(pid)
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        namespaces.setns(host, Clone.MNT)
        os.chdir(cwd)
        if output:
            file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            os.dup2(file, 1)
            os.dup2(file, 2)
        for descriptor in keep:
            os.set_inheritable(descriptor, True)
        os.execve(argv[0], list(argv), dict(os.environ if env is None else env))
    except OSError as error:
        os.write(2, f"podrun spawner: {argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def become(argv: Sequence[str], host: int, keep: Iterable[int]) -> None:
    """Execute in this process's place, in the host's mount namespace; only returns (by OSError) when that fails."""
    namespaces.setns(host, Clone.MNT)
    interpreter = read_only_interpreter()
    for descriptor in keep:
        os.set_inheritable(descriptor, True)
    program = f"/proc/self/fd/{interpreter}" if argv[0] == sys.executable else argv[0]
    os.execve(program, list(argv), dict(os.environ))
