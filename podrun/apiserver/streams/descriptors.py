"""Non-blocking descriptors on the event loop: read and write without threads and without polling."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable

CHUNK = 64 << 10


async def _ready(add: Callable[..., None], remove: Callable[[int], object], descriptor: int) -> None:
    event = asyncio.Event()
    add(descriptor, event.set)
    try:
        await event.wait()
    finally:
        remove(descriptor)


async def readable(descriptor: int) -> None:
    """Wait until there is something to read, or the end."""
    loop = asyncio.get_running_loop()
    await _ready(loop.add_reader, loop.remove_reader, descriptor)


async def writable(descriptor: int) -> None:
    """Wait until something can be written."""
    loop = asyncio.get_running_loop()
    await _ready(loop.add_writer, loop.remove_writer, descriptor)


def take(descriptor: int) -> bytes | None:
    """What can be read at once; None when nothing can, empty at the end (EIO is how a terminal's master ends)."""
    try:
        return os.read(descriptor, CHUNK)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno == errno.EIO:
            return b""
        raise


async def chunks(descriptor: int) -> AsyncIterator[bytes]:
    """Everything that is read, until the end; the next read waits for the consumer."""
    while True:
        data = take(descriptor)
        if data is None:
            await readable(descriptor)
        elif data:
            yield data
        else:
            return


def put(descriptor: int, data: bytes | memoryview) -> memoryview:
    """Write what can be written at once; what is left. Raises BrokenPipeError where nobody reads."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            break
    return view


async def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write everything, waiting where the reader is slow; raises BrokenPipeError where there is none."""
    while data := put(descriptor, data):
        await writable(descriptor)
