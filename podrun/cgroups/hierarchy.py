"""Which cgroup file systems a machine has, and which of them does what for podrun.

Three kinds of machine are real in the field: pure v2, pure v1 (each controller its own mount) and hybrid (controllers
on v1, a v2 tree beside them that has few or none). One rule serves all three: a limit is set where its controller
is, and everything that v2 does without a controller (membership, kill, freeze, CPU time, devices by BPF) is done on v2
wherever v2 is mounted at all, so that as few v1 trees as possible are walked for each container.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LIMITED = ("cpu", "memory", "pids")
"""Controllers that limits are set on, wherever they are."""
WITHOUT_V2 = ("cpuacct", "freezer", "devices")
"""v1 controllers that are needed only where no v2 tree is mounted."""


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """The directories below which podrun's groups are made: one per tree that is used."""

    unified: Path | None = None
    unified_controllers: frozenset[str] = frozenset()
    legacy: Mapping[str, Path] = field(default_factory=dict)
    """v1 controller -> directory; controllers mounted together share one."""

    @property
    def directories(self) -> tuple[Path, ...]:
        """Each used tree's directory once, v2 first."""
        first = (self.unified,) if self.unified is not None else ()
        return tuple(dict.fromkeys((*first, *self.legacy.values())))

    @property
    def legacy_directories(self) -> tuple[Path, ...]:
        """Each used v1 tree's directory once."""
        return tuple(dict.fromkeys(self.legacy.values()))

    def of(self, controller: str) -> Path | None:
        """Where `controller` is, or None when the machine does not have it."""
        return self.unified if controller in self.unified_controllers else self.legacy.get(controller)

    def missing(self) -> tuple[str, ...]:
        """Controllers without which limits cannot be kept."""
        return tuple(name for name in LIMITED if self.of(name) is None)

    def below(self, name: str) -> Hierarchies:
        """The same trees with `name` (a relative path) added to each directory."""
        return Hierarchies(
            self.unified / name if self.unified is not None else None,
            self.unified_controllers,
            {controller: path / name for controller, path in self.legacy.items()},
        )


def choose(mountinfo: str, unified_controllers: Mapping[Path, frozenset[str]]) -> Hierarchies:
    """Decide from the text of /proc/self/mountinfo and from what each v2 mount's cgroup.controllers lists."""
    unified: Path | None = None
    mounted: dict[str, Path] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = (*after.split(" "), "", "")[:3]
        point = Path(before.split(" ")[4].replace("\\040", " "))
        if kind == "cgroup2" and unified is None:
            unified = point
        elif kind == "cgroup":
            for option in options.split(","):
                mounted.setdefault(option, point)
    available = unified_controllers.get(unified, frozenset()) if unified is not None else frozenset()
    wanted = LIMITED if unified is not None else (*LIMITED, *WITHOUT_V2)
    legacy = {name: mounted[name] for name in wanted if name in mounted and name not in available}
    return Hierarchies(unified, available & frozenset(LIMITED), legacy)


def detect(mountinfo: Path = Path("/proc/self/mountinfo")) -> Hierarchies:
    """The hierarchies of this machine, at their roots. Raises OSError when /proc cannot be read."""
    text = mountinfo.read_text()
    points = {Path(line.split(" ")[4]) for line in text.splitlines() if line.partition(" - ")[2].startswith("cgroup2 ")}
    return choose(text, {point: frozenset((point / "cgroup.controllers").read_text().split()) for point in points})
