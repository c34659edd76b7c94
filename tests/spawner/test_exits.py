"""Ends: recorded before they are told, kept until acknowledged, through the death of everybody but the pods."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from podrun.spawner.client import SpawnerClient, SpawnerError
from podrun.spawner.protocol import Exited
from podrun.spawner.start import SpawnerFailed, SpawnerLost
from tests.spawner.conftest import Box, descriptors_of


async def test_the_record_is_there_before_the_exit_is_told_and_gone_after_it_is_acknowledged(box: Box) -> None:
    seen: list[bool] = []
    record = box.run / "exits" / "c1"

    def hear(exited: Exited) -> None:
        seen.append(json.loads(record.read_text())["code"] == 137)
        box.hear(exited)

    await box.client.subscribe(hear)
    started = await box.client.spawn(box.container("sleep", "100"))
    assert (box.run / "living" / "c1").exists()
    signal.pidfd_send_signal(started.descriptors["pidfd"], signal.SIGKILL)
    exit = (await box.exit_of("c1")).exit
    box.close(started)
    assert (exit.code, exit.signal, exit.pid, exit.start_time) == (137, 9, started.pid, started.start_time)
    assert seen == [True]
    assert not (box.run / "living" / "c1").exists()
    await box.client.acknowledge("c1")
    assert not record.exists()


async def test_usage_and_times_are_those_of_the_process(box: Box) -> None:
    exited, _ = await box.run_to_end(box.container("sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"))
    exit = exited.exit
    assert exit.usage.user_us > 5000
    assert exit.finished_at - exit.started_at > 5_000_000


async def test_a_signal_to_what_has_ended_says_so(box: Box) -> None:
    await box.run_to_end(box.container("true"))
    assert not await box.client.signal("c1", 15)


async def test_a_new_podrund_gets_what_lives_and_what_ended_meanwhile(box: Box) -> None:
    box.close(await box.client.spawn(box.container("sleep", "100")))
    gone = await box.client.spawn(box.container("sh", "-c", "echo said; sleep 0.05; exit 4"))
    await box.client.close()
    await _ended(gone.descriptors["pidfd"])
    box.close(gone)
    box.client = await SpawnerClient.start(box.run, visible=[box.state])
    box.exits.clear()
    living = await box.client.subscribe(box.hear)
    names = {process.id for process in living.processes} | {exit.id for exit in living.exits}
    assert names == {"c1", "c2"}
    exits = list(living.exits) or [(await box.exit_of("c2")).exit]
    assert [exit.code for exit in exits] == [4]
    assert box.lines("c2") == ["said"]
    await box.client.acknowledge("c2")


async def _ended(pidfd: int) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(pidfd, readable.set)
    await asyncio.wait_for(readable.wait(), 10)
    loop.remove_reader(pidfd)


async def test_forty_up_and_down_leave_nothing(box: Box) -> None:
    before = descriptors_of(os.getpid())
    for _ in range(2):
        spawns = [box.container("sleep", "100") for _ in range(20)]
        for started in await asyncio.gather(*(box.client.spawn(spawn) for spawn in spawns)):
            box.close(started)
        await asyncio.gather(*(box.client.signal(spawn.id, 9) for spawn in spawns))
        for spawn in spawns:
            await box.exit_of(spawn.id)
        await box.client.acknowledge(*(spawn.id for spawn in spawns))
    assert descriptors_of(os.getpid()) == before
    await box.client.rest()
    children = Path(f"/proc/{box.client.welcome.pid}/task/{box.client.welcome.pid}/children").read_text().split()
    assert children == [str(box.client.welcome.log_process)]


async def test_a_killed_spawner_is_followed_by_one_that_reports_honestly(box: Box) -> None:
    spawn = box.container(
        "sh", "-c", "trap 'echo bye; exit 5' TERM; echo one; cat; while :; do busybox usleep 10000; done"
    )
    spawn = replace(spawn, stdio=replace(spawn.stdio, stdin_pipe=True))
    lives = await box.client.spawn(spawn)
    dies = await box.client.spawn(box.container("sleep", "100"))
    await box.client.drain_log(spawn.id)
    os.kill(box.client.welcome.pid, signal.SIGKILL)
    await box.client.lost
    os.kill(dies.pid, signal.SIGKILL)
    await _ended(dies.descriptors["pidfd"])
    with pytest.raises(SpawnerLost):
        await box.client.signal(spawn.id, 15)

    former = box.client
    box.client = await SpawnerClient.start(box.run, visible=[box.state], former=former)
    box.exits.clear()
    living = await box.client.subscribe(box.hear)
    assert [(process.id, process.adopted) for process in living.processes] == [(spawn.id, True)]
    assert [(exit.id, exit.lost, exit.code) for exit in living.exits] == [(dies.id, True, 137)]
    await box.client.close_stdin(spawn.id)
    assert await box.client.signal(spawn.id, 15)
    exited = await box.exit_of(spawn.id)
    assert (exited.exit.lost, exited.log_complete) == (True, True)
    assert box.lines(spawn.id) == ["one", "bye"], "no writer saw a broken pipe, and nothing was lost"
    await box.client.acknowledge(dies.id)
    box.close(lives)
    box.close(dies)


async def test_the_spawner_replaces_itself_and_keeps_its_children(box: Box) -> None:
    script = "trap 'exit 6' TERM; i=0; while :; do echo $i; i=$((i+1)); busybox usleep 1000; done"
    started = await box.client.spawn(box.container("sh", "-c", script))
    sock = socket.create_server(("127.0.0.1", 0))
    await box.client.keep("api", [sock], "about")
    await box.client.rest()
    before = descriptors_of(box.client.welcome.pid)
    await box.client.replace()
    assert descriptors_of(box.client.welcome.pid) == before
    await box.client.signal(started.id, signal.SIGTERM)
    exited = await box.exit_of(started.id)
    assert (exited.exit.code, exited.exit.lost) == (6, False)
    lines = box.lines(started.id)
    assert lines == [str(number) for number in range(len(lines))]
    about, sockets = await box.client.fetch("api")
    assert about == "about"
    assert sockets[0].getsockname() == sock.getsockname()
    _, lines = await box.run_to_end(box.container("echo", "new code"))
    assert lines == ["new code"]
    await box.client.drop("api")
    for each in (sock, *sockets):
        each.close()
    box.close(started)


async def test_new_code_that_cannot_read_the_state_is_refused(box: Box) -> None:
    with pytest.raises(SpawnerError, match="its check ended with 1"):
        await box.client.replace(["/bin/false"])
    _, lines = await box.run_to_end(box.container("echo", "as before"))
    assert lines == ["as before"]


async def test_a_listener_outlives_its_podrund(box: Box, tmp_path: Path) -> None:
    first = await box.client.listener("api", ("127.0.0.1", 0))
    port = first.getsockname()[1]
    first.close()
    waiting = socket.create_connection(("127.0.0.1", port))
    again = await box.client.listener("api", ("127.0.0.1", 0))
    connection, _ = again.accept()
    unix = await box.client.listener("unix", Path(os.path.relpath(tmp_path / "s")))
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
    other = await box.client.listener("api", ("127.0.0.2", 0))
    assert other.getsockname()[0] == "127.0.0.2"
    for sock in (waiting, connection, again, unix, other):
        sock.close()
    await box.client.drop("api")
    await box.client.drop("unix")


async def test_a_podrund_that_dies_is_started_again(box: Box, tmp_path: Path) -> None:
    """Three lives, each of which says so on a fifo; the third one leaves on purpose."""
    fifo, lives = tmp_path / "fifo", tmp_path / "lives"
    os.mkfifo(fifo)
    script = f"""
