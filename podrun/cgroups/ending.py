"""Ending a group for sure: kill what is in it, wait for the ends, remove it. Waiting is on pidfds; nothing polls."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os

from podrun.cgroups.group import Group
from podrun.kernel.processes import pidfd_open


async def end(group: Group) -> None:
    """Kill everything in the group and below it and remove it; idempotent.

    Raises OSError (EBUSY) only when the kernel keeps a process that cannot die, after it was waited for.
    """
    while True:
        try:
            group.remove()
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
        group.kill()
        remaining = group.processes()
        await asyncio.gather(*(_ended(pid) for pid in remaining))
        if not remaining:
            # Only processes that are past their exit were left: they leave the group when they are reaped.
            await asyncio.sleep(0)


async def _ended(pid: int) -> None:
    """Returns when the process has ended."""
    try:
        pidfd = pidfd_open(pid)
    except OSError:
        return
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    loop.add_reader(pidfd, _resolve, ended)
    try:
        await ended
    finally:
        loop.remove_reader(pidfd)
        with contextlib.suppress(OSError):
            os.close(pidfd)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
