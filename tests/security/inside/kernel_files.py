"""The kernel's files below /proc and /sys, and devices."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.security.inside.ways import SCRATCH, Held, granted, way, writable


@way()
def core_pattern() -> str:
    """core(5): a pipe in core_pattern is a program that the kernel starts as root in the host's namespaces."""
    return writable("/proc/sys/kernel/core_pattern")


@way()
def modprobe_path() -> str:
    """/proc/sys/kernel/modprobe is started as root when an unknown format is executed."""
    return writable("/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug")


@way()
def sysrq() -> str:
    """/proc/sysrq-trigger reboots, crashes and kills (admin-guide/sysrq)."""
    return writable("/proc/sysrq-trigger")


@way(control=False)
def binfmt_misc() -> str:
    """admin-guide/binfmt-misc: an interpreter for everybody's files."""
    return writable("/proc/sys/fs/binfmt_misc/register")


@way(control=False)
def uevent_helper() -> str:
    """/sys/kernel/uevent_helper is started as root at the next event of a device."""
    return writable("/sys/kernel/uevent_helper", "/sys/kernel/uevent_seqnum")


@way(control=False)
def release_agent() -> str:
    """cgroups(7): started as root when a cgroup is empty (CVE-2022-0492)."""
    found = list(Path("/sys/fs/cgroup").rglob("release_agent"))
    if not found:
        raise Held("no hierarchy shows its root")
    return writable(*map(str, found))


@way(control=False)
def limits_of_its_own_cgroup() -> str:
    """cgroups(7): a container that sets its own limits has none."""
    names = ("cgroup.procs", "memory.max", "memory.limit_in_bytes", "pids.max", "cpu.max", "devices.allow", "tasks")
    found = [path for name in names for path in Path("/sys/fs/cgroup").rglob(name)]
    if not found:
        raise Held("no cgroup is shown")
    return writable(*map(str, found))


@way(control=False)
def cgroup_of_its_own() -> str:
    """mkdir in every hierarchy that is shown."""
    for top in ("/sys/fs/cgroup", *map(str, Path("/sys/fs/cgroup").glob("*/"))):
        with contextlib.suppress(OSError):
            os.mkdir(f"{top}/inner")
            os.rmdir(f"{top}/inner")
            return f"a cgroup below {top}"
    raise Held("every hierarchy is read-only")


@way()
def anything_writable_of_the_kernels() -> str:
    """What is not its own in /proc and /sys, tried file by file with access(2)."""
    for top in ("/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/proc/scsi", "/sys/power"):
        for path in _files(top):
            if os.access(path, os.W_OK, follow_symlinks=False):
                return f"{path} can be written"
    for top in ("/sys/module", "/sys/kernel", "/sys/block", "/sys/fs"):
        for path in _files(top, most=300):
            if os.access(path, os.W_OK):
                return f"{path} can be written"
    raise Held("nothing")


def _files(top: str, most: int = 100_000) -> Iterator[str]:
    """Those that a mode lets root write: the others say no in a privileged container too."""
    for directory, _, names in os.walk(top):
        for name in names:
            path = f"{directory}/{name}"
            with contextlib.suppress(OSError):
                if os.lstat(path).st_mode & 0o200:
                    most -= 1
                    yield path
            if most < 0:
                return


@way()
def secrets_of_the_kernel() -> str:
    """What runc and containerd mask: memory, keys, timers, firmware."""
    names = ("kcore", "keys", "timer_list", "sched_debug", "latency_stats", "interrupts")
    for path in [*(f"/proc/{name}" for name in names), *_files("/sys/firmware", 20), *_files("/proc/acpi", 20)]:
        with contextlib.suppress(OSError), open(path, "rb") as file:
            if file.read(16):
                return f"{path} can be read"
    raise Held("all of them are empty or not there")


@way()
def log_of_the_kernel() -> str:
    """syslog(2), /dev/kmsg: addresses, other pods' OOM kills."""
    return granted("syslog", 10, None, 0)


@way()
def invulnerable_to_the_oom_killer() -> str:
    """proc_pid_oom_score_adj(5): lower than it was given."""
    Path("/proc/self/oom_score_adj").write_text("-1000")
    return "it is never killed"


@way()
def disks() -> str:
    """mknod(2) of every disk in /proc/partitions, in the root and on a volume; CAP_MKNOD is a default capability."""
    numbers = [tuple(map(int, line.split()[:2])) for line in Path("/proc/partitions").read_text().splitlines()[2:]]
    return _devices(stat.S_IFBLK, numbers or [(8, 0), (252, 0), (253, 0), (254, 0), (259, 0)])


@way()
def devices_of_the_machine() -> str:
    """mknod(2) of memory, ports, the kernel's log, tun, loop, fuse, kvm, vhost, a virtual console, watchdogs."""
    numbers = [
        (1, 1),
        (1, 4),
        (1, 11),
        (10, 200),
        (10, 229),
        (10, 232),
        (10, 237),
        (10, 238),
        (4, 0),
        (10, 130),
        (7, 0),
    ]
    return _devices(stat.S_IFCHR, numbers)


def _devices(kind: int, numbers: Sequence[tuple[int, ...]]) -> str:
    refused: OSError | None = None
    for major, minor in numbers:
        for directory in (Path("/dev"), SCRATCH, Path("/root")):
            path = directory / f"device-{os.getpid()}"
            try:
                os.mknod(path, kind | 0o600, os.makedev(major, minor))
                os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
            except OSError as error:
                refused = error
            else:
                return f"{'block' if kind == stat.S_IFBLK else 'character'} device {major}:{minor} below {directory}"
            finally:
                path.unlink(missing_ok=True)
    assert refused is not None
    raise refused


@way()
def devices_that_are_there() -> str:
    """/dev has only what containers have, and each of it is harmless."""
    harmless = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)}
    for directory, _, names in os.walk("/dev"):
        for name in names:
            found = os.lstat(f"{directory}/{name}")
            number = os.major(found.st_rdev), os.minor(found.st_rdev)
            if stat.S_ISBLK(found.st_mode) or (
                stat.S_ISCHR(found.st_mode) and number not in harmless and not 136 <= number[0] <= 143
            ):
                return f"{directory}/{name} is device {number}"
    raise Held("only null, zero, full, random, tty and terminals of its own")
