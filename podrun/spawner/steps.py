"""Carrying out a plan's steps in the forked child: one small function per step, nothing decided.

Only functions of podrun.kernel and os are called; nothing is imported, no thread or lock is touched.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from collections.abc import Callable
from typing import Any

from podrun.kernel import mounts, namespaces, paths
from podrun.kernel.calls import KernelError
from podrun.kernel.flags import Clone, MountAttr, MountFlags, UmountFlags
from podrun.spawner import plan, user_steps
from podrun.spawner.plan import Step

_NETLINK_ERROR, _NETLINK_DONE, _NEEDS_ACK, _HAS_ATTRIBUTES, _CAPPED = 2, 3, 0x4, 0x200, 0x100
_SOL_NETLINK, _NETLINK_EXT_ACK = 270, 11


class Context:
    """What steps share: the passed descriptors, and the root that paths are resolved in."""

    __slots__ = ("detached", "passed", "pivoted", "report", "root", "streams", "users")

    def __init__(
        self, passed: tuple[int, ...], streams: tuple[int, ...] = (), report: socket.socket | None = None
    ) -> None:
        self.passed = passed
        self.streams = streams
        self.report = report
        """Where the spawner listens."""
        self.root = -1
        self.pivoted = False
        self.users = -1
        """The user namespace that was made and not joined yet."""
        self.detached: dict[str, int] = {}
        """Mounts that wait for their place, by name."""

    def target(self, path: str, mode: int = 0o755) -> int:
        """A descriptor of the directory `path` to mount on: inside the root, made if missing."""
        if self.root < 0:
            return os.open(path, os.O_PATH | os.O_CLOEXEC)
        return paths.make_directory(self.root, path, mode)


def execute(step: Step, context: Context) -> None:
    """Do one step. Raises OSError (mostly KernelError) with the path it was about."""
    _STEPS[type(step)](step, context)


def _enter_cgroups(step: plan.EnterCgroups, context: Context) -> None:
    for index in step.procs:
        descriptor = context.passed[index]
        try:
            os.write(descriptor, b"0")
        except OSError as error:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            raise KernelError(error.errno or 0, "write", path) from None


def _setns(step: plan.Setns, context: Context) -> None:
    namespaces.setns(context.passed[step.fd], step.kinds)


def _unshare(step: plan.Unshare, context: Context) -> None:
    namespaces.unshare(step.kinds)
    if Clone.MNT in step.kinds:
        mounts.set_propagation("/", MountFlags.PRIVATE | MountFlags.REC)


def _netlink(step: plan.Netlink, context: Context) -> None:
    batch = bytearray(step.messages)
    for offset, index in step.descriptors:
        struct.pack_into("=I", batch, offset, context.passed[index])
    order = _sequence_numbers(batch)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, step.protocol) as sock:
        sock.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        sock.bind((0, 0))
        sock.sendall(batch)
        waiting = set(order)
        while waiting:
            answer = sock.recv(64 << 10)
            offset = 0
            while offset + 16 <= len(answer):
                length, kind, flags, sequence = struct.unpack_from("=IHHI", answer, offset)
                if kind == _NETLINK_ERROR:
                    (code,) = struct.unpack_from("=i", answer, offset + 16)
                    if code:
                        words = _refusal(answer[offset : offset + length], flags)
                        raise KernelError(-code, "netlink", f"message {order.get(sequence, -1)}{words}")
                    waiting.discard(sequence)
                offset += (length + 3) & ~3


def _sequence_numbers(batch: bytes | bytearray) -> dict[int, int]:
    """Sequence number -> index of each message that asks for an acknowledgement."""
    order: dict[int, int] = {}
    offset = index = 0
    while offset + 16 <= len(batch):
        length, _, flags, sequence = struct.unpack_from("=IHHI", batch, offset)
        if length < 16:
            raise KernelError(errno.EINVAL, "netlink", f"message {index}")
        if flags & _NEEDS_ACK:
            order[sequence] = index
        offset += (length + 3) & ~3
        index += 1
    return order


def _refusal(answer: bytes, flags: int) -> str:
    """The kernel's words (NLMSGERR_ATTR_MSG), if it gave any."""
    if not flags & _HAS_ATTRIBUTES:
        return ""
    (echoed,) = struct.unpack_from("=I", answer, 20)
    offset = 20 + (16 if flags & _CAPPED else (echoed + 3) & ~3)
    while offset + 4 <= len(answer):
        length, kind = struct.unpack_from("=HH", answer, offset)
        if kind & 0x3FFF == 1 and length > 4:
            return f": {answer[offset + 4 : offset + length].rstrip(bytes(1)).decode(errors='replace')}"
        offset += max(4, (length + 3) & ~3)
    return ""


