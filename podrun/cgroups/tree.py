"""podrun's place in the cgroup trees: its root, the three classes of pods, a group per pod.

<mount>[/podrun-pods.scope]/podrun              root
<mount>[/podrun-pods.scope]/podrun/burstable    class (guaranteed pods are directly below the root)
.../pod<uid>                                    a pod: its limits
.../pod<uid>/<container id or sandbox id>      a leaf: its processes (pause: on v2 only, see Group.leaf)
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from podrun.cgroups.group import Group, put
from podrun.cgroups.hierarchy import Hierarchies
from podrun.cgroups.limits import Limits

CLASSES = ("", "burstable", "besteffort")


class PodGroups:
    """All pods' groups below `name` (a relative path) in the machine's trees."""

    def __init__(self, machine: Hierarchies, name: str = "podrun") -> None:
        self.machine = machine
        self.name = name
        self.root = Group(machine.below(name), "")

    def prepare(self) -> None:
        """Make the root and the classes, controllers handed down all the way; idempotent.

        Raises OSError: on v2 with EBUSY where a group above the root holds processes of others.
        """
        machine = self.machine
        if machine.unified is not None and machine.unified_controllers:
            above = machine.unified
            for part in ("", *Path(self.name).parts[:-1]):
                above = above / part
                above.mkdir(exist_ok=True)
                enabled = (above / "cgroup.subtree_control").read_text().split()
                if not machine.unified_controllers <= set(enabled):
                    put(
                        above / "cgroup.subtree_control", " ".join(f"+{c}" for c in sorted(machine.unified_controllers))
                    )
        self.root.create(parent=True)
        for name in CLASSES[1:]:
            # Best-effort pods as a class weigh next to nothing beside the others, as the kubelet sets it.
            self.root.child(name).create(Limits(cpu_shares=2) if name == "besteffort" else None, parent=True)

    def pod(self, parent: str, uid: str) -> Group:
        """The group of a pod; `parent` is one of CLASSES."""
        return self.root.child(f"{parent}/pod{uid}" if parent else f"pod{uid}")

    def pods(self) -> dict[str, Group]:
        """Every pod group that is there in any tree, by uid."""
        found: dict[str, Group] = {}
        for parent in CLASSES:
            for directory in self.root.child(parent).directories if parent else self.root.directories:
                with contextlib.suppress(FileNotFoundError):
                    for entry in directory.iterdir():
                        if entry.name.startswith("pod") and entry.is_dir():
                            uid = entry.name.removeprefix("pod")
                            found[uid] = self.pod(parent, uid)
        return found

    def remove(self) -> None:
        """Remove root and classes (for reset); raises OSError (EBUSY) while pods run."""
        self.root.remove()
