"""Draws an opened pod for a terminal: the box with its containers side by side, what they share, and what they do not.

Pure: an Anatomy and a width go in, lines come out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from podrun.anatomy.model import PAUSE, Anatomy, Container, Namespace, Volume
from podrun.api.humansize import human_size

NARROWEST_BOX = 30
_GAP = 4
_OWN = {"mnt": "root and mounts", "pid": "processes", "cgroup": "cgroup"}
_WORDS = {
    "net": "network: one address, one port space",
    "ipc": "IPC: SysV IPC, message queues, /dev/shm",
    "uts": "UTS: the hostname",
    "pid": "processes",
    "mnt": "root and mounts",
    "cgroup": "cgroup",
    "user": "users",
}

Lines = list[str]


def draw(anatomy: Anatomy, width: int = 100) -> str:
    """The picture, at most `width` columns wide (but never narrower than one container's box)."""
    inner = max(width - 4, NARROWEST_BOX + 2)
    addresses = ", ".join(anatomy.addresses) or "none yet"
    title = f'Pod "{anatomy.name}" in {anatomy.namespace}   {anatomy.phase}   (one IP: {addresses})'
    body: Lines = ["", *_shared(anatomy, inner), ""]
    boxes = [_box_lines(container) for container in anatomy.containers if container.name != PAUSE]
    body += _side_by_side(boxes, inner)
    body += _volumes(anatomy.volumes, inner)
    body += _localhost(anatomy)
    for name, why in anatomy.absent:
        body.append(f" ( {name} does not run: {why} )")
    body += _pause(anatomy)
    drawn = [title.center(inner + 2).rstrip(), f"┌{'─' * inner}┐"]
    drawn += [f"│{_fit(line, inner)}│" for line in body]
    drawn.append(f"└{'─' * inner}┘")
    drawn += ["", *_table(anatomy.namespaces), "", f"cgroup: {anatomy.cgroup}"]
    return "\n".join(drawn)


def _shared(anatomy: Anatomy, width: int) -> Lines:
    """One line per namespace that more than one container (pause apart) or all of the pod is in."""
    lines = []
    running = {container.name for container in anatomy.containers if container.name != PAUSE}
    for row in anatomy.namespaces:
        if running <= set(row.members) and row.type != "user" and running:
            own = f" ({anatomy.hostname})" if row.type == "uts" else ""
            whose = "the machine's own" if row.host else f"{row.type}:[{row.inode}]"
            lines.append(f" shared: {_WORDS[row.type]}{own}   {whose}"[:width])
    return lines


def _box_lines(container: Container) -> Lines:
    kind = "" if container.kind == "container" else f" ({container.kind})"
    frozen = " FROZEN" if container.frozen else ""
    lines = [f"{container.name}{kind}{frozen}", container.image]
    if container.restarts:
        lines.append(f"restarted {container.restarts} times" if container.restarts > 1 else "restarted once")
    lines += _tree(container)
    lines.append(_root(container))
    lines.append(_mounts(container))
    lines.append(_powers(container))
    lines += _use(container)
    return [*lines, *(f"own {kind}:[{container.namespaces[kind]}]" for kind in _OWN if kind in container.namespaces)]


def _tree(container: Container) -> Lines:
    """The processes, each below the one that made it."""
    inside = {process.pid for process in container.processes}
    lines: Lines = []

    def add(parent: int | None, depth: int) -> None:
        for process in container.processes:
            if (process.parent == parent) if parent is not None else (process.parent not in inside):
                ports = "".join(f" :{port}" for port in process.listens)
                stopped = {"T": " stopped", "Z": " zombie"}.get(process.state, "")
                branch = "  " * (depth - 1) + "└ " if depth else ""
                lines.append(f"{branch}{process.pid} (inside {process.inner_pid}) uid {process.user}{ports}{stopped}")
                lines.append(f"{'  ' * (depth + 1)}{process.command}")
                add(process.pid, depth + 1)

    add(None, 0)
    return lines


def _root(container: Container) -> str:
    layers = f"{container.layers} layer{'s' if container.layers != 1 else ''}"
    changed = "read-only" if container.read_only else f"{human_size(container.written)} written"
    return f"root: {layers}, {changed}"


def _mounts(container: Container) -> str:
    volumes = sum(1 for mount in container.mounts if mount.volume)
    own = f", {volumes} of them volumes" if volumes else ""
    return f"{len(container.mounts)} mounts{own}"


def _powers(container: Container) -> str:
    """How far the first process may go."""
    count = len(container.capabilities)
    parts = [f"{count} capabilities" if count != 1 else f"capability {container.capabilities[0]}"]
    parts += ["seccomp"] if container.seccomp else ["no seccomp"]
    parts += ["no new privileges"] if container.no_new_privileges else []
    return ", ".join(parts)


def _use(container: Container) -> Lines:
    memory = f"memory {human_size(container.memory)}"
    memory += f" of {human_size(container.memory_limit)}" if container.memory_limit else ""
    cpu = f"cpu {container.cpu_usec / 1e6:.2f} s"
    cpu += f", at most {container.cpu_limit}m" if container.cpu_limit else ""
    pids = f", at most {container.pids_limit} processes" if container.pids_limit else ""
    return [f"{memory}, {cpu}{pids}"]


def _side_by_side(boxes: list[Lines], width: int) -> Lines:
    """Boxes in rows: as many beside each other as the width holds."""
    if not boxes:
        return []
    per_row = max(min(len(boxes), (width - 2 + _GAP) // (NARROWEST_BOX + _GAP)), 1)
    box_width = (width - 2 - _GAP * (per_row - 1)) // per_row
    lines: Lines = []
    for start in range(0, len(boxes), per_row):
        row = [_wrapped(box, box_width - 4) for box in boxes[start : start + per_row]]
        height = max(map(len, row))
        framed = [_framed(box, box_width, height) for box in row]
        between = ["    "] * (height + 2)
        if len(row) > 1:
            between[1] = "◄──►"  # localhost
        for number, parts in enumerate(zip(*framed, strict=True)):
            lines.append(" " + between[number].join(parts))
    return lines


def _wrapped(lines: Iterable[str], width: int) -> Lines:
    """Long lines broken once or twice; what is longer still ends in an ellipsis."""
    out: Lines = []
    for line in lines:
        indent = " " * min(len(line) - len(line.lstrip(" ")), width // 2)
        parts = textwrap.wrap(line.strip(), width, initial_indent=indent, subsequent_indent=f"{indent}  ") or [""]
        if len(parts) > 2:
            parts = [parts[0], parts[1][: width - 1] + "…"]
        out += parts
    return out


def _framed(lines: Lines, width: int, height: int) -> Lines:
    inner = width - 2
    padded = lines + [""] * (height - len(lines))
    return [f"┌{'─' * inner}┐", *(f"│ {_fit(line, inner - 1)}│" for line in padded), f"└{'─' * inner}┘"]


def _localhost(anatomy: Anatomy) -> Lines:
    """Who speaks with whom right now."""
    lines = []
    for each in anatomy.connections:
        often = f" ({each.count} connections)" if each.count > 1 else ""
        lines.append(f"   {each.source} ──► {each.target} :{each.port} over localhost{often}")
    return lines


def _volumes(volumes: tuple[Volume, ...], width: int) -> Lines:
    """A box per volume that more than one container has, a line per other one."""
    lines: Lines = []
    for volume in volumes:
        text = f"volume: {volume.name} ({volume.kind})" + (f" {human_size(volume.bytes)}" if volume.bytes else "")
        if len(volume.targets) > 1:
            inside = [text, *(f"  → {container}: {path}" for container, path in volume.targets)]
            frame_width = min(max(map(len, inside)) + 4, width - 2)
            lines += [" " + line for line in _framed(inside, frame_width, len(inside))]
        else:
            where = f"  →  {volume.targets[0][0]}: {volume.targets[0][1]}" if volume.targets else "  (nobody has it)"
            lines.append(f"   {text}{where}"[:width])
    return lines


def _pause(anatomy: Anatomy) -> Lines:
    pause = next((container for container in anatomy.containers if container.name == PAUSE), None)
    if pause is None:
        return [" (no sandbox: nothing of this pod runs)"]
    pid = pause.processes[0].pid
    return ["", f" (pause {pid} holds the namespaces that the containers join; it does nothing else)"]


def _table(rows: tuple[Namespace, ...]) -> Lines:
    lines = [("NAMESPACE", "INODE", "WHO IS IN IT")]
    lines += [
        (row.type, str(row.inode), ", ".join(row.members) + ("   (the machine's own)" if row.host else ""))
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(2)]
    return [f"{kind:<{widths[0]}}   {inode:<{widths[1]}}   {who}" for kind, inode, who in lines]


def _fit(text: str, width: int) -> str:
    return f"{text[: width - 1]}…" if len(text) > width else text.ljust(width)