def _hostname(step: plan.Hostname, context: Context) -> None:
    namespaces.set_hostname(step.name)


def _sysctl(step: plan.Sysctl, context: Context) -> None:
    name = step.name if "/" in step.name else step.name.replace(".", "/")
    if ".." in name.split("/"):
        raise KernelError(errno.EINVAL, "open", step.name)
    path = f"/proc/sys/{name}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, step.value.encode())
    except OSError as error:
        raise KernelError(error.errno or 0, "write", path) from None
    finally:
        os.close(descriptor)


def _overlay(step: plan.Overlay, context: Context) -> None:
    rest = list(step.options)
    if step.upper:
        rest += [f"upperdir={mounts.escaped(step.upper)}", f"workdir={mounts.escaped(step.work)}"]
    with mounts.lower_layers(step.lower[::-1], rest) as options:
        mounts.mount("overlay", step.target, "overlay", step.flags, options)


def _root(step: plan.Root, context: Context) -> None:
    context.root = os.open(step.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _mount(step: plan.Mount, context: Context) -> None:
    target = context.target(step.target, step.mode)
    try:
        where = step.target if context.pivoted or context.root < 0 else f"/proc/self/fd/{target}"
        mounts.mount(step.source or step.type, where, step.type, step.flags, step.options)
    except KernelError as error:
        raise KernelError(error.errno or 0, error.call, step.target) from None
    finally:
        os.close(target)


def _bind(step: plan.Bind, context: Context) -> None:
    if step.ready:
        tree = context.detached.pop(step.ready)
    elif step.source is not None:
        tree = context.passed[step.source]
    elif step.inside:
        where = paths.open_in_root(context.root, step.path)
        tree = mounts.open_tree("", where, recursive=step.recursive)
        os.close(where)
    else:
        tree = mounts.open_tree(step.path, recursive=step.recursive)
    if step.set or step.clear:
        mounts.set_attributes(tree, set=step.set, clear=step.clear, recursive=step.attributes_recursive)
    if step.propagation:
        propagation = step.propagation & ~MountFlags.REC
        mounts.set_attributes(tree, propagation=propagation, recursive=MountFlags.REC in step.propagation)
    if stat.S_ISDIR(os.fstat(tree).st_mode):
        target = context.target(step.target)
    else:
        target = paths.make_file(context.root, step.target)
    mounts.attach(tree, target, step.target)
    os.close(target)
    os.close(tree)


def _bind_from(step: plan.BindFrom, context: Context) -> None:
    own = namespaces.open_namespace("mnt")
    namespaces.setns(context.passed[step.fd], Clone.MNT)
    try:
        tree = mounts.open_tree(step.path)
    finally:
        namespaces.setns(own, Clone.MNT)
        os.close(own)
    target = context.target(step.target)
    mounts.attach(tree, target, step.target)
    os.close(target)
    os.close(tree)


def _directory(step: plan.Directory, context: Context) -> None:
    try:
        os.close(paths.open_in_root(context.root, step.path, os.O_PATH | os.O_DIRECTORY))
    except KernelError as error:
        if error.errno != errno.ENOENT:
            raise
    else:
        return
    descriptor = paths.make_directory(context.root, step.path, step.mode)
    made = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=descriptor)
    os.fchown(made, step.uid, step.gid)
    os.fchmod(made, step.mode)
    os.close(made)
    os.close(descriptor)


