"""What stands in a container's root before its own program does: file systems, devices, links, and what is hidden.

The lists are containerd's defaults (the Open Container Initiative's runtime specification, "config-linux").
"""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

from podrun.cgroups.hierarchy import Hierarchies
from podrun.kernel.flags import MountAttr, MountFlags
from podrun.spawner.plan import (
    Attributes,
    Bind,
    Detached,
    Device,
    Directory,
    File,
    Mask,
    Mount,
    ReadOnly,
    Step,
    Symlink,
)

_NOSUID, _NODEV, _NOEXEC = MountFlags.NOSUID, MountFlags.NODEV, MountFlags.NOEXEC
_RDONLY, _STRICTATIME = MountFlags.RDONLY, MountFlags.STRICTATIME
_ALL = _NOSUID | _NODEV | _NOEXEC
_TTY_GROUP = 5

MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_NODES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
_LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
)


def file_systems(*, terminal: bool, own_users: bool = False) -> list[Step]:
    """/proc, /dev with its nodes, /dev/pts and /dev/mqueue. The namespaces must have been entered.

    With `own_users` /dev (`devices`) and /sys (`detached_sys`) have been made before that and are put in place.
    """
    steps: list[Step] = [Mount("proc", "/proc", _ALL, source="proc")]
    if own_users:
        steps += [Bind("/dev", ready="/dev"), Bind("/sys", ready="/sys")]
    else:
        steps.append(Mount("tmpfs", "/dev", _NOSUID | _STRICTATIME, "mode=755,size=65536k", source="tmpfs"))
        steps += [Device(f"/dev/{name}", "c", major, minor) for name, major, minor in _NODES]
    steps += [
        Mount(
            "devpts",
            "/dev/pts",
            _NOSUID | _NOEXEC,
            f"newinstance,ptmxmode=0666,mode=0620,gid={_TTY_GROUP}",
            source="devpts",
        ),
        Mount("mqueue", "/dev/mqueue", _ALL, source="mqueue"),
    ]
    steps += [Symlink(path, to) for path, to in _LINKS]
    if terminal:
        steps.append(File("/dev/console"))
    return steps


def sys(*, privileged: bool) -> Mount:
    """/sys of the network namespace that was entered."""
    return Mount("sysfs", "/sys", _ALL if privileged else _ALL | _RDONLY, source="sysfs")


def detached_sys(*, privileged: bool) -> Detached:
    """The same, mounted by the host for a user namespace."""
    attributes = MountAttr.NOSUID | MountAttr.NODEV | MountAttr.NOEXEC
    return Detached("/sys", "sysfs", (), attributes if privileged else attributes | MountAttr.RDONLY)


def devices(root: int, *, privileged: bool) -> Detached:
    """/dev for a user namespace, which cannot make devices: its own root's, whose number on the host is `root`."""
    nodes = [Device(name, "c", major, minor, uid=root, gid=root) for name, major, minor in _NODES]
    if privileged:
        found = (step for step in host_devices() if isinstance(step, Device))
        known = {f"/dev/{node.path}" for node in nodes}
        nodes += [replace(node, path=node.path.removeprefix("/dev/")) for node in found if node.path not in known]
    options = (("mode", "755"), ("size", "65536k"), ("uid", str(root)), ("gid", str(root)))
    return Detached("/dev", "tmpfs", options, MountAttr.NOSUID | MountAttr.STRICTATIME, tuple(nodes))


def cgroup_view(machine: Hierarchies, *, privileged: bool) -> list[Step]:
    """/sys/fs/cgroup as the container's cgroup namespace shows it: one tree on v2, the limits' trees on v1."""
    flags = _ALL if privileged else _ALL | _RDONLY
    if machine.unified is not None and not machine.legacy:
        return [Mount("cgroup2", "/sys/fs/cgroup", flags, source="cgroup")]
    names = {path.name: None for path in machine.legacy.values()}
    steps: list[Step] = [Mount("tmpfs", "/sys/fs/cgroup", _ALL, "mode=755,size=64k", source="tmpfs")]
    for name in names:
        steps.append(Mount("cgroup", f"/sys/fs/cgroup/{name}", flags, name, source="cgroup"))
        steps += [Symlink(f"/sys/fs/cgroup/{part}", name) for part in name.split(",") if part != name]
    if not privileged:
        steps.append(Attributes("/sys/fs/cgroup", MountAttr.RDONLY))
    return steps


def hidden() -> list[Step]:
    """What an ordinary container can neither read nor change of /proc and /sys."""
    return [Mask(MASKED), ReadOnly(READ_ONLY)]


def host_devices(directory: Path = Path("/dev")) -> list[Step]:
    """Every device node of the host, for a privileged container. Terminals, shm and mqueue are the container's own."""
    steps: list[Step] = []
    for top, directories, files in os.walk(directory):
        directories[:] = [name for name in directories if name not in ("pts", "shm", "fd", "mqueue", ".lxc")]
        for name in files:
            path = Path(top, name)
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            if name in ("console", "ptmx", "tty") or not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
                continue
            target = f"/dev/{path.relative_to(directory)}"
            major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
            kind = "c" if stat.S_ISCHR(status.st_mode) else "b"
            mode = stat.S_IMODE(status.st_mode)
            steps.append(Directory(str(Path(target).parent)))
            steps.append(Device(target, "c" if kind == "c" else "b", major, minor, mode, status.st_uid, status.st_gid))
    return steps
