"""How a process ended, told by its pidfd after somebody else has waited for it."""

from __future__ import annotations

import os
import signal

import pytest

from podrun.kernel import processes


def ended(how: str) -> int:
    """A pidfd of a process that has ended and been waited for."""
    pid = os.fork()
    if pid == 0:
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(7)
    descriptor = processes.pidfd_open(pid)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    try:
        assert processes.wait_status(descriptor) is None, "nobody has waited for it yet"
    except OSError:
        pytest.skip("this kernel does not keep it (Linux 6.15 does)")
    finally:
        os.waitpid(pid, 0)
    return descriptor


@pytest.mark.parametrize(("how", "status"), [("by itself", 7 << 8), ("killed", int(signal.SIGKILL))])
def test_is_told(how: str, status: int) -> None:
    descriptor = ended(how)
    try:
        assert processes.wait_status(descriptor) == status
    finally:
        os.close(descriptor)
