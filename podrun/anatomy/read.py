"""Opens a pod: joins what the API says of it with what the kernel says of its processes.

A process belongs to the pod whose cgroup it is in (/proc/PID/cgroup ends in `pod<uid>/<container id or pause>`), so the
truth of what runs is the kernel's own; the API object gives names to it. Needs root, and nothing of the daemon. What
ends while it is being read is left out, or shown with what was known of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podrun.anatomy import files, sockets
from podrun.anatomy.cgroup_use import Use, use_of
from podrun.anatomy.model import (
    KINDS,
    PAUSE,
    Anatomy,
    Connection,
    Container,
    Mount,
    Process,
    Volume,
    group_namespaces,
)
from podrun.anatomy.sockets import Socket, Tables
from podrun.cgroups import hierarchy
from podrun.cgroups.hierarchy import Hierarchies
from podrun.kernel import capabilities

Object = dict[str, Any]

PROC = Path("/proc")


def open_pod(pod: Object, proc: Path = PROC, trees: Hierarchies | None = None) -> Anatomy:
    """The anatomy of a Pod object, as its processes are now. Raises PermissionError without root.

    `trees` are the machine's cgroup trees, found where they are not given.
    """
    machine = _Machine(proc, trees if trees is not None else hierarchy.detect(), Tables(proc))
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    found = _members(proc, metadata["uid"])
    containers, absent = [], []
    declared = list(_declared(spec, status))
    leaves = {str(state.get("containerID") or "").rpartition("/")[2] for _, _, state in declared}
    pause = next((leaf for leaf in found if leaf not in leaves and _is_pause(proc, found[leaf][0])), None)
    if pause is not None:
        containers.append(_container(machine, PAUSE, PAUSE, "", found[pause], {}, 0))
    for kind, container, state in declared:
        leaf = str(state.get("containerID") or "").rpartition("/")[2]
        if leaf in found:
            volumes = {each["mountPath"].rstrip("/"): each["name"] for each in container.get("volumeMounts") or []}
            restarts = int(state.get("restartCount") or 0)
            name, image = container["name"], container.get("image", "")
            containers.append(_container(machine, name, kind, image, found[leaf], volumes, restarts))
        else:
            absent.append((container["name"], _why_absent(state)))
    everyone = tuple(containers)
    own = found[pause] if pause is not None else next(iter(found.values()), [])
    cgroup = _cgroup(proc, own[0]).rpartition("/")[0] if own else ""
    return Anatomy(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        phase=status.get("phase", "Unknown"),
        hostname=spec.get("hostname") or metadata["name"],
        addresses=tuple(each["ip"] for each in status.get("podIPs") or []),
        containers=everyone,
        absent=tuple(absent),
        namespaces=group_namespaces(everyone, _namespaces(proc, "self")),
        volumes=tuple(_volumes(proc, spec, everyone)),
        cgroup=cgroup,
        connections=_connections(machine, everyone),
    )


def _members(proc: Path, uid: str) -> dict[str, list[int]]:
    """The pod's processes by the last part of their cgroup, each list oldest first."""
    marker = f"/pod{uid}/"
    found: dict[str, dict[int, int]] = {}
    for name in os.listdir(proc):
        if name.isdigit():
            _, inside, leaf = _cgroup_text(proc, name).partition(marker)
            if inside:
                found.setdefault(leaf.split("\n")[0].split("/")[0], {})[int(name)] = _start_time(proc, name)
    return {leaf: sorted(pids, key=lambda pid: (pids[pid], pid)) for leaf, pids in found.items()}


def _cgroup_text(proc: Path, pid: str | int) -> str:
    try:
        return (proc / str(pid) / "cgroup").read_text()
    except OSError:
        return ""  # it has ended since it was listed


def _cgroup(proc: Path, pid: int) -> str:
    """The process's group: v2's, or where that is the root, the memory controller's."""
    paths = {line.split(":")[1]: line.split(":", 2)[2] for line in _cgroup_text(proc, pid).splitlines()}
    return next((path for path in (paths.get(""), paths.get("memory"), *paths.values()) if path and path != "/"), "/")


