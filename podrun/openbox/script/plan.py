"""From a pod that runs to the plan of its script: the requests made once more, with the script's paths for podrun's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from podrun.api.quantity import Quantity
from podrun.cgroups.hierarchy import Hierarchies
from podrun.cgroups.limits import v1_writes, v2_writes
from podrun.openbox.script.pod import ContainerPlan, Kind, PodPlan, Volume
from podrun.openbox.script.steps import SKELETON, Source, Untranslatable
from podrun.openbox.script.words import IMAGES, WORK, image_directory
from podrun.runtime import container_plan, podfiles
from podrun.runtime.container_plan import Place
from podrun.runtime.limits import limits_of
from podrun.runtime.model import ContainerConfig, ContainerStatus, SandboxConfig, SandboxStatus
from podrun.runtime.preparing import identity_of
from podrun.runtime.sandbox_plan import pause_request
from podrun.spawner.plan import Passed

Object = dict[str, Any]
_LISTS: tuple[tuple[str, Kind], ...] = (("initContainers", "init"), ("containers", "container"))
_PROCS, _PAUSE, _JOINED, _HOST_SHM, _FIRST_VOLUME = (Passed(number) for number in (0, 1, 2, 3, 10))
_LARGEST_FILE = 64 << 10


def plan_of(
    obj: Object, sandbox: SandboxStatus, attempts: Sequence[ContainerStatus], machine: Hierarchies, node: str
) -> PodPlan:
    """The plan of a Pod object whose containers have been created. Raises Untranslatable.

    `attempts` are its containers in the runtime, oldest first; `node` is the machine's name.
    """
    config, spec = sandbox.config, obj["spec"]
    if config.users is not None:
        raise Untranslatable("a pod with a user namespace of its own (hostUsers: false) cannot be put into commands")
    latest = {attempt.config.name: attempt for attempt in attempts}
    volumes = {volume["name"]: _volume(volume, latest.values()) for volume in spec.get("volumes") or []}
    containers = []
    for key, kind in _LISTS:
        for declared in spec.get(key) or []:
            attempt = latest.get(declared["name"])
            if attempt is None:
                name = declared["name"]
                raise Untranslatable(f"container {name} has not been created yet, so that there is no plan of it")
            sort: Kind = "sidecar" if kind == "init" and declared.get("restartPolicy") == "Always" else kind
            containers.append(_container(attempt, sort, config, volumes, machine, node))
    addresses = [sandbox.addresses[0]] if sandbox.addresses else []
    host_file = Path("/etc/hosts").read_text() if config.host_network else ""
    return PodPlan(
        config=config,
        pause=pause_request(sandbox.id, config, [_PROCS], None),
        address=addresses[0] if addresses else "",
        containers=tuple(containers),
        volumes=tuple(volumes.values()),
        files=(
            ("hosts", podfiles.hosts(config, addresses, host_file)),
            ("hostname", podfiles.hostname(config)),
            ("resolv.conf", podfiles.resolv_conf(config.dns)),
        ),
        cgroup_trees=tuple(dict.fromkeys(path.name for path in machine.legacy.values())),
    )


def _container(
    attempt: ContainerStatus,
    kind: Kind,
    sandbox: SandboxConfig,
    volumes: dict[str, Volume],
    machine: Hierarchies,
    node: str,
) -> ContainerPlan:
    config = attempt.config
    identity = identity_of(config)
    hostname = node if sandbox.host_network else sandbox.hostname
    env = container_plan.environment(config, sandbox, identity.home, hostname)
    config = replace(config, layers=(Path(f"{IMAGES}/{image_directory(config.image)}"),), tty=False, stdin=False)
    joins = bool(config.target_id) or (sandbox.share_process_namespace and not sandbox.host_pid)
    own = Path(WORK, config.name)
    place = Place(
        machine=machine,
        pod_files=Path(WORK, "etc"),
        skeleton=Path(SKELETON),
        upper=own / "upper",
        work=own / "work",
        empty=Path(WORK, "empty"),
        termination_file=own / "termination-log" if config.termination_message_path else None,
        procs=(_PROCS,),
        pause=_PAUSE,
        join_pid=_JOINED if joins else None,
        host_shm=_HOST_SHM if sandbox.host_ipc else None,
    )
    opened = [
        container_plan.Volume(mount, Passed(_FIRST_VOLUME + number)) for number, mount in enumerate(config.mounts)
    ]
    sources = {int(_HOST_SHM): Source("/dev/shm", "the machine's own shared memory")}
    for volume in opened:
        sources[int(volume.tree)] = _source(volume.mount.volume, volume.mount.sub_path, volumes)
    request = container_plan.container_request(attempt.id, config, sandbox, identity, env, place, opened)
    return ContainerPlan(config.name, kind, config.image, request, sources, _limits(config))


def _source(name: str, sub_path: str, volumes: dict[str, Volume]) -> Source:
    volume = volumes.get(name)
    if volume is None:
        raise Untranslatable(f"the volume {name} is not the pod's own")
    if not sub_path:
        return Source(volume.path, f"volume {name}")
    return Source(f"{volume.path}/{sub_path}", f"{sub_path} of volume {name}", made=True)


def _limits(config: ContainerConfig) -> tuple[tuple[str, str], ...]:
    limits = limits_of(config.resources, container=True)
    writes = [*v2_writes(limits), *v1_writes(limits)]
    shown = {write.file: write.value for write in writes if write.file not in ("cpu.shares", "cpu.weight")}
    wanted = config.resources.memory_limit or config.resources.cpu_quota_us or config.resources.pids_limit
    return tuple(shown.items()) if wanted else ()


def _volume(volume: Object, attempts: Any) -> Volume:
    name = volume["name"]
    kind = next((key for key in volume if key != "name"), "emptyDir")
    source: Object = volume.get(kind) or {}
    path = f"{WORK}/volumes/{name}"
    match kind:
        case "emptyDir":
            size: int | None = None
            if source.get("medium") == "Memory":
                size = int(Quantity.parse(source["sizeLimit"]).value()) if source.get("sizeLimit") else 0
            return Volume(name, kind, path, size=size)
        case "hostPath":
            return Volume(name, kind, source["path"])
        case "image":
            reference = source.get("reference", "")
            return Volume(name, kind, f"{IMAGES}/{image_directory(reference)}", note=reference)
        case "configMap" | "downwardAPI":
            return Volume(name, kind, path, tuple(_files(name, attempts)))
        case "secret" | "projected":
            return Volume(name, kind, path, note="empty here; what is secret stays out of a script")
    raise Untranslatable(f"a volume of kind {kind} ({name}) cannot be put into commands")


def _files(name: str, attempts: Any) -> Iterator[tuple[str, str]]:
    """The small text files of a volume, from where podrun has put them."""
    sources = [mount.source for attempt in attempts for mount in attempt.config.mounts if mount.volume == name]
    for entry in sorted(cast(Path, sources[0]).iterdir()) if sources else ():
        if entry.name.startswith("..") or not entry.is_file() or entry.stat().st_size > _LARGEST_FILE:
            continue
        yield entry.name, entry.read_text(errors="replace")