import asyncio, os, sys
from pathlib import Path
from podrun.spawner.client import SpawnerClient
async def main():
    client = await SpawnerClient.connect(Path({str(box.run)!r}))
    with open({str(lives)!r}, "a+") as file:
        file.write("x")
        file.seek(0)
        count = len(file.read())
    await client.supervise([sys.executable, *sys.argv] if count < 3 else [], os.environ, Path("/"), None)
    with open({str(fifo)!r}, "w") as file: file.write("x")
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    program = tmp_path / "daemon.py"
    program.write_text(script)
    reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    first = await asyncio.create_subprocess_exec(sys.executable, program)
    for _ in range(3):
        await _ended(reader)
        assert os.read(reader, 1) == b"x"
    os.close(reader)
    assert await first.wait() == -9


async def test_leaving_is_refused_while_something_runs_unless_forced(tmp_path: Path, box: Box) -> None:
    box.close(await box.client.spawn(box.container("sleep", "100")))
    with pytest.raises(SpawnerError, match="1 processes still run"):
        await box.client.leave()
    box.close(await box.client.spawn(box.container("sh", "-c", "trap '' TERM; sleep 100")))


async def test_a_second_start_finds_the_first(box: Box) -> None:
    other = await SpawnerClient.start(box.run, visible=[box.state])
    assert other.welcome.pid == box.client.welcome.pid
    await other.close()


async def test_a_spawner_that_cannot_begin_says_why(tmp_path: Path) -> None:
    with pytest.raises(SpawnerFailed, match="No such file or directory"):
        await SpawnerClient.start(tmp_path / "run", visible=[tmp_path / "missing"])


@pytest.mark.parametrize(
    "elsewhere", [("--pid", "--fork"), ("--mount",), ("--user", "--map-root-user")], ids=["pid", "mount", "user"]
)
async def test_a_peer_from_another_namespace_is_turned_away(box: Box, elsewhere: tuple[str, ...]) -> None:
    script = f"""
import socket
sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
sock.connect({str(box.run / "socket")!r})
print(sock.recv(100))
"""
    process = await asyncio.create_subprocess_exec(
        "unshare", *elsewhere, sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert out == b"b''\n"


async def test_nonsense_on_the_socket_is_refused_and_does_no_harm(box: Box) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.connect(str(box.run / "socket"))
        assert b"Welcome" in sock.recv(1000)
        odd = (b'{"n": 1e999, "m": {}}', b'{"n": 7, "m": {"t": {}}}', b"[" * 60_000)
        for nonsense in (b"x", b"{}", b"[]", b'{"n": 7, "m": {"t": "Nothing"}}', b"\0", *odd):
            sock.send(nonsense)
            assert b'"t": "Failed"' in sock.recv(1000)
    _, lines = await box.run_to_end(box.container("echo", "unmoved"))
    assert lines == ["unmoved"]


async def test_a_visible_directory_may_lie_below_dev() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as state, tempfile.TemporaryDirectory() as run:
        client = await SpawnerClient.start(Path(run), visible=[Path(state)])
        assert sorted(os.listdir(f"/proc/{client.welcome.pid}/root/dev")) == ["null", "shm"]
        await client.leave()


async def test_the_titles_say_who_is_who(box: Box) -> None:
    welcome = box.client.welcome
    await box.client.drain_log("nobody")  # answered: the log process has begun
    assert Path(f"/proc/{welcome.pid}/cmdline").read_bytes().startswith(b"podrun spawner ")
    assert Path(f"/proc/{welcome.log_process}/cmdline").read_bytes().startswith(b"podrun spawner logs")
