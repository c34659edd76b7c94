"""Parts of a pod broken on purpose, from the host: what an experiment wants to see the end of.

pause      killed: the sandbox ends, a new one is made with another attempt number
container  its first process killed
address    taken off eth0: the pod cannot be reached, and reaches nobody; its localhost works
link       eth0 is down
dns        /etc/resolv.conf is empty
volume     an emptyDir filled up
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from io import FileIO
from pathlib import Path

from podrun.kernel import namespaces
from podrun.kernel.flags import Clone
from podrun.network import netlink

PARTS = ("pause", "container", "address", "link", "dns", "volume")
FILLER = ".podrun-break"
MOST = 1 << 30
"""Bytes that are written to a volume when nobody says how many."""
_PIECE = 1 << 20


class TooLarge(Exception):
    """More than the machine's own disk should be filled with; the text says what to do."""


def change_link(pid: int, what: str) -> str:
    """Break `address` or `link` of the network namespace of process `pid`. Raises OSError."""
    said: list[str] = []
    failed: list[OSError] = []

    def work() -> None:  # in a thread of its own, which stays in the pod's namespace and ends there
        try:
            descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            namespaces.setns(descriptor, Clone.NET)
            os.close(descriptor)
            index = socket.if_nametoindex("eth0")
            if what == "link":
                netlink.send(netlink.down(index))
                said.append("eth0 is down: nothing comes in or goes out; localhost still works")
                return
            address = _own_address()
            netlink.send(netlink.delete_address(index, address))
            said.append(f"{address} is taken off eth0: the pod is not reached any more; localhost still works")
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return said[0]


def _own_address() -> netlink.IPv4:
    """The address that the pod's packets leave with."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: only the route is looked up
        return netlink.IPv4(probe.getsockname()[0])


def empty_file(path: Path) -> str:
    """The pod's resolv.conf, which each container has as a bind mount: emptied in place."""
    with path.open("r+b") as file:
        file.truncate(0)
    return "/etc/resolv.conf of the pod is empty: no name is found any more"


def fill(directory: Path, name: str, wanted: int | None) -> str:
    """Write a file into a volume until it is full, or has grown by `wanted` bytes. Raises TooLarge, OSError."""
    status = os.statvfs(directory)
    room = status.f_bavail * status.f_frsize
    if not _on_tmpfs(directory):
        room //= 2  # the machine's own disk
        if wanted is not None and wanted > room:
            raise TooLarge(f"{wanted} bytes are more than half of what is free on the machine's own disk")
    most = wanted if wanted is not None else min(MOST, room + _PIECE)
    written = 0
    with _filler(directory) as file:
        try:
            while written < most:
                written += file.write(bytes(min(_PIECE, most - written)))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            return f"volume {name} is full: {written} bytes in {FILLER}, which can be removed in the container"
    return f"volume {name} has {written} bytes more, in {FILLER}"


def _filler(directory: Path) -> FileIO:
    """A new file in a directory whose other entries are the containers' own: no link of theirs is followed."""
    where = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(FILLER, dir_fd=where)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return FileIO(os.open(FILLER, flags, 0o666, dir_fd=where), "wb")
    finally:
        os.close(where)


def _on_tmpfs(directory: Path) -> bool:
    device = os.stat(directory).st_dev
    wanted = f" {os.major(device)}:{os.minor(device)} "
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if wanted in line:
            return line.partition(" - ")[2].startswith("tmpfs")
    return False
