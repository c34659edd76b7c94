"""A pod's specification in the runtime's terms: what a sandbox and each container are to be made as."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from podrun.api.pod import Container, Pod, Profile, VolumeMount
from podrun.images.model import Image
from podrun.images.reference import parse
from podrun.lifecycle import naming, resources, security
from podrun.lifecycle.environment import ConfigError, expand
from podrun.lifecycle.qos import qos_class
from podrun.runtime.apparmor import DEFAULT
from podrun.runtime.model import ContainerConfig, Dns, Mount, PortMapping, Resources, SandboxConfig, Security, User
from podrun.supervisor.options import Options
from podrun.supervisor.user_ranges import NoRange, UserRanges
from podrun.volumes.model import PreparedVolume

TOKEN_DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount"
SHOWN_IMAGE, SHOWN_IMAGE_ID = "podrun/image", "podrun/image-id"
"""Annotations of a container: what its status shows of its image, which may be gone before the container is."""
_CGROUP_PARENTS = {"Guaranteed": "", "Burstable": "burstable", "BestEffort": "besteffort"}


def log_directory(pod: Pod, options: Options) -> Path:
    """Where the logs of a pod's containers are, as the kubelet lays them out."""
    return options.log_root / f"{pod.metadata.namespace}_{pod.metadata.name}_{pod.uid}"


def labels(pod: Pod, container: Container | None = None) -> dict[str, str]:
    """The labels a kubelet gives to what it asks a runtime for."""
    made = {
        "io.kubernetes.pod.name": pod.metadata.name,
        "io.kubernetes.pod.namespace": pod.metadata.namespace,
        "io.kubernetes.pod.uid": pod.uid,
    }
    if container is not None:
        made["io.kubernetes.container.name"] = container.name
    return made


class Unsupported(ValueError):
    """The pod asks for what podrun does not do; better no pod than one without it."""


def refuse_unsupported(pod: Pod) -> None:
    """Raises Unsupported."""
    if pod.spec.resource_claims:
        raise Unsupported("resourceClaims need the drivers of a cluster, which podrun has not")
    for container in (*pod.spec.containers, *pod.spec.init_containers):
        if container.volume_devices:
            raise Unsupported(f"volumeDevices of container {container.name} need block volumes, which podrun has not")


def sandbox_config(pod: Pod, attempt: int, options: Options, ranges: UserRanges) -> SandboxConfig:
    """Raises naming.TooLong, Unsupported."""
    refuse_unsupported(pod)
    users = None
    if pod.spec.host_users is False:
        if not options.user_namespaces:
            raise Unsupported("can't set `spec.hostUsers: false`, runtime does not support user namespaces")
        try:
            users = ranges.of(pod.uid)
        except (NoRange, OSError) as error:
            raise Unsupported(str(error)) from error
    host = naming.host_name(pod, options.node_name)
    resolver = naming.resolver(pod, options.resolver, options.cluster_dns)
    everyone = (*pod.spec.containers, *pod.spec.init_containers)
    return SandboxConfig(
        pod_uid=pod.uid,
        namespace=pod.metadata.namespace,
        name=pod.metadata.name,
        attempt=attempt,
        hostname=naming.uts_name(pod, host),
        log_directory=log_directory(pod, options),
        cgroup_parent=_CGROUP_PARENTS[qos_class(pod)],
        resources=pod_resources(pod),
        dns=Dns(resolver.nameservers, resolver.searches, resolver.options),
        host_aliases=tuple((alias.ip, alias.hostnames) for alias in pod.spec.host_aliases),
        domain=host.domain,
        port_mappings=tuple(
            PortMapping(port.container_port, port.host_port, _protocol(port.protocol), port.host_ip)
            for container in everyone
            for port in container.ports
            if port.host_port and not pod.spec.host_network
        ),
        sysctls={s.name.replace("/", "."): s.value for s in pod.spec.security_context.sysctls},
        host_network=pod.spec.host_network,
        host_pid=pod.spec.host_pid,
        host_ipc=pod.spec.host_ipc,
        share_process_namespace=pod.spec.share_process_namespace,
        users=users,
        labels={**pod.metadata.labels, **labels(pod)},
    )


def _protocol(name: str) -> Literal["TCP", "UDP", "SCTP"]:
    match name:
        case "UDP":
            return "UDP"
        case "SCTP":
            return "SCTP"
    return "TCP"


POD_PIDS = 4096
"""Processes and threads of one pod (the kubelet's podPidsLimit, as OpenShift sets it): a fork bomb is its own pod's end
and nobody else's."""


def pod_resources(pod: Pod) -> Resources:
    """The pod's own cgroup."""
    numbers = resources.pod_numbers(pod)
    return Resources(
        numbers.cpu_shares, numbers.cpu_quota_us, resources.PERIOD_US, numbers.memory_limit, pids_limit=POD_PIDS
    )


def container_resources(container: Container, pod: Pod, options: Options) -> Resources:
    """A container's cgroup."""
    numbers = resources.container_numbers(container, pod, options.memory_capacity)
    return Resources(
        numbers.cpu_shares,
        numbers.cpu_quota_us,
        resources.PERIOD_US,
        numbers.memory_limit,
        oom_score_adj=numbers.oom_score_adj,
    )


