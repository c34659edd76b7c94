"""The steps of a container's plan as shell commands, in the plan's own order: what the forked child does by calls.

What a command line does otherwise is done before or after, and a comment says so: namespaces are joined by nsenter and
made by unshare, which then run the rest; the last word is chroot's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from podrun.kernel.flags import MountAttr, MountFlags
from podrun.openbox.script.words import ROOT, WORK, at, continued, word
from podrun.spawner.plan import (
    Attributes,
    Bind,
    BindFrom,
    Device,
    Directory,
    EnterCgroups,
    File,
    Mask,
    Mount,
    Overlay,
    PivotRoot,
    ReadOnly,
    Root,
    Setns,
    Step,
    Symlink,
    Unshare,
)

_FLAGS = {
    MountFlags.RDONLY: "ro",
    MountFlags.NOSUID: "nosuid",
    MountFlags.NODEV: "nodev",
    MountFlags.NOEXEC: "noexec",
    MountFlags.STRICTATIME: "strictatime",
}
_ABOUT: dict[str, str] = {
    "proc": "processes, as this PID namespace shows them",
    "sysfs": "devices; network links as this network namespace shows them",
    "devpts": "terminals of its own",
    "mqueue": "POSIX message queues of the pod's IPC namespace",
}


SKELETON = f"{WORK}/skeleton"
"""Stands for the layer of mount points that podrun puts below an image; here they are made as they are needed."""


class Untranslatable(Exception):
    """A step for which there is no command; the text says what it belongs to."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a passed descriptor is open on: a path for the script; a missing one is a directory that is to be made."""

    path: str
    about: str
    made: bool = False


Sources = Mapping[int, Source]
"""By the descriptors' numbers."""


def commands(steps: Iterable[Step], sources: Sources) -> list[str]:
    """The lines of a function that runs in the new namespaces. Raises Untranslatable."""
    lines: list[str] = []
    made: set[str] = set()
    for step in steps:
        if isinstance(step, Device | Directory):
            if step.path in made:
                continue  # an entry that is there stays as it is
            made.add(step.path)
        translate = _TRANSLATIONS.get(type(step))
        if translate is None:
            raise Untranslatable(f"there is no command for the step {type(step).__name__}")
        lines += translate(step, sources)
    return lines


def _mount(step: Mount, sources: Sources) -> list[str]:
    if step.target.startswith("/sys/fs/cgroup"):
        return ["", "# its own cgroups, read-only", "cgroup_view"] if step.target == "/sys/fs/cgroup" else []
    options = [name for flag, name in _FLAGS.items() if flag in step.flags]
    options += [step.options] if step.options else []
    about = _ABOUT.get(step.type, "")
    mounted = f"mount -t {step.type} -o {word(','.join(options) or 'defaults')} {step.source or step.type}"
    return [
        "",
        *([f"# {about}"] if about else []),
        f"mkdir -p {at(step.target)}",
        f"{mounted} {at(step.target)}",
    ]


def _overlay(step: Overlay, sources: Sources) -> list[str]:
    lower = ":".join(layer for layer in reversed(step.lower) if layer != SKELETON)
    return [
        "",
        "# its root: the image below, which stays as it is, and above it a layer of its own that takes every change",
        f'mount -t overlay -o "lowerdir={lower},upperdir={step.upper},workdir={step.work}" overlay "{ROOT}"',
    ]


def _device(step: Device, sources: Sources) -> list[str]:
    return [f"mknod -m {step.mode:o} {at(step.path)} {step.kind} {step.major} {step.minor}"]


def _symlink(step: Symlink, sources: Sources) -> list[str]:
    if step.path.startswith("/sys/fs/cgroup"):
        return []  # cgroup_view makes them
    return [f"ln -sfn {word(step.to)} {at(step.path)}"]


def _bind(step: Bind, sources: Sources) -> list[str]:
    source = sources[step.source] if step.source is not None else Source(step.path, "")
    lines = ["", *([f"# {source.about}"] if source.about else [])]
    lines += [f"[ -e {word(source.path)} ] || mkdir -p {word(source.path)}"] if source.made else []
    lines += [f"bind {word(source.path)} {at(step.target)}"]
    if MountAttr.RDONLY in step.set:
        lines.append(f"mount -o remount,bind,ro {at(step.target)}")
    if MountFlags.SHARED in step.propagation or MountFlags.SLAVE in step.propagation:
        kind = "shared" if MountFlags.SHARED in step.propagation else "slave"
        lines.append(f"mount --make-r{kind} {at(step.target)}")
    return lines


def _bind_from(step: BindFrom, sources: Sources) -> list[str]:
    return ["", "# memory that the pod's containers share", f'bind "{WORK}/shm" {at(step.path)}']


def _mask(step: Mask, sources: Sources) -> list[str]:
    return ["", "# what a container may not look into", *_each("hide", step.paths)]


def _read_only(step: ReadOnly, sources: Sources) -> list[str]:
    return ["", "# what it may look at and not change", *_each("protect", step.paths)]


def _each(verb: str, paths: Iterable[str]) -> list[str]:
    return [*continued("for path in", map(word, paths), "; do"), f'    {verb} "{ROOT}$path"', "done"]


def _attributes(step: Attributes, sources: Sources) -> list[str]:
    if MountAttr.RDONLY not in step.set:
        return []
    about = ["", "# readOnlyRootFilesystem"] if step.path == "/" else []
    return [*about, f"mount -o remount,bind,ro {at(step.path)}"]


def _nothing(step: Step, sources: Sources) -> list[str]:
    return []


_TRANSLATIONS: dict[type, Callable[[Any, Sources], list[str]]] = {
    EnterCgroups: _nothing,
    Setns: _nothing,
    Unshare: _nothing,
    Root: _nothing,
    PivotRoot: _nothing,
    Overlay: _overlay,
    Mount: _mount,
    Bind: _bind,
    BindFrom: _bind_from,
    Directory: lambda step, _: [f"mkdir -p {at(step.path)}"],
    File: lambda step, _: [f": >> {at(step.path)}"],
    Symlink: _symlink,
    Device: _device,
    Mask: _mask,
    ReadOnly: _read_only,
    Attributes: _attributes,
}
