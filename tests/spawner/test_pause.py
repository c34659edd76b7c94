"""The hand-made pause program, as process 1 and not."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from podrun.kernel.numbers import UnsupportedMachine
from podrun.spawner import pause


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "pause"
    path.write_bytes(pause.program())
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_it_is_tiny(machine: str) -> None:
    assert len(pause.program(machine)) < 400


def test_arm64_code_is_the_one_checked_by_hand() -> None:
    words = pause.program("aarch64")[64 + 2 * 56 :]
    assert words[:16].hex() == "092e8cd2" + "a96eaef2" + "a90cc0f2" + "e90f1ff8"
    assert words[-4:].hex() == "e9ffff17", "the last line goes back to `again`"


def test_other_machines_are_refused() -> None:
    with pytest.raises(UnsupportedMachine, match="riscv64"):
        pause.program("riscv64")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_leaves_with_0_when_asked(program: Path, number: int) -> None:
    process = subprocess.Popen([program])
    while Path(f"/proc/{process.pid}/comm").read_text() != "pause\n" or "S" not in state(process.pid):
        os.sched_yield()
    process.send_signal(number)
    assert process.wait(5) == 0


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_as_process_1_it_reaps_orphans_and_still_leaves_on_sigterm(program: Path) -> None:
    """A shell forks grandchildren that outlive it; a pid namespace's first process must reap them."""
    script = """
import os, signal, subprocess, sys
from podrun.kernel import namespaces
from podrun.kernel.flags import Clone
namespaces.unshare(Clone.PID)
pause = os.posix_spawn(sys.argv[1], ["pause"], {})
subprocess.run(["sh", "-c", "for i in 1 2 3 4 5; do sh -c 'sleep 0.05 & :' ; done"])
children = f"/proc/{pause}/task/{pause}/children"
while open(children).read().strip(): os.sched_yield()
print("reaped")
os.kill(pause, signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(pause, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", script, program], capture_output=True, text=True, timeout=20)
    assert done.stdout.split() == ["reaped", "0"], done.stderr


def test_it_needs_next_to_no_memory(program: Path) -> None:
    process = subprocess.Popen([program])
    while Path(f"/proc/{process.pid}/comm").read_text() != "pause\n":
        os.sched_yield()
    status = Path(f"/proc/{process.pid}/status").read_text()
    process.terminate()
    process.wait(5)
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    assert resident <= 200


def test_nobody_can_change_the_program_that_runs() -> None:
    descriptor = pause.open_program()
    with pytest.raises(OSError, match="not permitted"):
        os.write(os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR), b"x")
    os.close(descriptor)


def test_this_machine_is_known() -> None:
    assert platform.machine() in ("x86_64", "aarch64")
