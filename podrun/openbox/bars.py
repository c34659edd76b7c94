"""A timeline for a terminal: a line for each step, with a bar that shows when it was and how long it took.

Nothing much happens between a pod's start and its end, so the life is cut where it is quiet, and each part has a scale
of its own. What belongs together is folded: a container's mounts into one line, a probe that says the same into one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from podrun.openbox.names import EXEC

Object = dict[str, Any]

QUIET = 500_000
"""Microseconds without a step after which a new part begins."""
_FOLDED = ("mount", "namespace", "cgroup")
_COLORS = {
    "api": 36,
    "decision": 35,
    "status": 32,
    "event": 90,
    "volume": 33,
    "network": 34,
    "namespace": 94,
    "mount": 33,
    "process": 31,
    "cgroup": 90,
    "probe": 92,
    "signal": 91,
    "exit": 91,
}
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def draw(timeline: Object, width: int, *, color: bool = False, folded: bool = True) -> str:
    """The picture, at most `width` columns (never less than 80)."""
    width = max(width, 80)
    steps = _folded(timeline["steps"]) if folded else [*timeline["steps"]]
    lines = [*_head(timeline, width), ""]
    for part in _parts(steps):
        lines += [*_part(part, width, color), ""]
    if timeline["dropped"]:
        lines.append(f"({timeline['dropped']} steps between the first and the last ones were not kept)")
    return "\n".join(lines).rstrip()


def _head(timeline: Object, width: int) -> Iterator[str]:
    began = datetime.fromtimestamp(timeline["zero"] / 1e9).strftime("%Y-%m-%d %H:%M:%S.%f")
    gone = ", gone" if timeline["ended"] else ""
    yield f"pod {timeline['name']} in {timeline['namespace']}, since {began}{gone}"
    if timeline["adopted"]:
        yield "(podrund was restarted meanwhile)"
    reached = sorted(timeline["milestones"].items(), key=lambda pair: pair[1])
    line = ""
    for text in (f"{name} {_time(at)}" for name, at in reached):
        if line and len(line) + 3 + len(text) > width:
            yield line
            line = ""
        line += f"   {text}" if line else text
    yield line


def _folded(steps: Iterable[Object]) -> list[Object]:
    """Runs of small steps of one kind in a row of one lane as one, and a probe that repeats itself."""
    made: list[Object] = []
    open_runs: dict[str, Object] = {}
    probes: dict[tuple[str, str], Object] = {}
    """The last of those that repeat themselves: probes, and what they execute."""
    for step in steps:
        lane, kind = step["lane"], step["kind"]
        if kind in _FOLDED:
            run = open_runs.get(lane)
            if run is not None and run["kind"] == kind:
                run["names"].append(step["name"])
                run["took"] = step["at"] + step["took"] - run["at"]
                continue
            run = open_runs[lane] = {**step, "names": [step["name"]]}
            made.append(run)
            continue
        open_runs.pop(lane, None)
        if kind == "probe" or step["name"] == EXEC:
            key = (lane, step["name"])
            before = probes.get(key)
            if kind == "probe":  # another verdict begins anew
                kept = (key, (lane, EXEC))
                probes = {other: each for other, each in probes.items() if other[0] != lane or other in kept}
            if before is not None and before["detail"] == step["detail"]:
                before["times"] += 1
                before["until"] = step["at"]
                continue
            step = probes[key] = {**step, "times": 1}
        elif kind in ("exit", "signal"):
            probes.clear()
        made.append(step)
    return [_named(step) for step in made]


def _named(step: Object) -> Object:
    if len(step.get("names", ())) > 1:
        names = step["names"]
        shown = f"{names[0]} and {len(names) - 1} more"
        return {**step, "name": shown, "detail": ", ".join(names[1:])}
    if step.get("times", 1) > 1:
        detail = f"until {_time(step['until'])}; {step['detail']}".rstrip("; ")
        return {**step, "name": f"{step['name']} x{step['times']}", "detail": detail}
    return step


def _parts(steps: list[Object]) -> Iterator[list[Object]]:
    """The steps, cut where it is quiet."""
    part: list[Object] = []
    end = 0
    for step in steps:
        if part and step["at"] - end > QUIET:
            yield part
            part = []
        part.append(step)
        end = max(end, step["at"] + step["took"])
    if part:
        yield part


def _part(steps: list[Object], width: int, color: bool) -> Iterator[str]:
    begin = steps[0]["at"]
    length = max(max(step["at"] + step["took"] for step in steps) - begin, 1)
    bar_width = max(min(width // 4, 40), 16)
    lane_width = min(max(len(_who(step)) for step in steps), 24)
    yield f"{'AT':>11} {'TOOK':>9}  {_ruler(length, bar_width)}  {'WHO':<{lane_width}}  WHAT"
    for step in steps:
        bar = _bar(step["at"] - begin, step["took"], length, bar_width)
        if color:
            bar = f"\x1b[{_COLORS.get(step['kind'], 0)}m{bar}\x1b[0m"
        took = _time(step["took"]) if step["took"] else ""
        what = f"{step['name']}: {step['detail']}" if step["detail"] else step["name"]
        room = width - 11 - 1 - 9 - 2 - bar_width - 2 - lane_width - 2
        who = f"{_who(step)[:lane_width]:<{lane_width}}"
        yield f"{_time(step['at']):>11} {took:>9}  {bar}  {who}  {_cut(what, max(room, 16))}".rstrip()


def _who(step: Object) -> str:
    return str(step["lane"]).removeprefix("container ")


def _ruler(length: int, width: int) -> str:
    text = _time(length)
    return f"├{'─' * (width - len(text) - 3)} {text}┤"


def _bar(at: int, took: int, length: int, width: int) -> str:
    """A bar of eighths of a column; a moment is a thin line."""
    start = at * width * 8 // (length + 1)
    end = max((at + took) * width * 8 // (length + 1), start + 1)
    cells = []
    for cell in range(width):
        filled = min(max(end - cell * 8, 0), 8)
        skipped = min(max(start - cell * 8, 0), 8)
        if filled <= skipped:
            cells.append(" ")
        elif skipped:
            cells.append("▕" if filled - skipped < 4 else "▐")
        else:
            cells.append(_EIGHTHS[filled])
    return "".join(cells)


def _time(microseconds: int) -> str:
    if microseconds < 1000:
        return f"{microseconds} us"
    if microseconds < 1_000_000:
        return f"{microseconds / 1000:.2f} ms"
    if microseconds < 600_000_000:
        return f"{microseconds / 1e6:.3f} s"
    return f"{microseconds / 60e6:.1f} min"


def _cut(text: str, room: int) -> str:
    text = " ".join(text.split())
    return f"{text[: room - 1]}…" if len(text) > room else text
