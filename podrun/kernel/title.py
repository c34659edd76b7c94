"""The title of a process: what ps shows of it."""

from __future__ import annotations

import ctypes

from podrun.kernel.processes import set_name

_ARG_START = 45
"""Index of arg_start (field 48) among the fields of /proc/self/stat after the command; arg_end follows."""


def set_title(title: str) -> None:
    """Show `title` in place of the command line, as far as it fits in the room that the command line took.

    The kernel shows the memory between arg_start and arg_end; nothing else reads it once Python has begun. Needs no
    privilege, unlike PR_SET_MM.
    """
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[_ARG_START]), int(fields[_ARG_START + 1])
    room = end - start
    if room > 1:
        text = title.encode()[: room - 1]
        ctypes.memmove(start, text.ljust(room, b"\0"), room)
    set_name(title[:15])
