"""Which pod has which address: one per pod uid, kept on disk; each sandbox of the pod has another, as in a cluster.

A file per address under `directory`, named after it and holding the uid. The next address is the one after the last
given, so that an address rests as long as possible before another pod has it (a client's cache may still know it).
"""

from __future__ import annotations

import ipaddress
from pathlib import Path

from podrun.network.netlink import IPv4


class AddressesExhausted(Exception):
    """Every address of the range belongs to a pod."""


class Addresses:
    """The pod range's addresses. The first (network) and last (broadcast) are never given."""

    def __init__(self, directory: Path, range: ipaddress.IPv4Network) -> None:
        self._directory = directory
        self._range = range
        self._of_uid: dict[str, IPv4] = {}
        self._taken: set[IPv4] = set()
        self._last = range.network_address
        directory.mkdir(parents=True, exist_ok=True)
        newest = 0.0
        for entry in directory.iterdir():
            try:
                ip = IPv4(entry.name)
            except ValueError:
                continue  # not ours
            self._of_uid[entry.read_text()] = ip
            self._taken.add(ip)
            if ip in range and entry.stat().st_mtime > newest:
                newest, self._last = entry.stat().st_mtime, ip

    def reserve(self, uid: str) -> IPv4:
        """Another address for the pod than it may have had. Raises AddressesExhausted, OSError."""
        former = self._of_uid.get(uid)
        first, size = int(self._range.network_address), self._range.num_addresses
        for step in range(1, size + 1):
            ip = IPv4(first + (int(self._last) - first + step) % size)
            if ip in (self._range.network_address, self._range.broadcast_address) or ip in self._taken:
                continue
            temporary = self._directory / f".{ip}"
            temporary.write_text(uid)
            temporary.rename(self._directory / str(ip))
            self._of_uid[uid], self._last = ip, ip
            self._taken.add(ip)
            if former is not None:
                self._give_back(former)
            return ip
        raise AddressesExhausted(f"no address left in {self._range}: {len(self._taken)} pods have one")

    def of(self, uid: str) -> IPv4 | None:
        """The pod's address, if it has one."""
        return self._of_uid.get(uid)

    def owners(self) -> dict[str, IPv4]:
        """uid -> address, of all."""
        return dict(self._of_uid)

    def release(self, uid: str) -> None:
        """Let others have it; nothing happens when there is none."""
        ip = self._of_uid.pop(uid, None)
        if ip is not None:
            self._give_back(ip)

    def _give_back(self, ip: IPv4) -> None:
        self._taken.discard(ip)
        (self._directory / str(ip)).unlink(missing_ok=True)
