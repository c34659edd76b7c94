"""Into other namespaces, and out of the root by mounts."""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path

from tests.security.inside.ways import HOST_KEY, HOST_PID, MARKER, NEW_NAMESPACES, SCRATCH, Held, call, granted, way


@way()
def unshare_users() -> str:
    """unshare(2); a user namespace gives every capability in it: CVE-2022-0185, CVE-2022-0492 begin so."""
    return granted("unshare", NEW_NAMESPACES["user"])


@way()
def unshare_mounts() -> str:
    """unshare(2): a mount namespace of its own, to mount in."""
    return granted("unshare", NEW_NAMESPACES["mount"])


@way()
def unshare_cgroups() -> str:
    """cgroup_namespaces(7): a new root of cgroups, the second step of CVE-2022-0492."""
    return granted("unshare", NEW_NAMESPACES["cgroup"])


@way()
def clone_users() -> str:
    """clone(2) with CLONE_NEWUSER, which a filter of unshare alone forgets (moby issue 42441)."""
    child = call("clone", NEW_NAMESPACES["user"] | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "a child in a user namespace"


@way()
def clone3_users() -> str:
    """clone3(2) hides its flags behind a pointer, where seccomp cannot see them (containerd's answer is ENOSYS)."""
    return granted("clone3", None, 0)


@way()
def enter_namespaces_of_the_first_process() -> str:
    """setns(2) into the mount namespace of process 1."""
    with open("/proc/1/ns/mnt") as file:
        return granted("setns", file.fileno(), 0)


@way(control=False)
def enter_a_user_namespace_above() -> str:
    """ioctl_ns(2), NS_GET_USERNS and NS_GET_PARENT: descriptors of namespaces that lie around this one."""
    with open("/proc/self/ns/user") as file:
        parent = fcntl.ioctl(file.fileno(), 0xB702)
    return f"descriptor {parent} of the user namespace above"


@way()
def signal_a_process_of_the_host() -> str:
    """pid_namespaces(7)."""
    os.kill(HOST_PID, 0)
    return f"process {HOST_PID} of the host can be signalled"


@way()
def shared_memory_of_the_host() -> str:
    """ipc_namespaces(7)."""
    return f"segment {call('shmget', HOST_KEY, 0, 0)} of the host"


@way()
def mount_tmpfs() -> str:
    """mount(2)."""
    return granted("mount", b"none", b"/nonexistent", b"tmpfs", 0, None)


@way()
def mount_proc_again() -> str:
    """A second, unmasked /proc (CVE-2015-3630 and the like)."""
    return granted("mount", b"proc", b"/nonexistent", b"proc", 0, None)


@way()
def mount_cgroups() -> str:
    """A cgroup v1 hierarchy with its release_agent (Felix Wilhelm, 2019; CVE-2022-0492)."""
    return granted("mount", b"cgroup", b"/nonexistent", b"cgroup", 0, b"memory")


@way()
def remount_proc_sys_writable() -> str:
    """mount(2), MS_REMOUNT | MS_BIND over what is read-only."""
    return granted("mount", None, b"/proc/sys", None, 32 | 4096, None)


@way()
def bind_over_proc() -> str:
    """mount(2), MS_BIND: a file of ours in the place of one of /proc's (CVE-2019-16884)."""
    return granted("mount", b"/etc", b"/proc/self/nonexistent", None, 4096, None)


@way()
def unmount_a_mask() -> str:
    """umount2(2) of what covers /proc/kcore."""
    return granted("umount2", b"/proc/kcore", 0)


@way()
def pivot_the_root() -> str:
    """pivot_root(2)."""
    return granted("pivot_root", b"/nonexistent", b"/nonexistent")


@way()
def open_a_file_system() -> str:
    """fsopen(2), the beginning of CVE-2022-0185."""
    return granted("fsopen", b"nonexistent", 0)


@way()
def pick_a_file_system() -> str:
    """fspick(2): reconfigure what is mounted."""
    return granted("fspick", -100, b"/nonexistent", 0)


@way()
def clone_a_tree_of_mounts() -> str:
    """open_tree(2), OPEN_TREE_CLONE."""
    return granted("open_tree", -100, b"/nonexistent", 1)


@way()
def move_a_mount() -> str:
    """move_mount(2)."""
    return granted("move_mount", -100, b"/nonexistent", -100, b"/nonexistent", 0)


@way()
def change_attributes_of_a_mount() -> str:
    """mount_setattr(2): take read-only and nosuid away."""
    return granted("mount_setattr", -100, b"/nonexistent", 0, bytes(32), 32)


@way(control=False)
def leave_a_chroot() -> str:
    """chroot(2): a process whose directory is outside its root walks up; CAP_SYS_CHROOT is a default capability."""
    inner = SCRATCH / "inner"
    inner.mkdir(exist_ok=True)
    os.chdir("/")
    os.chroot(inner)
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")
    if not Path(MARKER).exists():
        raise Held(f"what lies above is the container's own root: {sorted(os.listdir('/'))[:4]}")
    return f"{MARKER} of the host"
