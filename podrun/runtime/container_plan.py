"""A container as a request to the spawner, and an exec in it: pure functions from configuration to plan."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from podrun.cgroups.hierarchy import Hierarchies
from podrun.kernel import capabilities, seccomp_profile
from podrun.kernel.flags import Clone, MountAttr, MountFlags
from podrun.runtime import rootfs
from podrun.runtime.identity import Identity
from podrun.runtime.model import ContainerConfig, Mount, SandboxConfig, Security, UserIds
from podrun.runtime.sandbox_plan import SHM, namespaces
from podrun.spawner.plan import (
    ROOTFS,
    Attributes,
    Bind,
    BindFrom,
    EnterCgroups,
    IdmappedOverlay,
    JoinUsers,
    Overlay,
    Passed,
    PivotRoot,
    Root,
    Setns,
    Step,
    Unshare,
)
from podrun.spawner.protocol import Capabilities, Log, Seccomp, Spawn, Stdio, User

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
POD_FILES = ("hosts", "hostname", "resolv.conf")
_PROPAGATION = {
    "None": MountFlags.PRIVATE | MountFlags.REC,
    "HostToContainer": MountFlags.SLAVE | MountFlags.REC,
    "Bidirectional": MountFlags.SHARED | MountFlags.REC,
}


@dataclass(frozen=True, slots=True)
class Volume:
    """A mount whose source has been opened: a detached tree among the passed descriptors."""

    mount: Mount
    tree: Passed


@dataclass(frozen=True, slots=True)
class Place:
    """Where a container is made: its pod's and its own directories, and what it joins."""

    machine: Hierarchies
    pod_files: Path
    """Directory with the pod's hosts, hostname and resolv.conf."""
    skeleton: Path
    """A layer of mount points below the image's."""
    upper: Path
    work: Path
    empty: Path
    """An empty directory."""
    termination_file: Path | None
    procs: tuple[Passed, ...]
    """Open cgroup.procs files of the container's own group."""
    pause: Passed
    """Pidfd of pause."""
    join_pid: Passed | None = None
    """Pidfd of whose pid namespace is joined: pause's or the target's."""
    host_shm: Passed | None = None
    """The host's /dev/shm as a detached tree, for a pod with the host's IPC namespace."""
    users: Passed | None = None
    """The pod's own user namespace. The pod's files and the termination file are then passed as idmapped trees."""
    own_files: Mapping[str, Passed] = field(default_factory=dict)
    """Those trees, by the path at which they are mounted."""


def environment(config: ContainerConfig, sandbox: SandboxConfig, home: str, hostname: str) -> tuple[str, ...]:
    """`NAME=value` pairs: what containerd and runc add comes first and yields to what the pod and image say."""
    values = {"PATH": _PATH, "HOSTNAME": hostname}
    if config.tty:
        values["TERM"] = "xterm"
    values.update(config.env)
    values.setdefault("HOME", home)
    return tuple(f"{name}={value}" for name, value in values.items())


def container_request(
    container_id: str,
    config: ContainerConfig,
    sandbox: SandboxConfig,
    identity: Identity,
    env: tuple[str, ...],
    place: Place,
    volumes: Sequence[Volume],
) -> Spawn:
    """The whole container. Raises ValueError for a capability or seccomp profile that does not exist."""
    joins_pid = place.join_pid is not None
    return Spawn(
        id=container_id,
        kind="container",
        argv=config.argv,
        env=env,
        new_pid=not joins_pid and not sandbox.host_pid and sandbox.users is None,
        join_pid=place.join_pid,
        plan=tuple(_steps(config, sandbox, identity, place, volumes)),
        stdio=Stdio(stdin_pipe=config.stdin and not config.tty, terminal=config.tty, log=Log(str(config.log_path))),
        cwd=config.working_dir or "/",
        create_cwd=True,
        user=User(identity.uid, identity.gid, identity.groups),
        capabilities=_capabilities(config.security),
        no_new_privs=config.security.no_new_privileges,
        seccomp=_seccomp(config.security),
        apparmor=config.security.apparmor,
        oom_score_adj=config.resources.oom_score_adj,
    )


