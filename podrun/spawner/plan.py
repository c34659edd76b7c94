"""The steps a forked child carries out, in order, before it becomes the container: plans as data.

podrund makes the list; the child executes it (see `steps.py`) and, when a step fails, says which one, with errno and
path, and ends. Nothing here decides anything.

The child starts in the spawner's own mount namespace, which holds little: /proc, /sys, /dev/null, the directories given
to the spawner as visible (the state directory) at their own paths, and an empty directory `ROOTFS` to mount a root on.
What lies elsewhere on the host (a hostPath) comes as a descriptor that podrund made in the host's mount namespace.

`Passed` is the index of a descriptor in the list that came with the request. `target`, `path` and `paths` of steps
after `Root` are absolute paths *inside the new root*: resolved with openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS),
so that no symlink of an image leads out of it. Missing parents of a target are made with mode 0755.

A typical container:

    EnterCgroups, Setns(pause: net|ipc|uts), Unshare(mnt|cgroup), Overlay, Root, Mount(proc, tmpfs /dev, ...),
    Bind(volumes...), Mask, ReadOnly, PivotRoot, [ReadOnly root]

with a user namespace of the pod's own, what the host must do comes first:

    EnterCgroups, Setns(pause: net|ipc|uts), Unshare(mnt), IdmappedOverlay, Detached(/dev, /sys), JoinUsers,
    Unshare(mnt|cgroup), Bind(ready), Root, Mount(proc, ...), ...

and a typical sandbox:

    EnterCgroups, Unshare(net|ipc|uts|mnt), Netlink, Hostname, Sysctl..., Mount(tmpfs at ROOTFS), Root, PivotRoot
    EnterCgroups, NewUsers(net|ipc|uts), Netlink, Hostname, Sysctl..., JoinUsers, Unshare(mnt), Mount(...), ...
"""

from __future__ import annotations

from typing import Literal, NewType

from podrun.kernel.flags import Clone, MountAttr, MountFlags
from podrun.spawner.codec import message

Passed = NewType("Passed", int)
"""Index into the descriptors passed with a request."""

ROOTFS = "/rootfs"
"""An empty directory of the spawner's mount namespace: where a container's root is mounted before pivot_root."""


@message
class EnterCgroups:
    """Write `0` to each open cgroup.procs file: the child moves itself, so no process id is needed."""

    procs: tuple[Passed, ...]


@message
class Setns:
    """Join existing namespaces. `fd` is a pidfd (any of its namespaces) or one /proc/PID/ns file (`kinds` says which).

    Joining a pid namespace is not a step: see `Spawn.join_pid`.
    """

    fd: Passed
    kinds: Clone


@message
class Unshare:
    """Make new namespaces (not pid: see `Spawn.new_pid`). A new mnt namespace is made private."""

    kinds: Clone


@message
class Netlink:
    """Send one batch of ready-made messages from inside the current net namespace and check every acknowledgement.

    Each message carries NLM_F_ACK. At each offset in `descriptors` the child writes its own number of that descriptor
    (32 bits, native order) into the bytes: for IFLA_NET_NS_FD. A refusal is reported with the message's index as path.
    """

    messages: bytes
    descriptors: tuple[tuple[int, Passed], ...] = ()
    protocol: int = 0
    """NETLINK_ROUTE (0), NETLINK_NETFILTER (12)."""


@message
class Hostname:
    name: str


@message
class Sysctl:
    """`name` with dots (net.ipv4.ip_forward; slashes allowed as separators); written through the spawner's /proc/sys,
    which shows the namespaces that the child is in at that moment."""

    name: str
    value: str


@message
class Overlay:
    """Mount an overlay on `target` (in the spawner's namespace). `lower` is LOWEST FIRST; paths are the host's.

    With `upper` empty the overlay is read-only.
    """

    lower: tuple[str, ...]
    upper: str = ""
    work: str = ""
    target: str = ROOTFS
    flags: MountFlags = MountFlags.NONE
    options: tuple[str, ...] = ()
    """Further overlay options, such as "volatile" or "metacopy=off"."""


@message
class Root:
    """From here on paths are resolved inside this directory (of the child's current namespace)."""

    path: str = ROOTFS


@message
class Mount:
    """A new file system of `type` (proc, sysfs, tmpfs, devpts, mqueue, cgroup, cgroup2) at `target`, made if missing.

    Before `Root`, `target` is a path of the spawner's namespace and must exist.
    """

    type: str
    target: str
    flags: MountFlags = MountFlags.NONE
    options: str = ""
    source: str = ""
    mode: int = 0o755
    """Of the directory when it is made."""


@message
class Bind:
    """Put `source` at `target`, made if missing (a directory, or an empty file when the source is not one).

    `source` is a detached tree (open_tree with OPEN_TREE_CLONE) that podrund passed, or, with `path`, a path in the
    child's current mount namespace. `clear` and `set` are mount attributes, applied before it is attached; `recursive`
    applies them to the mounts below, too. `propagation` is one of MountFlags.PRIVATE, SLAVE, SHARED.
    """

    target: str
    source: Passed | None = None
    path: str = ""
    set: MountAttr = MountAttr.NONE
    clear: MountAttr = MountAttr.NONE
    recursive: bool = True
    attributes_recursive: bool = False
    propagation: MountFlags = MountFlags.NONE
    ready: str = ""
    """Name of the tree that an earlier `Detached` or `IdmappedOverlay` made, instead of `source` or `path`."""
    inside: bool = False
    """`path` is inside the new root (cgroup views, /dev/pts/ptmx), not the spawner's."""


