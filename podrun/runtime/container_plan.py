"""A container as a request to the spawner, and an exec in it: pure functions from configuration to plan."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from podrun.cgroups.hierarchy import Hierarchies
from podrun.kernel import capabilities, seccomp_profile
from podrun.kernel.flags import Clone, MountAttr, MountFlags
from podrun.runtime import rootfs
from podrun.runtime.identity import Identity
from podrun.runtime.model import ContainerConfig, Mount, SandboxConfig, Security
from podrun.runtime.sandbox_plan import SHM, namespaces
from podrun.spawner.plan import (
    Attributes,
    Bind,
    BindFrom,
    EnterCgroups,
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
    termination_file: Path | None
    procs: tuple[Passed, ...]
    """Open cgroup.procs files of the container's own group."""
    pause: Passed
    """Pidfd of pause."""
    join_pid: Passed | None = None
    """Pidfd of whose pid namespace is joined: pause's or the target's."""
    host_shm: Passed | None = None
    """The host's /dev/shm as a detached tree, for a pod with the host's IPC namespace."""


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
        new_pid=not joins_pid and not sandbox.host_pid,
        join_pid=place.join_pid,
        plan=tuple(_steps(config, sandbox, place, volumes)),
        stdio=Stdio(stdin_pipe=config.stdin and not config.tty, terminal=config.tty, log=Log(str(config.log_path))),
        cwd=config.working_dir or "/",
        create_cwd=True,
        user=User(identity.uid, identity.gid, identity.groups),
        capabilities=_capabilities(config.security),
        no_new_privs=config.security.no_new_privileges,
        seccomp=_seccomp(config.security),
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
) -> Spawn:
    """A process beside the container's own: the same namespaces (`kinds`), user and bounds."""
    return Spawn(
        id=exec_id,
        kind="exec",
        argv=tuple(argv),
        env=env,
        join_pid=container,
        plan=(EnterCgroups(tuple(procs)), Setns(container, kinds)),
        stdio=stdio,
        cwd=config.working_dir or "/",
        user=identity,
        capabilities=_capabilities(config.security),
        no_new_privs=config.security.no_new_privileges,
        seccomp=_seccomp(config.security),
        oom_score_adj=config.resources.oom_score_adj,
    )


def _steps(config: ContainerConfig, sandbox: SandboxConfig, place: Place, volumes: Sequence[Volume]) -> list[Step]:
    security = config.security
    privileged = security.privileged
    steps: list[Step] = [EnterCgroups(place.procs)]
    joined = namespaces(sandbox)
    if joined:
        steps.append(Setns(place.pause, joined))
    # A privileged container sees the machine's cgroups, as with containerd on v1.
    steps.append(Unshare(Clone.MNT if privileged else Clone.MNT | Clone.CGROUP))
    steps.append(Overlay(tuple(map(str, (place.skeleton, *config.layers))), str(place.upper), str(place.work)))
    steps.append(Root())
    steps += rootfs.file_systems(privileged=privileged, terminal=config.tty)
    steps += rootfs.cgroup_view(place.machine, privileged=privileged)
    if privileged:
        steps += rootfs.host_devices()
    steps.append(_shm(place))
    mounted = {volume.mount.target for volume in volumes}
    steps += _pod_files(place, mounted, read_only=security.read_only_root)
    if place.termination_file is not None:
        steps.append(Bind(config.termination_message_path, path=str(place.termination_file)))
    # Outer targets first, so that a volume below another one's target is not covered by it.
    steps += [_volume(volume) for volume in sorted(volumes, key=lambda v: v.mount.target.rstrip("/").count("/"))]
    if not privileged and not security.unmasked_proc:
        steps += rootfs.hidden()
    steps.append(PivotRoot())
    if security.read_only_root:
        steps.append(Attributes("/", set=MountAttr.RDONLY))
    return steps


def _shm(place: Place) -> Step:
    if place.host_shm is not None:
        return Bind(SHM, source=place.host_shm)
    return BindFrom(place.pause, SHM, SHM)


def _pod_files(place: Place, mounted: set[str], *, read_only: bool) -> list[Step]:
    """The pod's three files of /etc, unless a volume takes a file's place."""
    attributes = MountAttr.RDONLY if read_only else MountAttr(0)
    return [
        Bind(f"/etc/{name}", path=str(place.pod_files / name), set=attributes)
        for name in ("hosts", "hostname", "resolv.conf")
        if f"/etc/{name}" not in mounted
    ]


def _volume(volume: Volume) -> Bind:
    mount = volume.mount
    return Bind(
        mount.target,
        source=volume.tree,
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
        try:
            return Seccomp(seccomp_profile.from_profile(json.loads(security.seccomp.read_bytes())))
        except OSError as error:
            raise ValueError(f"seccomp profile {security.seccomp}: {error.strerror}") from None
    return Seccomp(seccomp_profile.runtime_default(_granted(security)))
