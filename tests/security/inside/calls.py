"""System calls that no container needs, and privileges that it was not given."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import resource
import struct
from pathlib import Path

from tests.security.inside.ways import LIBC, NEW_NAMESPACES, SCRATCH, X86, Held, granted, way


@way()
def bpf() -> str:
    """bpf(2); CVE-2021-31440, CVE-2022-23222."""
    return granted("bpf", 0, None, 0)


@way()
def perf_events() -> str:
    """perf_event_open(2); CVE-2023-5717."""
    return granted("perf_event_open", None, 0, -1, -1, 0)


@way()
def io_uring() -> str:
    """io_uring_setup(2), which makes calls that seccomp does not see; CVE-2023-2598."""
    return granted("io_uring_setup", 0, None)


@way()
def userfaultfd() -> str:
    """userfaultfd(2), which stops the kernel in the middle of a copy; CVE-2021-22555 used it."""
    return granted("userfaultfd", 1 << 20)


@way(control=False)
def fanotify() -> str:
    """fanotify_init(2) of a whole file system."""
    return granted("fanotify_init", 1 << 30, 0)


@way()
def keyrings() -> str:
    """keyctl(2): keyrings belong to users, not to namespaces (Docker's default profile says why)."""
    return granted("keyctl", 0, -4, 0, 0, 0)


@way()
def add_a_key() -> str:
    """add_key(2)."""
    return granted("add_key", None, None, None, 0, 0)


@way()
def request_a_key() -> str:
    """request_key(2): has the kernel start /sbin/request-key."""
    return granted("request_key", None, None, None, 0)


@way(control=False)
def load_a_kernel() -> str:
    """kexec_load(2)."""
    return granted("kexec_load", 0, 1 << 16, None, 0)


@way()
def load_a_module() -> str:
    """init_module(2), finit_module(2)."""
    with contextlib.suppress(PermissionError):
        return granted("init_module", None, 0, b"")
    return granted("finit_module", -1, b"", 0)


@way(control=False)
def unload_a_module() -> str:
    """delete_module(2)."""
    return granted("delete_module", b"nonexistent_podrun_module", 0x800)


@way()
def reboot() -> str:
    """reboot(2), with a magic number that is none."""
    return granted("reboot", 1, 2, 3, None)


@way()
def set_the_clock() -> str:
    """settimeofday(2), to no time at all."""
    return granted("settimeofday", None, None)


@way()
def discipline_the_clock() -> str:
    """adjtimex(2), to a tick that is none; asking is free to everybody."""
    return granted("adjtimex", struct.pack("I", 0x4000).ljust(208, bytes(1)))


@way()
def swap() -> str:
    """swapon(2), swapoff(2)."""
    with contextlib.suppress(PermissionError):
        return granted("swapon", b"/nonexistent", 0)
    return granted("swapoff", b"/nonexistent")


@way(control=False)
def accounting() -> str:
    """acct(2): writes of every process that ends, to a file of our choice."""
    return granted("acct", b"/nonexistent")


@way()
def name_of_the_machine() -> str:
    """sethostname(2), setdomainname(2)."""
    with contextlib.suppress(PermissionError):
        return granted("sethostname", None, 1000)
    return granted("setdomainname", None, 1000)


@way()
def personality() -> str:
    """personality(2): without randomised addresses (Docker's default profile)."""
    return granted("personality", 0x0040000)


@way()
def open_by_handle() -> str:
    """open_by_handle_at(2): any inode of the file system that holds /etc/hosts (shocker, Sebastian Krahmer, 2014)."""
    with open("/etc/hosts") as file:
        handle = struct.pack("IiQ", 8, 1, 2)
        return granted("open_by_handle_at", file.fileno(), handle, 0)


@way(control=False)
def calls_of_other_architectures() -> str:
    """seccomp(2), "Caveats": int 0x80 makes i386's calls, bit 30 makes x32's; a filter must know of both."""
    if not X86:
        raise Held("this architecture has no second table")
    reached = _int80(310, NEW_NAMESPACES["user"])  # unshare
    if reached not in (-errno.EPERM, -errno.ENOSYS):
        return f"unshare by int 0x80 returned {reached}"
    done = LIBC.syscall(ctypes.c_long(0x40000000 + 272), ctypes.c_long(NEW_NAMESPACES["user"]))
    if done != -1:
        return "unshare by x32"
    raise Held(f"i386: {errno.errorcode[-reached]}, x32: {errno.errorcode[ctypes.get_errno()]}")


def _int80(number: int, argument: int) -> int:
    """A system call of i386 with one argument."""
    code = b"\x53\xb8" + struct.pack("<I", number) + b"\xbb" + struct.pack("<I", argument) + b"\xcd\x80\x5b\xc3"
    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    return int(function())


@way()
def limits_of_a_process() -> str:
    """setrlimit(2): more than it was given (CAP_SYS_RESOURCE)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
    try:
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (soft, hard + 4096))
    except ValueError as error:  # how the module says EPERM
        raise PermissionError(errno.EPERM, str(error)) from error
    return "a limit was raised"


@way()
def priority() -> str:
    """setpriority(2): before every other process (CAP_SYS_NICE)."""
    os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) - 5)
    return "a higher priority"


@way()
def attributes_of_the_overlay() -> str:
    """xattr(7), trusted.overlay.redirect: a directory that stands for another of the lower layers."""
    os.setxattr(SCRATCH, "trusted.overlay.redirect", b"/")
    os.removexattr(SCRATCH, "trusted.overlay.redirect")
    return "trusted attributes can be set"


@way()
def files_that_nobody_can_remove() -> str:
    """ioctl_iflags(2), FS_IMMUTABLE_FL on a volume, which the host could then not clean up."""
    path = SCRATCH / "immutable"
    with path.open("w") as file:
        flags = struct.unpack("L", fcntl.ioctl(file, 0x80086601, bytes(8)))[0]
        fcntl.ioctl(file, 0x40086602, struct.pack("L", flags | 0x10))
        fcntl.ioctl(file, 0x40086602, struct.pack("L", flags))
    return "a file was immutable"


@way(control=False)
def capabilities_beyond_the_bounding_set() -> str:
    """capabilities(7): what the bounding set lacks cannot come back by executing anything."""
    status = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    more = {name: int(status[name], 16) & ~0xA80425FB for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")}
    beyond = {name: f"{value:x}" for name, value in more.items() if value}
    if beyond:
        return f"capabilities {beyond}"
    raise Held("containerd's fourteen, and none inherited")