def exec_request(
    exec_id: str,
    config: ContainerConfig,
    identity: User,
    argv: Sequence[str],
    env: tuple[str, ...],
    procs: Sequence[Passed],
    container: Passed,
    stdio: Stdio,
    kinds: Clone,
    users: tuple[Passed, UserIds] | None = None,
) -> Spawn:
    """A process beside the container's own: the same namespaces (`kinds`), user and bounds.

    `users` is the pod's user namespace, if it has one, and its range.
    """
    steps: list[Step] = [EnterCgroups(tuple(procs))]
    if users is not None:
        namespace, ids = users
        steps.append(JoinUsers(namespace, owner=ids.on_host(identity.uid)))
    steps.append(Setns(container, kinds))
    return Spawn(
        id=exec_id,
        kind="exec",
        argv=tuple(argv),
        env=env,
        join_pid=container,
        plan=tuple(steps),
        stdio=stdio,
        cwd=config.working_dir or "/",
        user=identity,
        capabilities=_capabilities(config.security),
        no_new_privs=config.security.no_new_privileges,
        seccomp=_seccomp(config.security),
        apparmor=config.security.apparmor,
        oom_score_adj=config.resources.oom_score_adj,
    )


def own_kinds(config: ContainerConfig, sandbox: SandboxConfig) -> Clone:
    """The kinds that a container has of its own, beside pid.

    A privileged container sees the machine's cgroups, as with containerd on v1; in a user namespace of its own it may
    only mount its own view of them.
    """
    shared = config.security.privileged and sandbox.users is None
    return Clone.MNT if shared else Clone.MNT | Clone.CGROUP


def _steps(
    config: ContainerConfig, sandbox: SandboxConfig, identity: Identity, place: Place, volumes: Sequence[Volume]
) -> list[Step]:
    security = config.security
    privileged = security.privileged
    steps: list[Step] = [EnterCgroups(place.procs)]
    joined = namespaces(sandbox)
    if joined:
        steps.append(Setns(place.pause, joined))
    if sandbox.users is not None and place.users is not None:
        steps += _as_host(config, sandbox.users, place.users, place, volumes)
        new_pid = place.join_pid is None and not sandbox.host_pid
        owner = sandbox.users.on_host(identity.uid)
        steps += [JoinUsers(place.users, new_pid, owner), Unshare(own_kinds(config, sandbox))]
        steps += [Bind(ROOTFS, ready=ROOTFS), Root()]
        steps += rootfs.file_systems(terminal=config.tty, own_users=True)
    else:
        steps += [
            Unshare(own_kinds(config, sandbox)),
            Overlay(_lower(config, place), str(place.upper), str(place.work)),
        ]
        steps.append(Root())
        steps += [rootfs.sys(privileged=privileged), *rootfs.file_systems(terminal=config.tty)]
        if privileged:
            steps += rootfs.host_devices()
    steps += rootfs.cgroup_view(place.machine, privileged=privileged)
    steps.append(_shm(place))
    mounted = {volume.mount.target for volume in volumes}
    steps += _pod_files(place, mounted, read_only=security.read_only_root)
    if place.termination_file is not None:
        steps.append(_own_file(place, config.termination_message_path, place.termination_file))
    # Outer targets first, so that a volume below another one's target is not covered by it.
    steps += [_volume(volume, place) for volume in sorted(volumes, key=lambda v: v.mount.target.rstrip("/").count("/"))]
    if not privileged and not security.unmasked_proc:
        steps += rootfs.hidden()
    steps.append(PivotRoot())
    if security.read_only_root:
        steps.append(Attributes("/", set=MountAttr.RDONLY))
    return steps


def _lower(config: ContainerConfig, place: Place) -> tuple[str, ...]:
    return tuple(map(str, (place.skeleton, *config.layers)))


