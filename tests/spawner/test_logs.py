"""Logs of real processes: exact, complete when the exit is told, and through a log process that dies."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from dataclasses import replace
from pathlib import Path

from podrun.kernel.flags import Clone
from podrun.spawner import plan
from podrun.spawner.plan import Passed
from podrun.spawner.protocol import Log, Stdio
from tests.spawner.conftest import Box

_PASSED = [Passed(index) for index in range(4)]
_JOIN = plan.Setns(_PASSED[0], Clone.MNT | Clone.NET | Clone.IPC | Clone.UTS)
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) ([FP]) (.*)")


async def test_both_streams_are_logged_exactly(box: Box) -> None:
    await box.run_to_end(box.container("sh", "-c", r"printf 'a\0\377\n'; printf 'e\n' >&2; printf tail"))
    raw = (box.logs / "c1.log").read_bytes()
    lines = [LINE.fullmatch(line) for line in raw.decode("latin-1").splitlines()]
    found = sorted(line.groups() for line in lines if line is not None)
    assert found == [("stderr", "F", "e"), ("stdout", "F", "a\0\xff"), ("stdout", "P", "tail")]


async def test_everything_is_in_the_file_when_the_exit_is_told(box: Box) -> None:
    size = 20_000_000
    spawn = box.container("sh", "-c", f"busybox yes 0123456789abcdef | head -c {size}; echo end >&2")
    spawn = replace(spawn, stdio=Stdio(log=Log(str(box.logs / f"{spawn.id}.log"), max_size=0)))
    exited, _ = await box.run_to_end(spawn)
    assert exited.log_complete
    text = (box.logs / f"{spawn.id}.log").read_text()
    assert text.count(" stdout F 0123456789abcdef\n") == size // 17
    assert text.count(" stderr F end\n") == 1


async def test_a_barrier_without_an_exit(box: Box) -> None:
    spawn = box.container("sh", "-c", "echo before; cat")
    spawn = replace(spawn, stdio=replace(spawn.stdio, stdin_pipe=True))
    box.close(await box.client.spawn(spawn))
    held = await box.client.descriptors(spawn.id)
    os.write(held["stdin"], b"through\n")
    await _until_line(box, spawn.id, "through")
    await box.client.close_stdin(spawn.id)
    for descriptor in held.values():
        os.close(descriptor)
    assert (await box.exit_of(spawn.id)).exit.code == 0, "end of file ended cat"


async def _until_line(box: Box, name: str, wanted: str) -> None:
    async def look() -> None:
        await box.client.drain_log(name)
        while wanted not in box.lines(name):
            await box.client.drain_log(name)

    await asyncio.wait_for(look(), 10)


async def test_an_attached_reader_sees_raw_bytes_and_the_end(box: Box) -> None:
    spawn = box.container("sh", "-c", "cat; echo bye >&2")
    spawn = replace(spawn, stdio=replace(spawn.stdio, stdin_pipe=True))
    box.close(await box.client.spawn(spawn))
    out, err = os.pipe(), os.pipe()
    await box.client.attach(spawn.id, out[1], err[1])
    os.close(out[1])
    os.close(err[1])
    held = await box.client.descriptors(spawn.id)
    os.write(held["stdin"], b"raw\xff")
    for descriptor in held.values():
        os.close(descriptor)
    await box.client.close_stdin(spawn.id)
    await box.exit_of(spawn.id)
    assert (_read_all(out[0]), _read_all(err[0])) == (b"raw\xff", b"bye\n")


def _read_all(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        return file.read()


async def test_an_attached_reader_far_behind_is_cut_off_and_delays_nobody(box: Box) -> None:
    spawn = box.container("sh", "-c", "busybox sleep 0.2; head -c 8000000 /dev/zero; echo end")
    spawn = replace(spawn, stdio=Stdio(log=Log(str(box.logs / f"{spawn.id}.log"), max_size=0)))
    box.close(await box.client.spawn(spawn))
    reader, writer = os.pipe()
    await box.client.attach(spawn.id, writer)
    os.close(writer)
    assert (await box.exit_of(spawn.id)).exit.code == 0
    assert len(_read_all(reader)) < 8_000_000


async def test_a_log_is_rotated_on_request_and_reopened(box: Box) -> None:
    spawn = box.container("sh", "-c", "echo first; cat")
    spawn = replace(spawn, stdio=replace(spawn.stdio, stdin_pipe=True))
    box.close(await box.client.spawn(spawn))
    await _until_line(box, spawn.id, "first")
    await box.client.reopen_log(spawn.id, rotate=True)
    names = sorted(path.name for path in box.logs.iterdir())
    assert len(names) == 2
    assert re.fullmatch(r"c1\.log\.\d{8}-\d{6}", names[1])
    (box.logs / "c1.log").rename(box.logs / "moved")
    await box.client.reopen_log(spawn.id)
    assert (box.logs / "c1.log").read_text() == ""


async def test_a_log_process_that_is_killed_is_replaced_and_the_writer_goes_on(box: Box) -> None:
    script = "i=0; while [ $i -lt 400 ]; do echo $i; i=$((i+1)); busybox usleep 1000; done"
    spawn = box.container("sh", "-c", script)
    box.close(await box.client.spawn(spawn))
    await _until_line(box, spawn.id, "20")
    os.kill(box.client.welcome.log_process, signal.SIGKILL)
    exited = await box.exit_of(spawn.id)
    assert (exited.exit.code, exited.log_complete) == (0, True), "no broken pipe"
    lines = box.lines(spawn.id)
    assert lines[-1] == "399"
    assert len(lines) >= 399, "at most the one batch in its hands is lost"


async def test_a_terminal(box: Box) -> None:
    script = "tty; stty size; readlink /proc/self/fd/0; cat /proc/self/stat"
    spawn = box.container("sh", "-c", f"{script}; read line; echo got $line")
    stdio = replace(spawn.stdio, terminal=True, columns=100, rows=30)
    spawn = replace(spawn, stdio=stdio)
    box.close(await box.client.spawn(spawn))
    held = await box.client.descriptors(spawn.id)
    assert set(held) == {"pidfd", "terminal"}
    await box.client.resize(spawn.id, 120, 40)
    os.write(held["terminal"], b"typed\n")
    for descriptor in held.values():
        os.close(descriptor)
    await box.exit_of(spawn.id)
    lines = [line.rstrip("\r") for line in box.lines(spawn.id)]
    assert "/dev/pts/0" in lines
    assert {"30 100", "40 120"} & set(lines)
    assert lines[-1] == "got typed"


async def test_an_exec_has_the_callers_descriptors_and_no_record(box: Box, tmp_path: Path) -> None:
    target = await box.client.spawn(box.container("sleep", "100"))
    join = replace(
        box.container("sh", "-c", "cat; echo error >&2; exit 7"),
        id="exec1",
        kind="exec",
        new_pid=False,
        join_pid=_PASSED[0],
        plan=(_JOIN,),
        stdio=Stdio(_PASSED[1], _PASSED[2], _PASSED[3]),
    )
    stdin, out, err = os.pipe(), os.pipe(), os.pipe()
    started = await box.client.spawn(join, [target.descriptors["pidfd"], stdin[0], out[1], err[1]])
    for descriptor in (stdin[0], out[1], err[1]):
        os.close(descriptor)
    os.write(stdin[1], b"input")
    os.close(stdin[1])
    assert (await box.exit_of("exec1")).exit.code == 7
    assert (_read_all(out[0]), _read_all(err[0])) == (b"input", b"error\n")
    assert not (box.run / "exits" / "exec1").exists()
    box.close(started)
    box.close(target)


async def test_an_exec_with_a_terminal_of_the_callers_own(box: Box) -> None:
    target = await box.client.spawn(box.container("sleep", "100"))
    spawn = replace(
        box.container("sh", "-c", "tty"),
        id="exec2",
        kind="exec",
        new_pid=False,
        join_pid=_PASSED[0],
        plan=(_JOIN,),
        stdio=Stdio(terminal=True),
    )
    started = await box.client.spawn(spawn, [target.descriptors["pidfd"]])
    await box.exit_of("exec2")
    assert os.read(started.descriptors["terminal"], 100) == b"/dev/pts/0\r\n"
    box.close(started)
    box.close(target)
