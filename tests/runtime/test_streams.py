"""exec, exec_sync and attach: streams, terminals, exit codes and refusals."""

import asyncio
import os
from collections.abc import Sequence

import pytest

from podrun.runtime.errors import ExecFailed, ExecTimeout
from podrun.runtime.model import Security, User
from podrun.spawner.client import Started
from podrun.spawner.protocol import Spawn
from tests.runtime.machine import Machine


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _read(descriptor: int | None, seconds: float = 10) -> bytes:
    """Everything until the end of a non-blocking descriptor (EIO is a terminal's end)."""
    assert descriptor is not None
    loop, data = asyncio.get_running_loop(), b""
    async with asyncio.timeout(seconds):
        while True:
            readable: asyncio.Future[None] = loop.create_future()
            loop.add_reader(descriptor, _resolve, readable)
            await readable
            loop.remove_reader(descriptor)
            try:
                part = os.read(descriptor, 65536)
            except OSError:
                return data
            if not part:
                return data
            data += part


async def test_exec_sync_gives_code_and_output(machine: Machine) -> None:
    pod = await machine.sandbox()
    container = await machine.run(pod, "sleep", "1000", user=User(name="app"), env=(("A", "b"),))
    code, output = await machine.runtime.exec_sync(
        container, ["sh", "-c", "echo $A $HOSTNAME; id -u >&2; cat /proc/1/comm; exit 4"], 10
    )
    assert (code, output) == (4, b"b host1\n1000\nsleep\n")


@pytest.mark.parametrize(
    ("why", "pod", "container"),
    [
        ("the host's pids", {"host_pid": True}, {}),
        ("shared pids", {"share_process_namespace": True}, {}),
        ("the host's network and IPC", {"host_network": True, "host_ipc": True}, {}),
        ("privileged", {}, {"security": Security(privileged=True)}),
    ],
)
async def test_exec_sees_what_the_container_sees(
    machine: Machine, why: str, pod: dict[str, object], container: dict[str, object]
) -> None:
    sandbox = await machine.sandbox(**pod)
    container_id = await machine.run(sandbox, "sleep", "1000", **container)
    pid = machine.runtime.status(container_id).pid
    kinds = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
    code, output = await machine.runtime.exec_sync(
        container_id, ["sh", "-c", f"for kind in {' '.join(kinds)}; do readlink /proc/self/ns/$kind; done"], 10
    )
    assert code == 0
    assert output.decode().split() == [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in kinds], why


async def test_exec_sync_times_out_and_kills(machine: Machine) -> None:
    pod = await machine.sandbox()
    container = await machine.run(pod, "sleep", "1000")
    with pytest.raises(ExecTimeout) as failure:
        await machine.runtime.exec_sync(container, ["sh", "-c", "echo begun; sleep 500"], 0.3)
    assert failure.value.output == b"begun\n"
    code, output = await machine.runtime.exec_sync(container, ["sh", "-c", "ps | grep -c '[s]leep 500'"], 10)
    assert (code, output) == (1, b"0\n")


async def test_exec_sync_does_not_wait_for_a_grandchild_and_drops_what_is_too_much(machine: Machine) -> None:
    pod = await machine.sandbox()
    container = await machine.run(pod, "sleep", "1000")
    code, output = await machine.runtime.exec_sync(container, ["sh", "-c", "sleep 600 & echo done"], 10)
    assert (code, output) == (0, b"done\n")
    code, output = await machine.runtime.exec_sync(container, ["dd", "if=/dev/zero", "bs=1M", "count=1"], 10)
    assert code == 0
    assert len(output) == 16384


async def test_a_command_that_is_not_there_is_told_in_containerds_words(machine: Machine) -> None:
    pod = await machine.sandbox()
    container = await machine.run(pod, "sleep", "1000")
    with pytest.raises(ExecFailed) as failure:
        await machine.runtime.exec_sync(container, ["no-such-command"], 10)
    begin, _, rest = failure.value.message.partition('start exec "')
    identity, _, end = rest.partition('"')
    assert begin == "rpc error: code = Unknown desc = failed to exec in container: failed to "
    assert len(identity) == 64
    assert end == (
        ": OCI runtime exec failed: exec failed: unable to start container process: "
        'exec: "no-such-command": executable file not found in $PATH: unknown'
    )


