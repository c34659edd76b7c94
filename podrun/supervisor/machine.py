"""Facts of the machine that the Node tells and that pods are measured against."""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from podrun.lifecycle.naming import Resolver
from podrun.network.pods import OWN_ADDRESSES

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_UPSTREAMS = Path("/run/systemd/resolve/resolv.conf")
_EVICTION_MEMORY = 100 << 20
"""Memory kept from pods, as the kubelet's default hard eviction threshold (memory.available<100Mi)."""

MAX_PODS = 110
"""The kubelet's default; more share one machine in name only."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Taken once at start; sizes in bytes."""

    hostname: str
    addresses: tuple[str, ...]
    cpus: int
    memory: int
    disk: int
    architecture: str
    kernel: str
    os_image: str
    boot_id: str
    machine_id: str
    app_armor: bool
    user_namespaces: bool = False

    @classmethod
    def look(cls, root: Path) -> Machine:
        """The machine as it is; `root` is a directory on the file system that pods write to."""
        while not root.exists():
            root = root.parent
        return cls(
            hostname=socket.gethostname().lower(),
            addresses=addresses(),
            cpus=len(os.sched_getaffinity(0)),
            memory=psutil.virtual_memory().total,
            disk=shutil.disk_usage(root).total,
            architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
            kernel=platform.release(),
            os_image=_os_release().get("PRETTY_NAME", "Linux"),
            boot_id=_read("/proc/sys/kernel/random/boot_id"),
            machine_id=_read("/etc/machine-id") or uuid.uuid5(uuid.NAMESPACE_DNS, socket.gethostname()).hex,
            app_armor=_read("/sys/module/apparmor/parameters/enabled") == "Y",
            user_namespaces=_user_namespaces(platform.release()),
        )

    @property
    def capacity(self) -> Mapping[str, str]:
        """status.capacity"""
        return {
            "cpu": str(self.cpus),
            "ephemeral-storage": f"{self.disk // 1024}Ki",
            "hugepages-1Gi": "0",
            "hugepages-2Mi": "0",
            "memory": f"{self.memory // 1024}Ki",
            "pods": str(MAX_PODS),
        }

    @property
    def allocatable(self) -> Mapping[str, str]:
        """status.allocatable: less what a kubelet keeps back by default."""
        return {
            **self.capacity,
            "ephemeral-storage": str(int(self.disk // 1024 * 1024 * 0.9)),
            "memory": f"{(self.memory - _EVICTION_MEMORY) // 1024}Ki",
        }


def _user_namespaces(release: str) -> bool:
    """Whether pods can have their own: the administrator allows them, and tmpfs can be idmapped (Linux 6.3)."""
    version = tuple(int(part) for part in re.findall(r"\d+", release)[:2])
    return version >= (6, 3) and _read("/proc/sys/user/max_user_namespaces") not in ("", "0")


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _os_release() -> dict[str, str]:
    lines = (line.partition("=") for line in _read("/etc/os-release").splitlines())
    return {name: value.strip('"') for name, _, value in lines}


def addresses() -> tuple[str, ...]:
    """The address that leads out, else the first that is neither loopback's nor our own, else 127.0.0.1."""
    candidates: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # no packet is sent: the kernel only chooses a source address
            candidates.append(str(probe.getsockname()[0]))
        except OSError:
            pass  # there is no way out
    for found in psutil.net_if_addrs().values():
        candidates += [entry.address for entry in found if entry.family == socket.AF_INET]
    for address in candidates:
        if not address.startswith("127.") and address not in map(str, OWN_ADDRESSES):
            return (address,)
    return ("127.0.0.1",)


def resolver(path: Path = Path("/etc/resolv.conf"), upstreams: Path = _UPSTREAMS) -> Resolver:
    """The machine's resolv.conf; where it names a stub on loopback, which no pod can reach, systemd's own upstreams."""
    found = _parse(path)
    if any(server.startswith("127.") or server == "::1" for server in found.nameservers) and upstreams.exists():
        behind = _parse(upstreams)
        return Resolver(behind.nameservers, found.searches or behind.searches, found.options)
    return found


def _parse(path: Path) -> Resolver:
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return Resolver()
    words = [line for line in lines if len(line) > 1 and not line[0].startswith(("#", ";"))]
    searches = [tuple(rest) for key, *rest in words if key in ("search", "domain")]
    return Resolver(
        tuple(rest[0] for key, *rest in words if key == "nameserver"),
        tuple(s for s in (searches[-1] if searches else ()) if s != "."),
        tuple(option for key, *rest in words if key == "options" for option in rest),
    )
