"""The transient scope that holds the pods where systemd owns a v2 tree.

systemd is the single writer of v2 and a service that restarts must neither meet pods in its own group (EBUSY on its
controllers) nor kill them. So pods live in `podrun-pods.scope` with Delegate=yes, which systemd leaves alone, and which
lasts as long as one process is in it: the keeper, a `sleep` in a leaf of its own. v1 trees need none of this.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from podrun.cgroups.group import put
from podrun.cgroups.hierarchy import Hierarchies

UNIT = "podrun-pods"
_KEEPER = ("sh", "-c", "echo ready; exec sleep infinity >/dev/null 2>&1")


def wanted(machine: Hierarchies, systemd: Path = Path("/run/systemd/system")) -> bool:
    """Whether systemd runs here and has the controllers on v2."""
    return systemd.is_dir() and bool(machine.unified_controllers)


async def ensure(machine: Hierarchies, unit: str = UNIT) -> str:
    """Make the scope, or find it, and return its path below the v2 mount.

    Raises OSError when systemd refuses, with what systemd-run said.
    """
    found = await _control_group(unit)
    if not found:
        process = await asyncio.create_subprocess_exec(
            *("systemd-run", "--scope", "--quiet", "--collect", f"--unit={unit}", "--property=Delegate=yes"),
            *("--description=Pods of podrun", *_KEEPER),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        # The keeper's line says that the scope's job is done; end of file says that it was refused.
        if not await process.stdout.readline():
            raise OSError(f"systemd did not make {unit}.scope: {(await process.stderr.read()).decode().strip()}")
        found = await _control_group(unit)
    path = found.strip("/")
    _move_into_leaf(machine, path)
    return path


def _move_into_leaf(machine: Hierarchies, path: str) -> None:
    """Put the scope's own processes into the leaf `keeper`, so that controllers can be handed to the pods beside it."""
    assert machine.unified is not None
    scope = machine.unified / path
    (scope / "keeper").mkdir(exist_ok=True)
    for pid in (scope / "cgroup.procs").read_text().split():
        with contextlib.suppress(ProcessLookupError):
            put(scope / "keeper/cgroup.procs", pid)


async def stop(unit: str = UNIT) -> None:
    """End the scope and with it all that runs in it; nothing happens where there is none."""
    process = await asyncio.create_subprocess_exec(
        "systemctl", "stop", f"{unit}.scope", stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    await process.wait()


async def _control_group(unit: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *("systemctl", "show", "--property=ControlGroup", "--value", f"{unit}.scope"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    return output.decode().strip()