def _as_host(
    config: ContainerConfig, ids: UserIds, users: Passed, place: Place, volumes: Sequence[Volume]
) -> list[Step]:
    """What the pod's user namespace may not do by itself: layers of other owners, devices, /sys.

    (sysfs could be mounted only where another one is seen whole, and the spawner sees none.)
    """
    return [
        Unshare(Clone.MNT),
        IdmappedOverlay(ROOTFS, users, _lower(config, place), str(place.upper), str(place.work)),
        *(_image_volume(volume.mount, users, place) for volume in volumes if volume.mount.layers),
        rootfs.devices(ids.first, privileged=config.security.privileged),
        rootfs.detached_sys(privileged=config.security.privileged),
    ]


def _image_volume(mount: Mount, users: Passed, place: Place) -> IdmappedOverlay:
    """An overlay needs two layers: one alone gets an empty directory below it."""
    lower = map(str, mount.layers if len(mount.layers) > 1 else (place.empty, *mount.layers))
    return IdmappedOverlay(mount.target, users, tuple(lower), path=mount.sub_path)


def _own_file(place: Place, target: str, path: Path, attributes: MountAttr = MountAttr.NONE) -> Bind:
    """A file of podrun's own in the container: by its path, or as a tree where a user namespace needs it idmapped."""
    tree = place.own_files.get(target)
    return Bind(target, path=str(path), set=attributes) if tree is None else Bind(target, source=tree, set=attributes)


def _shm(place: Place) -> Step:
    if place.host_shm is not None:
        return Bind(SHM, source=place.host_shm)
    return BindFrom(place.pause, SHM, SHM)


def _pod_files(place: Place, mounted: set[str], *, read_only: bool) -> list[Step]:
    """The pod's three files of /etc, unless a volume takes a file's place."""
    attributes = MountAttr.RDONLY if read_only else MountAttr(0)
    return [
        _own_file(place, f"/etc/{name}", place.pod_files / name, attributes)
        for name in POD_FILES
        if f"/etc/{name}" not in mounted
    ]


def _volume(volume: Volume, place: Place) -> Bind:
    mount = volume.mount
    made = bool(mount.layers) and place.users is not None
    return Bind(
        mount.target,
        source=None if made else volume.tree,
        ready=mount.target if made else "",
        set=MountAttr.RDONLY if mount.read_only else MountAttr(0),
        attributes_recursive=mount.recursive_read_only,
        propagation=_PROPAGATION[mount.propagation],
    )


def _capabilities(security: Security) -> Capabilities:
    if security.privileged:
        everything = (1 << (capabilities.last() + 1)) - 1
        return Capabilities(everything, everything, everything)
    bits = _granted(security)
    return Capabilities(bits, bits, bits)


def _granted(security: Security) -> int:
    """The default set, less what is dropped, plus what is added; ALL on either side is everything."""
    names = {name.upper().removeprefix("CAP_") for name in security.add_capabilities}
    dropped = {name.upper().removeprefix("CAP_") for name in security.drop_capabilities}
    every = (1 << (capabilities.last() + 1)) - 1
    bits = every if "ALL" in names else capabilities.DEFAULT
    bits &= 0 if "ALL" in dropped else ~capabilities.mask(dropped)
    return bits | capabilities.mask(names - {"ALL"})


def _seccomp(security: Security) -> Seccomp | None:
    if security.privileged or security.seccomp == "Unconfined":
        return None
    if isinstance(security.seccomp, Path):
        return Seccomp(local_profile(security.seccomp))
    return Seccomp(seccomp_profile.runtime_default(_granted(security)))


def local_profile(path: Path) -> bytes:
    """The filter of a Localhost profile. Raises ValueError in containerd's words."""
    try:
        return seccomp_profile.from_profile(json.loads(path.read_bytes()))
    except OSError as error:
        words = (error.strerror or str(error)).lower()
        raise ValueError(f'cannot load seccomp profile "{path}": open {path}: {words}') from None
    except ValueError as error:
        raise ValueError(f'decoding seccomp profile failed "{path}": {error}') from None
