"""What two containers or pods share and what they do not: namespaces, volumes, cgroup, root, user, powers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from podrun.anatomy.model import KINDS, PAUSE, Anatomy, Container

_MEANS = {
    "net": "one address, one port space, one localhost",
    "ipc": "SysV IPC, POSIX message queues, /dev/shm",
    "uts": "one hostname",
    "pid": "they see each other's processes",
    "mnt": "one root and the same mounts",
    "cgroup": "one view of the cgroups",
    "user": "user 0 is the same for both",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was compared; `a` and `b` say what each has, `means` what sharing it amounts to."""

    what: str
    shared: bool
    a: str
    b: str
    means: str = ""


@dataclass(frozen=True, slots=True)
class Side:
    """What is compared: a container, or, with no container, a pod."""

    pod: Anatomy
    container: Container | None = None

    @property
    def title(self) -> str:
        return f"{self.pod.name}/{self.container.name}" if self.container is not None else self.pod.name

    @property
    def namespaces(self) -> dict[str, int]:
        """A pod's own are pause's, where it has one: what its containers have in common."""
        if self.container is not None:
            return self.container.namespaces
        pause = next((each for each in self.pod.containers if each.name == PAUSE), None)
        first = pause or next(iter(self.pod.containers), None)
        if first is None:
            return {}
        everyone = [each.namespaces for each in self.pod.containers]
        return {kind: inode for kind, inode in first.namespaces.items() if all(o.get(kind) == inode for o in everyone)}


def side(anatomy: Anatomy, container: str = "") -> Side:
    """Raises LookupError that names the containers there are."""
    if not container:
        return Side(anatomy)
    found = {each.name: each for each in anatomy.containers}
    if container not in found:
        raise LookupError(f"pod {anatomy.name} has no container {container} that runs; it has {', '.join(found)}")
    return Side(anatomy, found[container])


def compare(a: Side, b: Side) -> tuple[Line, ...]:
    """Everything that is to be compared, what is shared first."""
    lines = [*_namespaces(a, b), *_volumes(a, b), *_others(a, b)]
    return tuple(sorted(lines, key=lambda line: not line.shared))


def _namespaces(a: Side, b: Side) -> Iterator[Line]:
    mine, theirs = a.namespaces, b.namespaces
    for kind in KINDS:
        if kind in mine or kind in theirs:
            left, right = mine.get(kind), theirs.get(kind)
            yield Line(
                f"{kind} namespace",
                left == right and left is not None,
                f"[{left}]" if left is not None else "each container its own",
                f"[{right}]" if right is not None else "each container its own",
                _MEANS[kind],
            )


def _volumes(a: Side, b: Side) -> Iterator[Line]:
    if a.pod.uid != b.pod.uid:
        return
    for volume in a.pod.volumes:
        mine = [path for name, path in volume.targets if a.container is None or name == a.container.name]
        theirs = [path for name, path in volume.targets if b.container is None or name == b.container.name]
        if mine or theirs:
            here, there = ", ".join(mine) or "not mounted", ", ".join(theirs) or "not mounted"
            both = bool(mine and theirs)
            yield Line(f"volume {volume.name}", both, here, there, f"the same files ({volume.kind})")


def _others(a: Side, b: Side) -> Iterator[Line]:
    yield Line("pod", a.pod.uid == b.pod.uid, a.pod.name, b.pod.name, "they live and end together")
    mine, theirs = ", ".join(a.pod.addresses) or "none", ", ".join(b.pod.addresses) or "none"
    yield Line("address", a.pod.uid == b.pod.uid and mine == theirs, mine, theirs, "they meet on localhost")
    if a.container is None or b.container is None:
        yield Line("cgroup", a.pod.cgroup == b.pod.cgroup, _last(a.pod.cgroup), _last(b.pod.cgroup), "the pod's limits")
        return
    left, right = a.container, b.container
    yield Line("cgroup", left.cgroup == right.cgroup, _last(left.cgroup), _last(right.cgroup), "one set of limits")
    yield Line("image", left.image == right.image, left.image, right.image, "the same program files, each its own copy")
    yield Line("user", _user(left) == _user(right), _user(left), _user(right), "signals and files of each other")
    yield _powers(left, right)


def _powers(left: Container, right: Container) -> Line:
    """What only one of the two may do."""
    mine, theirs = set(left.capabilities), set(right.capabilities)
    if mine == theirs:
        return Line("capabilities", True, f"{len(mine)} each", f"{len(theirs)} each", ", ".join(left.capabilities))
    only = [", ".join(sorted(names)) or "nothing that the other has not" for names in (mine - theirs, theirs - mine)]
    return Line("capabilities", False, *only)


def _last(cgroup: str) -> str:
    """The end of a group's path, which tells it from others."""
    return cgroup.rpartition("/")[2][:16]


def _user(container: Container) -> str:
    return f"uid {container.processes[0].user}"


def draw(a: Side, b: Side, width: int) -> str:
    """The comparison for a terminal."""
    lines = compare(a, b)
    what = max(len(line.what) for line in lines)
    made = [f"{a.title} and {b.title}", ""]
    for shared, heading in ((True, "shared or alike"), (False, "not shared")):
        chosen = [line for line in lines if line.shared is shared]
        if not chosen:
            continue
        made.append(f"{heading}:")
        for line in chosen:
            text = f"{line.a}   {line.means}" if shared else f"{line.a}  |  {line.b}"
            made.append(f"  {line.what:<{what}}  {text}"[: max(width, 60)].rstrip())
        made.append("")
    return "\n".join(made).rstrip()