def _file(step: plan.File, context: Context) -> None:
    os.close(paths.make_file(context.root, step.path, step.mode))
    if not step.data:
        return
    descriptor = paths.open_in_root(context.root, step.path, os.O_WRONLY | os.O_TRUNC)
    try:
        os.write(descriptor, step.data)
        os.fchmod(descriptor, step.mode)
    finally:
        os.close(descriptor)


def _in_parent(path: str, context: Context, make: Callable[[str, int], None]) -> None:
    """Make an entry in its parent directory (made if missing); an existing one stays."""
    parent, name = paths.parent_and_name(path)
    where = paths.make_directory(context.root, parent)
    try:
        make(name, where)
    except FileExistsError:
        pass
    finally:
        os.close(where)


def _symlink(step: plan.Symlink, context: Context) -> None:
    _in_parent(step.path, context, lambda name, where: os.symlink(step.to, name, dir_fd=where))


def _device(step: plan.Device, context: Context) -> None:
    kinds = {"c": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}

    def make(name: str, where: int) -> None:
        os.mknod(name, kinds[step.kind] | step.mode, os.makedev(step.major, step.minor), dir_fd=where)
        os.chmod(name, step.mode, dir_fd=where)  # whatever the process' umask
        if step.uid or step.gid:
            os.chown(name, step.uid, step.gid, dir_fd=where, follow_symlinks=False)

    _in_parent(step.path, context, make)


def _mask(step: plan.Mask, context: Context) -> None:
    empty = -1
    for path in step.paths:
        try:
            target = paths.open_in_root(context.root, path)
        except KernelError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                continue
            raise
        if not stat.S_ISDIR(os.fstat(target).st_mode):
            tree = mounts.open_tree("/dev/null", recursive=False)
        elif empty < 0:
            tree = mounts.new("tmpfs", {"size": "0k", "mode": "755"}, MountAttr.RDONLY)
            empty = tree
        else:
            tree = mounts.open_tree("", empty, recursive=False)
        mounts.attach(tree, target, path)
        os.close(target)
        if tree != empty:
            os.close(tree)
    if empty >= 0:
        os.close(empty)


def _read_only(step: plan.ReadOnly, context: Context) -> None:
    for path in step.paths:
        try:
            target = paths.open_in_root(context.root, path)
        except KernelError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                continue
            raise
        tree = mounts.open_tree("", target, recursive=True)
        mounts.set_attributes(tree, set=MountAttr.RDONLY, recursive=step.recursive)
        mounts.attach(tree, target, path)
        os.close(tree)
        os.close(target)


def _attributes(step: plan.Attributes, context: Context) -> None:
    target = paths.open_in_root(context.root, step.path)
    mounts.set_attributes(
        target, set=step.set, clear=step.clear, propagation=step.propagation, recursive=step.recursive
    )
    os.close(target)


def _pivot_root(step: plan.PivotRoot, context: Context) -> None:
    """The old root is mounted over the new one for a moment and detached: no directory is needed for it."""
    os.fchdir(context.root)
    mounts.pivot_root(".", ".")
    mounts.umount(".", UmountFlags.DETACH)
    os.chdir("/")
    os.close(context.root)
    context.root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    context.pivoted = True


_STEPS: dict[type, Callable[[Any, Context], None]] = {
    plan.EnterCgroups: _enter_cgroups,
    plan.Setns: _setns,
    plan.Unshare: _unshare,
    plan.Netlink: _netlink,
    plan.Hostname: _hostname,
    plan.Sysctl: _sysctl,
    plan.Overlay: _overlay,
    plan.Root: _root,
    plan.Mount: _mount,
    plan.Bind: _bind,
    plan.BindFrom: _bind_from,
    plan.Directory: _directory,
    plan.File: _file,
    plan.Symlink: _symlink,
    plan.Device: _device,
    plan.Mask: _mask,
    plan.ReadOnly: _read_only,
    plan.Attributes: _attributes,
    plan.PivotRoot: _pivot_root,
    plan.NewUsers: user_steps.new_users,
    plan.Detached: user_steps.detached,
    plan.IdmappedOverlay: user_steps.idmapped_overlay,
    plan.JoinUsers: user_steps.join_users,
}