async def test_exec_with_streams(machine: Machine) -> None:
    pod = await machine.sandbox()
    container = await machine.run(pod, "sleep", "1000")
    session = await machine.runtime.exec(container, ["sh", "-c", "cat; echo err >&2; exit 5"], stdin=True)
    assert session.stdin is not None
    os.write(session.stdin, b"typed")
    await session.close_stdin()
    assert await _read(session.stdout) == b"typed"
    assert await _read(session.stderr) == b"err\n"
    assert await session.wait() == 5
    await session.close()


async def test_exec_with_a_terminal(machine: Machine) -> None:
    pod = await machine.sandbox()
    container = await machine.run(pod, "sleep", "1000")
    session = await machine.runtime.exec(
        container, ["sh", "-c", "read x; stty size; tty; echo $TERM"], tty=True, stdin=True
    )
    assert session.stdin is not None
    await session.resize(101, 33)
    os.write(session.stdin, b"go\n")
    output = (await _read(session.stdout)).replace(b"\r\n", b"\n")
    assert output == b"go\n33 101\n/dev/pts/0\nxterm\n"
    assert await session.wait() == 0
    await session.close()


async def test_closing_a_session_ends_its_process(machine: Machine) -> None:
    pod = await machine.sandbox()
    container = await machine.run(pod, "sleep", "1000")
    session = await machine.runtime.exec(container, ["sleep", "700"])
    await session.close()
    async with asyncio.timeout(5):
        assert await session.wait() == 137


async def test_who_is_cancelled_as_an_exec_begins_leaves_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that is gone in the very moment that its command has begun: it ends, and its terminal is closed."""
    container = await machine.run(await machine.sandbox(), "sleep", "1000")
    descriptors = len(os.listdir("/proc/self/fd"))
    spawner = machine.runtime._host.spawner
    really = spawner.spawn

    async def spawn(request: Spawn, passed: Sequence[int] = ()) -> Started:
        answer = asyncio.ensure_future(really(request, passed))
        answer.add_done_callback(lambda _: begun.cancel())  # before who waits for it goes on
        return await answer

    monkeypatch.setattr(spawner, "spawn", spawn)
    begun = asyncio.create_task(machine.runtime.exec(container, ["sleep", "999"], tty=True, stdin=True))
    with pytest.raises(asyncio.CancelledError):
        await begun
    monkeypatch.undo()
    left = b""
    async with asyncio.timeout(10):
        while left != b"0\n" or len(os.listdir("/proc/self/fd")) > descriptors:
            _, left = await machine.runtime.exec_sync(container, ["sh", "-c", "ps | grep -c '[s]leep 999'"], 10)


async def test_attach_reads_and_writes_a_running_container(machine: Machine) -> None:
    pod = await machine.sandbox()
    container = await machine.run(pod, "sh", "-c", "read x; echo got $x; exit 2", stdin=True, stdin_once=True)
    session = await machine.runtime.attach(container, stdin=True)
    assert session.stdin is not None
    os.write(session.stdin, b"line\n")
    assert await _read(session.stdout) == b"got line\n"
    assert await session.wait() == 2
    await session.close()
    assert machine.log(container) == "got line\n"


async def test_the_end_of_stdin_reaches_a_container_that_wants_it_once(machine: Machine) -> None:
    pod = await machine.sandbox()
    container = await machine.run(pod, "cat", stdin=True, stdin_once=True)
    session = await machine.runtime.attach(container, stdin=True)
    assert session.stdin is not None
    os.write(session.stdin, b"all\n")
    await session.close_stdin()
    assert await session.wait() == 0
    await session.close()
    assert machine.log(container) == "all\n"


async def test_attach_to_a_terminal(machine: Machine) -> None:
    pod = await machine.sandbox()
    container = await machine.run(pod, "sh", "-c", "read x; stty size; tty", tty=True, stdin=True)
    session = await machine.runtime.attach(container, stdin=True)
    await session.resize(80, 24)
    assert session.stdin is not None
    os.write(session.stdin, b"go\n")
    assert b"24 80\r\n/dev/pts/0" in await _read(session.stdout)
    await session.close()


async def test_nothing_runs_in_a_container_that_has_ended(machine: Machine) -> None:
    pod = await machine.sandbox()
    container = await machine.run(pod, "true")
    await machine.until(container)
    with pytest.raises(ExecFailed, match="is not running"):
        await machine.runtime.exec_sync(container, ["true"], 10)
    with pytest.raises(ExecFailed, match="is not running"):
        await machine.runtime.attach(container)
