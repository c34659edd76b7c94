"""Mounts below a volume: how far read-only reaches, and who sees what is mounted later."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from podrun.kernel import mounts
from podrun.kernel.flags import MountFlags
from podrun.runtime.model import Mount, Security
from tests.network.namespaces import own_mounts
from tests.runtime.machine import Machine


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A shared mount with another one inside, in a mount table of our own. (Asked for before the machine.)"""
    if os.geteuid() != 0:
        pytest.skip("mounts are made by root")
    with own_mounts():
        at = tmp_path / "volume"
        at.mkdir()
        mounts.mount("volume", str(at), "tmpfs")
        mounts.set_propagation(str(at), MountFlags.SHARED)
        (at / "inner").mkdir()
        mounts.mount("inner", str(at / "inner"), "tmpfs")
        (at / "later").mkdir()
        yield at


@pytest.mark.parametrize(
    ("recursive", "expected"), [(False, "outer refused\ninner written\n"), (True, "outer refused\ninner refused\n")]
)
async def test_read_only_reaches_inner_mounts_only_when_asked(
    volume: Path, machine: Machine, recursive: bool, expected: str
) -> None:
    pod = await machine.sandbox()
    script = (
        "touch /v/x 2>/dev/null && echo outer written || echo outer refused;"
        "touch /v/inner/x 2>/dev/null && echo inner written || echo inner refused"
    )
    mount = Mount(volume, "/v", read_only=True, recursive_read_only=recursive)
    assert await machine.output(pod, script, mounts=(mount,)) == expected


@pytest.mark.parametrize(("propagation", "seen"), [("None", ""), ("HostToContainer", "x\n"), ("Bidirectional", "x\n")])
async def test_what_the_host_mounts_later_is_seen_where_it_is_wanted(
    volume: Path, machine: Machine, propagation: str, seen: str
) -> None:
    pod = await machine.sandbox()
    container = await machine.run(pod, "sleep", "1000", mounts=(Mount(volume, "/v", propagation=propagation),))  # type: ignore[arg-type]
    mounts.mount("later", str(volume / "later"), "tmpfs")
    (volume / "later/x").touch()
    assert (await machine.runtime.exec_sync(container, ["ls", "/v/later"], 10))[1].decode() == seen


async def test_what_a_privileged_container_mounts_reaches_the_host_only_when_bidirectional(
    volume: Path, machine: Machine
) -> None:
    pod = await machine.sandbox()
    for propagation, expected in (("HostToContainer", 0), ("Bidirectional", 1)):
        mount = Mount(volume, "/v", propagation=propagation)  # type: ignore[arg-type]
        container = await machine.run(
            pod, "sleep", "1000", name=propagation, mounts=(mount,), security=Security(privileged=True)
        )
        code, output = await machine.runtime.exec_sync(container, ["mount", "-t", "tmpfs", "t", "/v/later"], 10)
        assert (code, output) == (0, b"")
        assert Path("/proc/self/mountinfo").read_text().count(f" {volume}/later ") == expected
        await machine.runtime.remove_container(container)