@message
class BindFrom:
    """Put what another process has at `path` in its mount namespace (and what is mounted below) at `target`.

    `fd` is the process's pidfd. This is how containers share the pod's /dev/shm, which pause alone holds: no mount of
    the host, and nothing that would end with podrund or the spawner.
    """

    fd: Passed
    path: str
    target: str


@message
class Directory:
    """mkdir -p; `mode`, `uid` and `gid` go to the last one, and only if it is made now."""

    path: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@message
class File:
    """A file with this content; an existing one is replaced when `data` is not empty, else left as it is."""

    path: str
    data: bytes = b""
    mode: int = 0o644


@message
class Symlink:
    """A symbolic link; an existing entry of that name is left as it is."""

    path: str
    to: str


@message
class Device:
    """A character or block device node, or a fifo; an existing entry is left as it is."""

    path: str
    kind: Literal["c", "b", "p"]
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


@message
class Mask:
    """Make paths unreadable: a file is covered by /dev/null, a directory by an empty read-only tmpfs.

    Missing ones are skipped.
    """

    paths: tuple[str, ...]


@message
class ReadOnly:
    """Make existing paths read-only (each a mount of itself); missing ones are skipped.

    With `recursive`, all mounts below as well.
    """

    paths: tuple[str, ...]
    recursive: bool = False


@message
class Attributes:
    """mount_setattr on the mount at `path`: read-only root after everything is in place, propagation of the root."""

    path: str = "/"
    set: MountAttr = MountAttr.NONE
    clear: MountAttr = MountAttr.NONE
    propagation: MountFlags = MountFlags.NONE
    recursive: bool = False


@message
class PivotRoot:
    """Make the root of `Root` the namespace's root and detach everything else; later paths are then plain."""


@message
class NewUsers:
    """Make a user namespace and, owned by it, namespaces of other `kinds` (not mnt, not pid), which are joined at once.

    Its ids 0 to `count` - 1 are the host's from `first` on. The user namespace itself is joined by `JoinUsers`: until
    then the child works in these namespaces with the host's privileges (a veth has one end on the host).
    """

    first: int
    count: int
    kinds: Clone


@message
class Detached:
    """A new file system, mounted nowhere yet: `Bind` puts it where it belongs by its `name`.

    For what a user namespace may not mount or fill by itself. Each of `nodes` is made in it; paths are below it.
    """

    name: str
    type: str
    options: tuple[tuple[str, str], ...] = ()
    attributes: MountAttr = MountAttr.NONE
    nodes: tuple[Device, ...] = ()


@message
class IdmappedOverlay:
    """As `Overlay`, detached, with `lower` seen through the ids of the user namespace `users` (Linux 5.19).

    `upper` holds ids as the host counts them and must belong to the namespace's root. Needs a mount namespace of the
    child's own, and mounts nothing in it that stays. `path` is what of it is wanted, never out of it.
    """

    name: str
    users: Passed
    lower: tuple[str, ...]
    upper: str = ""
    work: str = ""
    path: str = ""


@message
class JoinUsers:
    """Become root of a user namespace: the one of `users`, or the one that `NewUsers` made. The host's privileges end.

    With `new_pid` the rest is done by another process, the first one of a new pid namespace that belongs to that user
    namespace. `owner` is the host's number of the user that the process will be: stdin, stdout and stderr are given
    to it, as long as that can be done.
    """

    users: Passed | None = None
    new_pid: bool = False
    owner: int = 0


Step = (
    EnterCgroups
    | Setns
    | Unshare
    | Netlink
    | Hostname
    | Sysctl
    | Overlay
    | Root
    | Mount
    | Bind
    | BindFrom
    | Directory
    | File
    | Symlink
    | Device
    | Mask
    | ReadOnly
    | Attributes
    | PivotRoot
    | NewUsers
    | Detached
    | IdmappedOverlay
    | JoinUsers
)


def describe(step: Step) -> str:
    """One line for people and timelines: `mount proc on /proc`."""
    match step:
        case EnterCgroups():
            return "enter cgroups"
        case Setns(kinds=kinds) | Unshare(kinds=kinds):
            verb = "join" if isinstance(step, Setns) else "unshare"
            return f"{verb} namespaces {kinds.names()}"
        case Netlink():
            return "configure network"
        case Hostname(name=name):
            return f"set hostname {name}"
        case Sysctl(name=name):
            return f"set sysctl {name}"
        case Overlay(target=target):
            return f"mount overlay on {target}"
        case Mount(type=kind, target=target):
            return f"mount {kind} on {target}"
        case Bind(target=target) | BindFrom(target=target):
            return f"bind mount on {target}"
        case Mask():
            return "mask paths"
        case ReadOnly():
            return "make paths read-only"
        case PivotRoot():
            return "pivot root"
        case NewUsers():
            return "make user namespace"
        case JoinUsers():
            return "join user namespace"
        case Detached(name=name):
            return f"make {name}"
        case IdmappedOverlay(name=name):
            return f"make idmapped overlay of {name}"
        case Root(path=path):
            return f"open root {path}"
        case Directory(path=path) | File(path=path) | Symlink(path=path) | Device(path=path) | Attributes(path=path):
            return f"{_VERBS[type(step)]} {path}"


_VERBS: dict[type, str] = {
    Directory: "make directory",
    File: "write file",
    Symlink: "make symlink",
    Device: "make device",
    Attributes: "set attributes of mount",
}