def container_config(
    pod: Pod,
    container: Container,
    *,
    attempt: int,
    image: Image,
    environment: Mapping[str, str],
    volumes: Mapping[str, PreparedVolume],
    target: tuple[Container, str] | None,
    options: Options,
) -> ContainerConfig:
    """One attempt of a container. `target` is the container whose processes a debug container joins, and its id.

    Raises ConfigError where the pod asks for what cannot be made.
    """
    if problem := security.non_root_problem(pod, container, image.config.user):
        raise ConfigError(problem)
    mounts = list(container.volume_mounts)
    if target is not None and options.debug_sees_volumes:
        mounts += _targets_mounts(target[0], mounts)
    return ContainerConfig(
        name=container.name,
        attempt=attempt,
        image=container.image,
        image_id=image.id,
        layers=image.layers,
        argv=_argv(container, image, environment),
        env=tuple((dict(image.config.env) | dict(environment)).items()),
        log_path=log_directory(pod, options) / container.name / f"{attempt}.log",
        working_dir=container.working_dir or image.config.working_dir,
        user=_user(pod, container, image),
        security=_security(pod, container, options),
        resources=container_resources(container, pod, options),
        mounts=tuple(_mount(mount, volumes, environment) for mount in mounts),
        tty=container.tty,
        stdin=container.stdin,
        stdin_once=container.stdin_once,
        target_id=target[1] if target is not None else "",
        stop_signal=_stop_signal(container, image),
        termination_message_path=container.termination_message_path,
        labels=labels(pod, container),
        annotations={SHOWN_IMAGE: str(parse(container.image)), SHOWN_IMAGE_ID: image.image_id},
    )


def _argv(container: Container, image: Image, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The pod's command replaces the image's entrypoint and its cmd, the pod's args only the cmd."""
    command = tuple(expand(word, environment) for word in container.command)
    args = tuple(expand(word, environment) for word in container.args)
    if command:
        return (*command, *args)
    return (*image.config.entrypoint, *(args or image.config.cmd))


def _stop_signal(container: Container, image: Image) -> str:
    own = container.lifecycle.stop_signal if container.lifecycle is not None else None
    return own or image.config.stop_signal or "SIGTERM"


def _user(pod: Pod, container: Container, image: Image) -> User:
    who, whole = security.run_as(pod, container), pod.spec.security_context
    return User(
        uid=who.uid,
        gid=who.gid,
        name=image.config.user,
        supplemental_groups=whole.supplemental_groups,
        fs_group=whole.fs_group,
        strict_groups=whole.supplemental_groups_policy == "Strict",
    )


def _security(pod: Pod, container: Container, options: Options) -> Security:
    own = container.security_context
    privileged = bool(own.privileged)
    return Security(
        privileged=privileged,
        add_capabilities=own.capabilities.add if own.capabilities else (),
        drop_capabilities=own.capabilities.drop if own.capabilities else (),
        no_new_privileges=security.no_new_privileges(container),
        read_only_root=bool(own.read_only_root_filesystem),
        seccomp="Unconfined" if privileged else _seccomp(security.seccomp(pod, container), options),
        apparmor=_app_armor(security.app_armor(pod, container), options, privileged=privileged),
        unmasked_proc=own.proc_mount == "Unmasked",
    )


def _seccomp(profile: Profile | None, options: Options) -> Literal["RuntimeDefault", "Unconfined"] | Path:
    match profile.type if profile is not None else "":
        case "Localhost" if profile is not None:
            return options.seccomp_profiles / profile.localhost_profile
        case "RuntimeDefault":
            return "RuntimeDefault"
        case "Unconfined":
            return "Unconfined"
    return "RuntimeDefault" if options.seccomp_default else "Unconfined"


def _app_armor(profile: Profile | None, options: Options, *, privileged: bool) -> str:
    """The name of the profile to enter, as containerd chooses it: its default for whoever names none, "" for nobody."""
    kind = profile.type if profile is not None else "RuntimeDefault"
    if not options.app_armor or kind == "Unconfined":
        return ""
    if profile is not None and kind == "Localhost":
        return profile.localhost_profile
    if privileged:
        return ""
    return options.app_armor_default or (DEFAULT if profile is not None else "")


def _targets_mounts(target: Container, own: Sequence[VolumeMount]) -> list[VolumeMount]:
    """The target's mounts for a debug container, except the token, and where it does not have its own.

    No cluster does this; it is what lets a debug container look at the application's files.
    """
    taken = {mount.mount_path for mount in own}
    return [m for m in target.volume_mounts if m.mount_path not in taken and m.mount_path != TOKEN_DIRECTORY]


def _mount(mount: VolumeMount, volumes: Mapping[str, PreparedVolume], environment: Mapping[str, str]) -> Mount:
    volume = volumes.get(mount.name)
    if volume is None:
        raise ConfigError(f'cannot find volume "{mount.name}" to mount into container')
    sub_path = mount.sub_path
    if mount.sub_path_expr:
        sub_path = expand(mount.sub_path_expr, environment)
        if "$(" in sub_path:
            raise ConfigError(f"missing value for {mount.sub_path_expr}")
    read_only = mount.read_only or volume.read_only
    return Mount(
        volume=mount.name,
        source=volume.path,
        target=mount.mount_path if mount.mount_path.startswith("/") else f"/{mount.mount_path}",
        sub_path=sub_path,
        read_only=read_only,
        recursive_read_only=mount.recursive_read_only in ("Enabled", "IfPossible"),
        propagation=_propagation(mount.mount_propagation),
        create_sub_path=not volume.read_only and _is_directory(volume.path),
        layers=volume.layers,
    )


def _propagation(name: str | None) -> Literal["None", "HostToContainer", "Bidirectional"]:
    match name:
        case "HostToContainer":
            return "HostToContainer"
        case "Bidirectional":
            return "Bidirectional"
    return "None"


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False
