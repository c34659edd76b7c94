"""The picture of a pod as SVG: the box of the terminal's drawing, with shelves of volumes between who mounts them.

Pure text; every name that somebody chose is escaped. Sizes are in the units of the view box.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from podrun.anatomy.model import PAUSE, Anatomy, Container
from podrun.api.humansize import human_size

_COLORS = ("paper", "ink", "faint", "pod", "room", "edge")
_LIGHT = dict(zip(_COLORS, ("#ffffff", "#1b1f24", "#57606a", "#0969da", "#f6f8fa", "#8c959f"), strict=True))
_DARK = dict(zip(_COLORS, ("#0d1117", "#e6edf3", "#8b949e", "#58a6ff", "#161b22", "#6e7681"), strict=True))
_ROOM, _GAP, _MARGIN, _LINE, _SIZE = 320, 56, 24, 18, 13
_CHARACTERS = 37
"""That fit into a room's width."""
_COLUMNS = 3
_OWN = ("mnt", "pid", "cgroup")


@dataclass(slots=True)
class _Sheet:
    """What has been drawn so far."""

    colors: dict[str, str]
    parts: list[str] = field(default_factory=list)

    def box(self, x: int, y: int, width: int, height: int, stroke: str, fill: str, *, dashed: bool = False) -> None:
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{self.colors[fill]}" '
            f'stroke="{self.colors[stroke]}" stroke-width="1.5"{dash}/>'
        )

    def text(self, x: int, y: int, words: str, color: str = "ink", *, bold: bool = False, middle: bool = False) -> None:
        weight = ' font-weight="600"' if bold else ""
        anchor = ' text-anchor="middle"' if middle else ""
        self.parts.append(f'<text x="{x}" y="{y}" fill="{self.colors[color]}"{weight}{anchor}>{escape(words)}</text>')

    def line(self, x1: int, y1: int, x2: int, y2: int, *, arrows: bool = False) -> None:
        heads = ' marker-start="url(#arrow)" marker-end="url(#arrow)"' if arrows else ""
        color = self.colors["pod"]
        self.parts.append(f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{color}" stroke-width="1.5"{heads}/>')


def draw_svg(anatomy: Anatomy, *, dark: bool = False) -> str:
    """The document."""
    sheet = _Sheet(_DARK if dark else _LIGHT)
    rooms = [container for container in anatomy.containers if container.name != PAUSE]
    columns = min(max(len(rooms), 1), _COLUMNS)
    width = max(columns * _ROOM + (columns - 1) * _GAP + 4 * _MARGIN, 560)
    y = _MARGIN + _LINE
    sheet.text(width // 2, y, f"Pod {anatomy.name}   {anatomy.phase}   {_address(anatomy)}", bold=True, middle=True)
    top = y + _LINE
    y = top + _LINE + 6
    for words in _shared(anatomy, rooms):
        sheet.text(2 * _MARGIN, y, words, "pod")
        y += _LINE
    y += 8
    spots: dict[str, tuple[int, int]] = {}
    for start in range(0, len(rooms), columns):
        y = _row(sheet, rooms[start : start + columns], y, spots) + 34
    y = _shelves(sheet, anatomy, y, width, spots)
    y = _foot(sheet, anatomy, y)
    pod = _Sheet(sheet.colors)
    pod.box(_MARGIN, top, width - 2 * _MARGIN, y - top, "pod", "paper")
    height = y + _MARGIN
    marker = (
        '<marker id="arrow" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7" '
        f'orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="{sheet.colors["pod"]}"/></marker>'
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="{_SIZE}" role="img">',
            f"<title>{escape(f'the anatomy of pod {anatomy.name}')}</title>",
            f"<defs>{marker}</defs>",
            f'<rect width="{width}" height="{height}" fill="{sheet.colors["paper"]}"/>',
            *pod.parts,
            *sheet.parts,
            "</svg>",
        ]
    )


def _address(anatomy: Anatomy) -> str:
    return f"one IP: {', '.join(anatomy.addresses)}" if anatomy.addresses else "no address yet"


def _shared(anatomy: Anatomy, rooms: list[Container]) -> Iterable[str]:
    names = {room.name for room in rooms}
    words = {"net": "network (one address, one port space)", "ipc": "IPC", "uts": "hostname", "pid": "processes"}
    for row in anatomy.namespaces:
        if row.type in words and names and names <= set(row.members):
            name = f" {anatomy.hostname}" if row.type == "uts" else ""
            yield f"shared: {words[row.type]}{name}   {'of the machine' if row.host else f'{row.type}:[{row.inode}]'}"


def _row(sheet: _Sheet, rooms: list[Container], y: int, spots: dict[str, tuple[int, int]]) -> int:
    """Rooms side by side, joined by localhost; where the row ends. `spots` gets the middle of each one's floor."""
    texts = [_lines(room) for room in rooms]
    height = max(map(len, texts)) * _LINE + 20
    for column, (room, lines) in enumerate(zip(rooms, texts, strict=True)):
        x = 2 * _MARGIN + column * (_ROOM + _GAP)
        sheet.box(x, y, _ROOM, height, "edge", "room", dashed=room.frozen)
        for number, (words, color) in enumerate(lines):
            sheet.text(x + 12, y + 22 + number * _LINE, _cut(words), color, bold=number == 0)
        if column:
            sheet.line(x - _GAP + 3, y + 24, x - 3, y + 24, arrows=True)
            sheet.text(x - _GAP // 2, y + 16, "localhost", "faint", middle=True)
        spots[room.name] = (x + _ROOM // 2, y + height)
    return y + height


def _lines(room: Container) -> list[tuple[str, str]]:
    kind = "" if room.kind == "container" else f" ({room.kind})"
    lines = [(f"{room.name}{kind}{'  frozen' if room.frozen else ''}", "ink"), (room.image, "faint")]
    for process in room.processes[:8]:
        ports = "".join(f" :{port}" for port in process.listens)
        lines.append((f"{process.pid} (inside {process.inner_pid}) uid {process.user}{ports}", "ink"))
        lines.append((f"  {process.command}", "faint"))
    if len(room.processes) > 8:
        lines.append((f"and {len(room.processes) - 8} more processes", "faint"))
    limit = f" of {human_size(room.memory_limit)}" if room.memory_limit else ""
    lines.append((f"memory {human_size(room.memory)}{limit}, cpu {room.cpu_usec / 1e6:.2f} s", "ink"))
    lines.append((f"root: {room.layers} layers, {human_size(room.written)} written", "ink"))
    lines.append((f"{len(room.capabilities)} capabilities, {'' if room.seccomp else 'no '}seccomp", "ink"))
    return [*lines, *((f"own {kind}:[{room.namespaces[kind]}]", "faint") for kind in _OWN if kind in room.namespaces)]


def _shelves(sheet: _Sheet, anatomy: Anatomy, y: int, width: int, spots: dict[str, tuple[int, int]]) -> int:
    """A shelf per volume, hung from the rooms of those who have it."""
    for volume in anatomy.volumes:
        for name, _ in volume.targets:
            if name in spots:
                x, floor = spots[name]
                sheet.line(x, floor, x, y)
        contents = f"   {human_size(volume.bytes)}" if volume.bytes else ""
        paths = dict.fromkeys(path for _, path in volume.targets)
        words = f"{volume.name} ({volume.kind}){contents}   {' '.join(paths) or 'nobody has it'}"
        sheet.box(2 * _MARGIN, y, width - 4 * _MARGIN, 28, "edge", "room")
        sheet.text(2 * _MARGIN + 12, y + 19, _cut(words, (width - 5 * _MARGIN) * _CHARACTERS // (_ROOM - _MARGIN)))
        y += 38
    return y


def _foot(sheet: _Sheet, anatomy: Anatomy, y: int) -> int:
    pause = next((container for container in anatomy.containers if container.name == PAUSE), None)
    lines = [f"{each.source} → {each.target} :{each.port} over localhost" for each in anatomy.connections]
    lines += [f"{name} does not run: {why}" for name, why in anatomy.absent]
    if pause is None:
        lines.append("no sandbox: nothing of this pod runs")
    else:
        lines.append(f"pause {pause.processes[0].pid} holds the namespaces that the containers join")
    for words in lines:
        sheet.text(2 * _MARGIN, y + _LINE, words, "faint")
        y += _LINE
    return y + 16


def _cut(text: str, most: int = _CHARACTERS) -> str:
    return f"{text[: most - 1]}…" if len(text) > most else text
