"""Opens a pod: joins what the API says of it with what the kernel says of its processes.

A process belongs to the pod whose cgroup it is in (/proc/PID/cgroup ends in `pod<uid>/<container id or pause>`), so the
truth of what runs is the kernel's own; the API object gives names to it. Needs root, and nothing of the daemon.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from podrun.anatomy.model import (
    KINDS,
    PAUSE,
    Anatomy,
    Container,
    Mount,
    Process,
    Volume,
    group_namespaces,
)

Object = dict[str, Any]

PROC = Path("/proc")
_LISTENING = "0A"


def open_pod(pod: Object, proc: Path = PROC) -> Anatomy:
    """The anatomy of a Pod object, as its processes are now. Raises PermissionError without root."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    found = _members(proc, metadata["uid"])
    containers, absent = [], []
    declared = list(_declared(spec, status))
    leaves = {str(state.get("containerID") or "").rpartition("/")[2] for _, _, state in declared}
    pause = next((leaf for leaf in found if leaf not in leaves and _is_pause(proc, found[leaf][0])), None)
    if pause is not None:
        containers.append(_container(proc, PAUSE, PAUSE, "", found[pause], {}, 0))
    for kind, container, state in declared:
        leaf = str(state.get("containerID") or "").rpartition("/")[2]
        if leaf in found:
            volumes = {each["mountPath"].rstrip("/"): each["name"] for each in container.get("volumeMounts") or []}
            restarts = int(state.get("restartCount") or 0)
            name, image = container["name"], container.get("image", "")
            containers.append(_container(proc, name, kind, image, found[leaf], volumes, restarts))
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
        volumes=tuple(_volumes(spec)),
        cgroup=cgroup,
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


def _container(
    proc: Path, name: str, kind: str, image: str, pids: list[int], volumes: dict[str, str], restarts: int
) -> Container:
    first = pids[0]
    ports = _listeners(proc, first)
    return Container(
        name=name,
        kind=kind,
        image=image,
        processes=tuple(_process(proc, pid, ports) for pid in pids),
        mounts=tuple(_mounts(proc, first, volumes)) if kind != PAUSE else (),
        cgroup=_cgroup(proc, first),
        namespaces=_namespaces(proc, first),
        restarts=restarts,
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


def _process(proc: Path, pid: int, ports: dict[int, int]) -> Process:
    directory = proc / str(pid)
    try:
        fields = dict(line.split(":\t", 1) for line in (directory / "status").read_text().splitlines() if ":\t" in line)
        words = (directory / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return Process(pid, 0, 0, "(it has just ended)")
    command = " ".join(word.decode(errors="replace") for word in words).strip() or fields["Name"]
    listens = {ports[inode] for inode in _sockets(directory) if inode in ports}
    return Process(
        pid=pid,
        inner_pid=int(fields["NSpid"].split()[-1]),
        user=int(fields["Uid"].split()[1]),
        command=" ".join(command.split()),
        listens=tuple(sorted(listens)),
    )


def _sockets(directory: Path) -> Iterator[int]:
    """The inode numbers of a process's sockets."""
    try:
        for name in os.listdir(directory / "fd"):
            target = os.readlink(directory / "fd" / name)
            if target.startswith("socket:["):
                yield int(target[8:-1])
    except OSError:
        return


def _listeners(proc: Path, pid: int) -> dict[int, int]:
    """Sockets that listen in the process's network namespace: inode -> port."""
    found = {}
    for name in ("tcp", "tcp6"):
        try:
            lines = (proc / str(pid) / "net" / name).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == _LISTENING:
                found[int(fields[9])] = int(fields[1].rpartition(":")[2], 16)
    return found


def _mounts(proc: Path, pid: int, volumes: dict[str, str]) -> Iterator[Mount]:
    """From /proc/PID/mountinfo (proc_pid_mountinfo(5)): field 5 is the place, field 6 its options."""
    try:
        lines = (proc / str(pid) / "mountinfo").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        before, _, after = line.partition(" - ")
        target = before.split(" ")[4].replace("\\040", " ")
        options = before.split(" ")[5].split(",")
        yield Mount(target, volumes.get(target, ""), after.split(" ")[0], "ro" in options)


def _volumes(spec: Object) -> Iterator[Volume]:
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
        yield Volume(volume["name"], kind, targets)
