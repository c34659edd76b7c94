"""How a spawner is begun: detached from whoever begins it, its program on a read-only mount."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from podrun.spawner import program

SOCKET = "socket"
"""Name of the spawner's socket in its directory."""
OUTPUT = "output"
"""Name of the file that takes the spawner's own complaints."""


async def begin(directory: Path, visible: Sequence[Path]) -> None:
    """Begin a spawner and return when its socket takes connections. Raises SpawnerFailed with its own words."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    complaints = directory / OUTPUT
    interpreter = program.read_only_interpreter()
    with complaints.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *program.own_command(str(directory), *(str(path) for path in visible)),
            executable=f"/proc/self/fd/{interpreter}",
            pass_fds=(interpreter,),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
        )
        code = await process.wait()
    os.close(interpreter)
    if code != 0:
        raise SpawnerFailed(complaints.read_text(errors="replace").strip() or f"the spawner ended with {code}")


class SpawnerLost(ConnectionError):
    """The spawner has gone (killed) or spoke nonsense; begin another with `SpawnerClient.start`."""


class SpawnerFailed(SpawnerLost):
    """A spawner could not begin; the text is what it said."""
