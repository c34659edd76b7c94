"""AppArmor: containers are confined where the kernel has it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from podrun.runtime import apparmor
from podrun.runtime.errors import CreateFailed
from podrun.runtime.model import Security
from tests.runtime.machine import Machine


@pytest.fixture
def profile() -> Iterator[str]:
    enabled = Path("/sys/module/apparmor/parameters/enabled")
    if not enabled.exists() or enabled.read_text() != "Y\n":
        pytest.skip("the kernel has no AppArmor")
    was_there = apparmor.is_loaded(apparmor.DEFAULT)
    name = apparmor.load_default()
    if not name:
        pytest.skip("apparmor_parser is not installed")
    yield name
    if not was_there:
        apparmor.unload_default()


async def test_a_container_and_what_is_executed_in_it_are_confined(machine: Machine, profile: str) -> None:
    pod = await machine.sandbox()
    security = Security(apparmor=profile, add_capabilities=("SYS_ADMIN",), unmasked_proc=True)
    script = "cat /proc/self/attr/current; mount -t tmpfs none /tmp 2>&1; (echo h > /proc/sysrq-trigger) 2>&1"
    said = await machine.output(pod, script, security=security)
    assert said.startswith(f"{profile} (enforce)\n")
    assert said.count("Permission denied") == 2
    container = await machine.run(pod, "sleep", "1000", name="b", security=security)
    executed = await machine.runtime.exec_sync(container, ["cat", "/proc/self/attr/current"], 10)
    assert executed == (0, f"{profile} (enforce)\n".encode())


async def test_a_profile_that_the_kernel_does_not_have_is_refused_at_create(machine: Machine) -> None:
    pod = await machine.sandbox()
    with pytest.raises(CreateFailed) as caught:
        await machine.create(pod, "true", security=Security(apparmor="missing"))
    words = (
        "failed to get container spec opts: failed to generate apparmor spec opts: apparmor profile not found missing"
    )
    assert caught.value.message == words