def _start_time(proc: Path, pid: str) -> int:
    try:
        return int((proc / pid / "stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0


def _is_pause(proc: Path, pid: int) -> bool:
    try:
        return (proc / str(pid) / "comm").read_text().strip() == PAUSE
    except OSError:
        return False


def _declared(spec: Object, status: Object) -> Iterator[tuple[str, Object, Object]]:
    """(kind, container, its status) in the order in which a pod starts them."""
    lists = (
        ("initContainers", "initContainerStatuses"),
        ("containers", "containerStatuses"),
        ("ephemeralContainers", "ephemeralContainerStatuses"),
    )
    for declared, observed in lists:
        states = {each["name"]: each for each in status.get(observed) or []}
        for container in spec.get(declared) or []:
            kind = {"initContainers": "init", "containers": "container", "ephemeralContainers": "ephemeral"}[declared]
            if kind == "init" and container.get("restartPolicy") == "Always":
                kind = "sidecar"
            yield kind, container, states.get(container["name"], {})


def _why_absent(state: Object) -> str:
    current = state.get("state") or {}
    if ended := current.get("terminated"):
        return f"ended with exit code {ended.get('exitCode')} ({ended.get('reason', '')})"
    return f"waits: {(current.get('waiting') or {}).get('reason') or 'it has not begun'}"


@dataclass(frozen=True, slots=True)
class _Machine:
    """Where things are read."""

    proc: Path
    trees: Hierarchies
    tables: Tables


def _container(
    machine: _Machine,
    name: str,
    kind: str,
    image: str,
    pids: list[int],
    volumes: dict[str, str],
    restarts: int,
) -> Container:
    proc, first = machine.proc, pids[0]
    spaces = _namespaces(proc, first)
    ports = {socket.inode: socket for socket in machine.tables.of(first, spaces.get("net", 0)) if socket.listens}
    mounted = files.places(proc, first) if kind != PAUSE else []
    status = _status(proc, first)
    cgroup = _cgroup(proc, first)
    root = files.root_of(mounted)
    use = use_of(machine.trees, cgroup) if kind != PAUSE else Use()
    return Container(
        name=name,
        kind=kind,
        image=image,
        processes=tuple(_process(proc, pid, ports) for pid in pids),
        mounts=tuple(
            Mount(place.target, volumes.get(place.target, ""), place.file_system, "ro" in place.options)
            for place in mounted
        ),
        cgroup=cgroup,
        namespaces=spaces,
        restarts=restarts,
        memory=use.memory,
        memory_limit=use.memory_limit,
        cpu_usec=use.cpu_usec,
        cpu_limit=use.cpu_limit,
        pids=use.pids,
        pids_limit=use.pids_limit,
        frozen=use.frozen,
        layers=root.layers,
        written=root.written,
        read_only=root.read_only,
        capabilities=capabilities.names(int(status.get("CapEff", "0"), 16)),
        seccomp=status.get("Seccomp", "0") == "2",
        no_new_privileges=status.get("NoNewPrivs", "0") == "1",
    )


def _namespaces(proc: Path, pid: int | str) -> dict[str, int]:
    found = {}
    for kind in KINDS:
        try:
            target = os.readlink(proc / str(pid) / "ns" / kind)
        except FileNotFoundError:
            continue  # it has ended, or the kernel lacks the kind
        found[kind] = int(target.partition("[")[2].rstrip("]"))
    return found


def _status(proc: Path, pid: int) -> dict[str, str]:
    """/proc/PID/status as its fields; {} when the process has ended."""
    try:
        text = (proc / str(pid) / "status").read_text()
    except OSError:
        return {}
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def _process(proc: Path, pid: int, ports: dict[int, Socket]) -> Process:
    """`ports` are the sockets that listen, by inode."""
    directory = proc / str(pid)
    fields = _status(proc, pid)
    try:
        words = (directory / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        fields = {}
    if not fields:
        return Process(pid, 0, 0, "(it has just ended)")
    command = " ".join(word.decode(errors="replace") for word in words).strip() or fields["Name"]
    listens = {ports[inode].port for inode in sockets.held_by(directory) if inode in ports}
    return Process(
        pid=pid,
        inner_pid=int(fields["NSpid"].split()[-1]),
        user=int(fields["Uid"].split()[1]),
        command=" ".join(command.split()),
        listens=tuple(sorted(listens)),
        parent=int(fields.get("PPid", "0")),
        state=fields.get("State", "")[:1],
    )


def _connections(machine: _Machine, containers: tuple[Container, ...]) -> tuple[Connection, ...]:
    inside = [container for container in containers if container.name != PAUSE]
    if not inside:
        return ()
    holders: dict[int, str] = {}
    for container in inside:
        for process in container.processes:
            for inode in sockets.held_by(machine.proc / str(process.pid)):
                holders.setdefault(inode, container.name)
    first = inside[0]
    return sockets.connections(machine.tables.of(first.processes[0].pid, first.namespaces.get("net", 0)), holders)


def _volumes(proc: Path, spec: Object, containers: tuple[Container, ...]) -> Iterator[Volume]:
    runs = {container.name: container for container in containers}
    everyone = [
        *(spec.get("initContainers") or []),
        *(spec.get("containers") or []),
        *(spec.get("ephemeralContainers") or []),
    ]
    for volume in spec.get("volumes") or []:
        kind = next((key for key in volume if key != "name"), "")
        targets = tuple(
            (container["name"], mount["mountPath"])
            for container in everyone
            for mount in container.get("volumeMounts") or []
            if mount["name"] == volume["name"]
        )
        yield Volume(volume["name"], kind, targets, _volume_size(proc, runs, targets))


def _volume_size(proc: Path, runs: dict[str, Container], targets: tuple[tuple[str, str], ...]) -> int:
    """What is in a volume, looked at in the first container that runs and has it."""
    for name, target in targets:
        container = runs.get(name)
        mounted = {mount.target: mount for mount in container.mounts} if container is not None else {}
        if container is not None and (mount := mounted.get(target.rstrip("/"))) is not None:
            return files.size_in(proc, container.processes[0].pid, mount.target, mount.file_system)
    return 0
