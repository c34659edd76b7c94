"""A start that fails is an answer in the words of runc, and leaves nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from podrun.kernel.flags import Clone
from podrun.spawner import plan
from podrun.spawner.client import SpawnerError
from podrun.spawner.plan import Passed
from podrun.spawner.protocol import Seccomp, Spawn, User
from tests.spawner.conftest import Box


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["/no/such/binary"], 'exec: "/no/such/binary": stat /no/such/binary: no such file or directory'),
        (["missing"], 'exec: "missing": executable file not found in $PATH'),
        (["/etc/plain"], 'exec: "/etc/plain": permission denied'),
        (["/etc"], 'exec: "/etc": permission denied'),
        (["/etc/garbage"], "exec /etc/garbage: exec format error"),
        (["/etc/plain/x"], 'exec: "/etc/plain/x": stat /etc/plain/x: not a directory'),
        (["/etc/script"], "exec /etc/script: no such file or directory"),
    ],
)
async def test_a_command_that_cannot_be_executed(box: Box, argv: list[str], message: str) -> None:
    etc = box.state / "image/etc"
    (etc / "plain").write_text("text")
    (etc / "garbage").write_bytes(b"\0garbage")
    (etc / "garbage").chmod(0o755)
    (etc / "script").write_text("#!/no/interpreter\n")
    (etc / "script").chmod(0o755)
    with pytest.raises(SpawnerError) as caught:
        await box.client.spawn(box.container(*argv))
    assert caught.value.failure.stage == "exec"
    assert str(caught.value) == message


async def test_a_working_directory_is_made_for_a_container_and_missed_by_an_exec(box: Box) -> None:
    spawn = replace(box.container("busybox", "pwd"), cwd="/made/for/it")
    with pytest.raises(SpawnerError) as caught:
        await box.client.spawn(spawn)
    assert str(caught.value) == 'chdir to cwd ("/made/for/it") set in config.json failed: no such file or directory'
    _, lines = await box.run_to_end(replace(box.container("busybox", "pwd"), cwd="/made/for/it", create_cwd=True))
    assert lines == ["/made/for/it"]


async def test_a_working_directory_cannot_be_one_of_the_hosts_by_descriptor(box: Box) -> None:
    """CVE-2024-21626: no directory of the host may still be open when the working directory is entered."""
    host = os.open("/", os.O_PATH)
    for number in range(3, 20):
        spawn = replace(box.container("ls"), cwd=f"/proc/self/fd/{number}")
        with pytest.raises(SpawnerError) as caught:
            await box.client.spawn(spawn, [host])
        assert caught.value.failure.stage == "cwd"
    os.close(host)


async def test_a_working_directory_is_entered_before_the_user_changes(box: Box) -> None:
    """As runc does it: an image's WORKDIR that only root can search is no reason to fail."""
    (box.state / "image/private").mkdir(mode=0o700)
    _, lines = await box.run_to_end(
        replace(box.container("readlink", "/proc/self/cwd"), cwd="/private", user=User(1000))
    )
    assert lines == ["/private"]


async def test_a_step_says_what_it_was_about(box: Box) -> None:
    spawn = box.container("true")
    steps = (*spawn.plan[:3], plan.Mount("nosuchfs", "/data"), *spawn.plan[3:])
    with pytest.raises(SpawnerError) as caught:
        await box.client.spawn(replace(spawn, plan=steps))
    failure = caught.value.failure
    assert (failure.stage, failure.step, failure.call, failure.errno, failure.path) == ("plan", 3, "mount", 19, "/data")
    assert failure.message == "mount nosuchfs on /data: mount: /data: no such device"


async def test_a_filter_that_kills_the_start_is_told(box: Box) -> None:
    """`ret KILL_PROCESS` for everything: the child cannot even execute."""
    kill = Seccomp(bytes([6, 0, 0, 0, 0, 0, 0, 0x80]))
    started = await box.client.spawn(replace(box.container("true"), seccomp=kill))
    box.close(started)
    assert (await box.exit_of(started.id)).exit.signal == 31


async def test_a_start_that_hangs_is_given_up(box: Box, tmp_path: Path) -> None:
    """A fifo as the file to write: opening it waits for a reader that never comes."""
    os.mkfifo(box.state / "image/etc/fifo")
    spawn = box.container("true", extra=[plan.File("/etc/fifo", b"data")])
    with pytest.raises(SpawnerError, match=r"the start took longer than 0\.2 s"):
        await box.client.spawn(replace(spawn, seconds=0.2))


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden"])
async def test_an_id_must_be_a_name(box: Box, name: str) -> None:
    with pytest.raises(SpawnerError, match="an id and argv are needed"):
        await box.client.spawn(Spawn(name, "container", ("true",)))


async def test_an_id_is_used_once(box: Box) -> None:
    spawn = box.container("sleep", "100")
    box.close(await box.client.spawn(spawn))
    with pytest.raises(SpawnerError, match="already"):
        await box.client.spawn(spawn)


async def test_a_descriptor_that_was_not_passed_is_refused(box: Box) -> None:
    spawn = box.container("true", extra=[plan.Bind("/x", source=Passed(7))])
    with pytest.raises(SpawnerError, match="bind mount on /x"):
        await box.client.spawn(spawn)


async def test_failed_starts_leave_nothing(box: Box) -> None:
    before = len(Path("/proc/self/mountinfo").read_text().splitlines())
    spawn = box.container("/missing", unshare=Clone.NET)
    for index in range(20):
        with pytest.raises(SpawnerError):
            await box.client.spawn(replace(spawn, id=f"f{index}"))
    assert len(Path("/proc/self/mountinfo").read_text().splitlines()) == before
    living = await box.client.subscribe(box.hear)
    assert (living.processes, living.exits) == ((), ())
    children = Path(f"/proc/{box.client.welcome.pid}/task/{box.client.welcome.pid}/children").read_text().split()
    assert str(box.client.welcome.log_process) in children
