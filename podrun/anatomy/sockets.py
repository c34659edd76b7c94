"""Sockets of a pod: which process holds which, what listens, and who in the pod speaks with whom over TCP."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from podrun.anatomy.model import Connection

_ESTABLISHED, _LISTENING = "01", "0A"


@dataclass(frozen=True, slots=True)
class Socket:
    """A line of /proc/net/tcp (proc_pid_net(5)): addresses as the kernel prints them, with the port."""

    inode: int
    local: str
    remote: str
    state: str

    @property
    def listens(self) -> bool:
        return self.state == _LISTENING

    @property
    def port(self) -> int:
        """Its own."""
        return int(self.local.rpartition(":")[2], 16)


def sockets_in(proc: Path, pid: int) -> list[Socket]:
    """The TCP sockets of the network namespace that a process is in."""
    found: list[Socket] = []
    for name in ("tcp", "tcp6"):
        try:
            lines = (proc / str(pid) / "net" / name).read_text().splitlines()[1:]
        except OSError:
            continue
        parts = (line.split() for line in lines)
        found += [Socket(int(part[9]), part[1], part[2], part[3]) for part in parts]
    return found


class Tables:
    """The sockets of each network namespace, read once: the kernel goes through all of its own for each reading."""

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self._read: dict[int, list[Socket]] = {}

    def of(self, pid: int, namespace: int) -> list[Socket]:
        """Those of the namespace with this inode, which process `pid` is in."""
        if namespace not in self._read:
            self._read[namespace] = sockets_in(self._proc, pid)
        return self._read[namespace]


def held_by(directory: Path) -> Iterator[int]:
    """The inode numbers of the sockets that a process (its directory in /proc) has open."""
    try:
        for name in os.listdir(directory / "fd"):
            target = os.readlink(directory / "fd" / name)
            if target.startswith("socket:["):
                yield int(target[8:-1])
    except OSError:
        return


def connections(sockets: list[Socket], holders: Mapping[int, str]) -> tuple[Connection, ...]:
    """The connections whose two ends are both in the pod; `holders` are containers by their sockets' inodes.

    The end that was called is the one whose port somebody listens at.
    """
    listening = {socket.port for socket in sockets if socket.listens}
    ends = {(_plain(s.local), _plain(s.remote)): s for s in sockets if s.state == _ESTABLISHED}
    found: Counter[tuple[str, str, int]] = Counter()
    for (local, remote), called in ends.items():
        calling = ends.get((remote, local))
        if calling is None or called.port not in listening or calling.port in listening:
            continue
        source, target = holders.get(calling.inode), holders.get(called.inode)
        if source is not None and target is not None:
            found[source, target, called.port] += 1
    return tuple(Connection(source, target, port, count) for (source, target, port), count in sorted(found.items()))


_MAPPED = "0000000000000000FFFF0000"


def _plain(address: str) -> str:
    """An IPv4 address that an IPv6 socket shows as a mapped one, as IPv4 (the other end may be of that kind)."""
    return address.removeprefix(_MAPPED)
