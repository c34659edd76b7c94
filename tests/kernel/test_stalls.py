"""Being told that processes wait for memory: some that read a file again and again that they have no room for."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from podrun.cgroups import hierarchy
from podrun.kernel.stalls import MEMORY, Stalls

READS = """
import mmap, random, sys
with open(sys.argv[1], "rb") as file:
    held = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
while True:
    held[random.randrange(len(held))]
"""
ROOM, SIZE = 12 << 20, 120 << 20


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[None]:
    """Four processes that together have a tenth of the memory that they would like."""
    mount = hierarchy.detect().of("memory")
    assert mount is not None
    group = mount / f"podrun-test-{os.getpid()}"
    group.mkdir()
    limit = group / ("memory.max" if (group / "memory.max").exists() else "memory.limit_in_bytes")
    limit.write_text(str(ROOM))
    file = tmp_path / "file"
    with file.open("wb") as written:
        written.write(os.urandom(1 << 20) * (SIZE >> 20))
        os.fsync(written)
        # What is in memory already is not charged to whoever reads it next.
        os.posix_fadvise(written.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", READS, file],
            preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())),
        )
        for _ in range(4)
    ]
    yield
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.wait()
    group.rmdir()


@pytest.mark.slow
@pytest.mark.skipif(not Path(MEMORY).exists(), reason="the kernel keeps no pressure stall information")
def test_a_wait_for_memory_is_told_of(crowded: None) -> None:
    stalls = Stalls()
    try:
        assert select.select([stalls], [], [], 30)[0] == [stalls]
        stalls.drain()
    finally:
        stalls.close()


@pytest.mark.skipif(not Path(MEMORY).exists(), reason="the kernel keeps no pressure stall information")
def test_without_a_wait_nothing_is_told() -> None:
    stalls = Stalls()
    try:
        stalls.drain()
        assert stalls.fileno() >= 0
    finally:
        stalls.close()


def test_a_kernel_that_cannot_tell(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Stalls(str(tmp_path / "none"))
