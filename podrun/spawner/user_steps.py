"""Steps of a plan around user namespaces: what the host does before a child gives up its privileges, and giving up.

    child (root of the host)              holder (only while NewUsers goes on)
      | -- fork ----------------------------> |
      |                                       |   unshare user and the other kinds
      | <------------------------ its errno --|
      |   write its uid_map and gid_map       |
      |   open its user namespace,            |
      |   join the other kinds                |
      | -- end of stream --------------------> |  ends

    child, JoinUsers                      sibling (process 1 of a pid namespace that the user namespace owns)
      |   setns user; root there              |
      | -- clone(CLONE_PARENT) --------------> |  waits
      | -- MOVED to the spawner               |
      | -- one byte -------------------------> |  goes on with the plan
      |   ends

The spawner is the parent of both, so a container stays its own child and nothing has to be a subreaper.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import struct
from typing import TYPE_CHECKING, NoReturn

from podrun.kernel import mounts, namespaces, paths, processes
from podrun.kernel.calls import KernelError
from podrun.kernel.flags import Clone, MountAttr, MountFlags, UmountFlags
from podrun.spawner import plan

if TYPE_CHECKING:
    from podrun.spawner.steps import Context

MOVED = b"M"
"""First byte of what a child says when another process takes its place; the rest is that one's pid."""


def new_users(step: plan.NewUsers, context: Context) -> None:
    """A user namespace can be mapped from outside only: a forked holder makes it and waits for that."""
    told, tell = os.pipe2(os.O_CLOEXEC)
    wait, release = os.pipe2(os.O_CLOEXEC)
    holder = os.fork()
    if holder == 0:
        os.close(release)
        _hold(step.kinds, tell, wait)
    try:
        os.close(tell)
        (number,) = struct.unpack("=i", os.read(told, 4) or struct.pack("=i", errno.ECHILD))
        if number:
            raise KernelError(number, "unshare", (step.kinds | Clone.USER).names())
        for kind in ("uid_map", "gid_map"):
            _write(f"/proc/{holder}/{kind}", f"0 {step.first} {step.count}\n")
        context.users = namespaces.open_namespace("user", holder)
        pidfd = processes.pidfd_open(holder)
        namespaces.setns(pidfd, step.kinds)
        os.close(pidfd)
    finally:
        for descriptor in (told, wait, release):
            os.close(descriptor)
        os.waitpid(holder, 0)


def _hold(kinds: Clone, tell: int, wait: int) -> NoReturn:
    number = 0
    try:
        namespaces.unshare(kinds | Clone.USER)
    except OSError as error:
        number = error.errno or errno.EPERM
    finally:
        os.write(tell, struct.pack("=i", number))
        os.read(wait, 1)
        os._exit(0)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    except OSError as error:
        raise KernelError(error.errno or 0, "write", path) from None
    finally:
        os.close(descriptor)


def detached(step: plan.Detached, context: Context) -> None:
    """A new file system with its device nodes, kept for `Bind`."""
    tree = mounts.new(step.type, dict(step.options), step.attributes)
    kinds = {"c": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
    for node in step.nodes:
        parent, _, _ = node.path.rpartition("/")
        if parent:
            _make_directories(tree, parent)
        os.mknod(node.path, kinds[node.kind] | node.mode, os.makedev(node.major, node.minor), dir_fd=tree)
        os.chmod(node.path, node.mode, dir_fd=tree)  # whatever the process' umask
        os.chown(node.path, node.uid, node.gid, dir_fd=tree, follow_symlinks=False)
    context.detached[step.name] = tree


def _make_directories(tree: int, path: str) -> None:
    parent, _, _ = path.rpartition("/")
    if parent:
        _make_directories(tree, parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o755, dir_fd=tree)


def idmapped_overlay(step: plan.IdmappedOverlay, context: Context) -> None:
    """Each layer is mounted idmapped at a number below ROOTFS while the overlay is made, which keeps what it needs.

    (overlayfs takes layers by path only, and before Linux 6.15 only such as are mounted somewhere. Names that short
    also leave room for every layer that overlayfs allows.)
    """
    scratch = mounts.new("tmpfs", {"mode": "700", "size": "1m"})
    mounts.move(scratch, plan.ROOTFS)
    os.fchdir(scratch)
    os.close(scratch)
    names = [str(index) for index in range(len(step.lower))]
    for name, path in zip(names, reversed(step.lower), strict=True):
        tree = mounts.open_tree(path, recursive=False)
        mounts.set_attributes(tree, set=MountAttr.IDMAP, user_namespace=context.passed[step.users])
        os.mkdir(name)
        mounts.move(tree, name)
        os.close(tree)
    os.mkdir("root")
    options = f"lowerdir={':'.join(names)}"
    if step.upper:
        options += f",upperdir={mounts.escaped(step.upper)},workdir={mounts.escaped(step.work)}"
    mounts.mount("overlay", "root", "overlay", MountFlags.NONE if step.upper else MountFlags.RDONLY, options)
    top = os.open("root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    wanted = paths.open_beneath(top, step.path or ".")
    context.detached[step.name] = mounts.open_tree("", wanted, recursive=False)
    os.close(wanted)
    os.close(top)
    os.chdir("/")
    mounts.umount(plan.ROOTFS, UmountFlags.DETACH)


def join_users(step: plan.JoinUsers, context: Context) -> None:
    """Become root there; with `new_pid`, only the sibling returns."""
    for stream in context.streams:
        _give(stream, step.owner)
    users = context.users if step.users is None else context.passed[step.users]
    namespaces.setns(users, Clone.USER)
    os.setgroups(())
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    if step.new_pid:
        assert context.report is not None
        _go_on_in_new_pid_namespace(context.report)


def _give(descriptor: int, owner: int) -> None:
    """Let the user open /dev/stdout again; /dev/null is nobody's, and a file system may have no owners."""
    status = os.fstat(descriptor)
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3):
        return
    try:
        os.fchown(descriptor, owner, -1)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EPERM, errno.EROFS):
            raise


def _go_on_in_new_pid_namespace(report: socket.socket) -> None:
    namespaces.unshare(Clone.PID)
    wait, release = os.pipe2(os.O_CLOEXEC)
    pid = processes.fork_sibling()
    if pid == 0:
        os.close(release)
        if not os.read(wait, 1):
            os._exit(255)  # the spawner does not know of this process and never will
        os.close(wait)
        os.setsid()
        return
    try:
        report.sendmsg([MOVED + str(pid).encode()], (), socket.MSG_NOSIGNAL)
        os.write(release, b"1")
    finally:
        os._exit(0)
