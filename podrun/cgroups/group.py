"""One group in all the trees that are used: make, limit, look at, freeze, kill, remove.

A group is a relative path below podrun's own root, the same in each tree. v2's rule that only leaves hold processes is
kept for v1 too, so that the picture is one: `<qos>/pod<uid>/<container>`, pause in a leaf of its own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

from podrun.cgroups.devices import DEFAULT_DEVICES, DeviceRule
from podrun.cgroups.hierarchy import LIMITED, Hierarchies
from podrun.cgroups.limits import Limits, Write, v1_writes, v2_writes
from podrun.cgroups.statistics import Usage, keyed, working_set

AttachDevices = Callable[[Path, tuple[DeviceRule, ...]], None]
"""Attaches the BPF device program to a v2 directory (podrun.cgroups.bpf.attach_devices)."""


def put(path: Path | str, value: str) -> None:
    """Write `value` to a cgroup file in one write. Raises OSError that names the file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror} (writing {value!r})", str(path)) from None
    finally:
        os.close(descriptor)


class Group:
    """A cgroup by its path below the root; making the object touches nothing."""

    def __init__(self, root: Hierarchies, path: str) -> None:
        self._root = root
        self._at = root.below(path) if path else root
        self.path = path
        self._also: tuple[str, ...] = ()
        """Files of groups above that its processes join as well (see `leaf`)."""

    def child(self, name: str) -> Group:
        """The group `name` inside this one."""
        return Group(self._root, f"{self.path}/{name}" if self.path else name)

    def leaf(self, name: str) -> Group:
        """A group for a process that needs no limits of its own: a leaf on v2, where inner groups hold no processes.

        v1 has no such rule: there the process stays in this group, and three directories less are made and removed.
        """
        if self._root.unified is None:
            return self.child(name)
        only_v2 = Hierarchies(self._root.unified, self._root.unified_controllers)
        made = Group(only_v2, self.child(name).path)
        made._also = tuple(f"{directory}/cgroup.procs" for directory in self._at.legacy_directories)
        return made

    @property
    def directories(self) -> tuple[Path, ...]:
        """Its directory in each tree, v2 first."""
        return self._at.directories

    @property
    def procs_files(self) -> tuple[str, ...]:
        """The files a process writes "0" to in order to join, one per tree."""
        return (*(f"{directory}/cgroup.procs" for directory in self.directories), *self._also)

    # Making and limiting

    def create(self, limits: Limits | None = None, *, parent: bool = False) -> None:
        """Make it in each tree (those above it too) and set `limits`; a `parent` hands its controllers to children.

        What exists is kept. Raises OSError for the file that refused; what was made until then is removed again.
        """
        made: list[Path] = []
        try:
            for directory in self.directories:
                made += _make(directory)
            if parent:
                self._enable()
            if limits is not None:
                self.limit(limits)
        except OSError:
            for directory in reversed(made):
                with contextlib.suppress(OSError):
                    directory.rmdir()
            raise

    def _enable(self) -> None:
        if self._at.unified is not None and self._at.unified_controllers:
            wanted = " ".join(f"+{name}" for name in sorted(self._at.unified_controllers))
            put(self._at.unified / "cgroup.subtree_control", wanted)

    def limit(self, limits: Limits) -> None:
        """Set limits, now or while it runs. Raises OSError with the kernel's refusal."""
        for write in self._writes(limits):
            directory = self._at.of(write.controller) or self._at.unified
            if directory is None:
                continue
            try:
                put(directory / write.file, write.value)
            except FileNotFoundError:
                if not write.optional:
                    raise
            except OSError as error:
                if not (write.optional and error.errno in (errno.EINVAL, errno.EOPNOTSUPP)):
                    raise

    def _writes(self, limits: Limits) -> Iterable[Write]:
        at = self._at
        on_v2 = [write for write in v2_writes(limits) if write.controller not in at.legacy]
        raising = limits.memory_bytes is not None and "memory" in at.legacy and self._memory_rises(limits.memory_bytes)
        on_v1 = [write for write in v1_writes(limits, raising_memory=raising) if write.controller in at.legacy]
        # A controller that the machine lacks altogether is doctor's to report; the pod runs without that limit.
        return [*on_v1, *(w for w in on_v2 if w.controller not in LIMITED or w.controller in at.unified_controllers)]

    def _memory_rises(self, wanted: int) -> bool:
        try:
            return int((self._at.legacy["memory"] / "memory.limit_in_bytes").read_text()) < wanted
        except OSError:
            return False

    def allow_devices(self, attach: AttachDevices | None, rules: tuple[DeviceRule, ...] = DEFAULT_DEVICES) -> None:
        """Let only `rules` be used: by v1's controller where it is in use, else by `attach` on v2."""
        legacy = self._at.legacy.get("devices")
        if legacy is not None:
            put(legacy / "devices.deny", "a")
            for rule in rules:
                put(legacy / "devices.allow", rule.line())
        elif attach is not None and self._at.unified is not None:
            attach(self._at.unified, rules)

    # Looking

    @property
    def exists(self) -> bool:
        """Whether it is there in any tree."""
        return any(directory.is_dir() for directory in self.directories)

    def processes(self) -> set[int]:
        """Pids (as podrun sees them) of all that runs in it and below."""
        found: set[int] = set()
        for directory in self.directories:
            for top, _, _ in os.walk(directory):
                with contextlib.suppress(OSError):
                    found.update(map(int, Path(top, "cgroup.procs").read_text().split()))
        found.discard(0)  # a process of another pid namespace
        return found

    def usage(self) -> Usage:
        """What it has used. Raises OSError when it is gone."""
        memory, kept = 0, 0
        directory = self._at.of("memory")
        if directory is not None and "memory" in self._at.legacy:
            memory = int((directory / "memory.usage_in_bytes").read_text())
            kept = keyed((directory / "memory.stat").read_text()).get("total_inactive_file", 0)
        elif directory is not None:
            memory = int((directory / "memory.current").read_text())
            kept = keyed((directory / "memory.stat").read_text()).get("inactive_file", 0)
        pids = self._at.of("pids")
        count = int((pids / "pids.current").read_text()) if pids is not None else 0
        return Usage(self._cpu_ns(), memory, working_set(memory, kept), count)

    def _cpu_ns(self) -> int:
        if self._at.unified is not None:
            return keyed((self._at.unified / "cpu.stat").read_text()).get("usage_usec", 0) * 1000
        accounting = self._at.legacy.get("cpuacct")
        return int((accounting / "cpuacct.usage").read_text()) if accounting is not None else 0

    @property
    def oom_file(self) -> Path | None:
        """The file that counts OOM kills and that notifications are for."""
        directory = self._at.of("memory")
        if directory is None:
            return None
        return directory / ("memory.oom_control" if "memory" in self._at.legacy else "memory.events")

    def oom_kills(self) -> int:
        """How many processes of it the kernel has killed for want of memory; 0 when it is gone."""
        file = self.oom_file
        try:
            return keyed(file.read_text()).get("oom_kill", 0) if file is not None else 0
        except OSError:
            return 0

    # Ending

    def freeze(self, frozen: bool) -> None:
        """Stop or go on with everything in it. Raises OSError."""
        if self._at.unified is not None:
            put(self._at.unified / "cgroup.freeze", "1" if frozen else "0")
        elif "freezer" in self._at.legacy:
            put(self._at.legacy["freezer"] / "freezer.state", "FROZEN" if frozen else "THAWED")

    def kill(self) -> None:
        """SIGKILL to everything in it and below, forks included; nothing happens when it is gone."""
        if self._at.unified is not None:
            try:
                put(self._at.unified / "cgroup.kill", "1")
                return
            except FileNotFoundError:
                if not self._at.unified.is_dir():
                    return
        # Before Linux 5.14, or without v2: frozen processes cannot fork away from the signals.
        with contextlib.suppress(OSError):
            self.freeze(True)
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self.freeze(False)

    def remove(self) -> None:
        """Remove it and all below it; nothing happens when it is gone. Raises OSError (EBUSY) while something runs."""
        for directory in self.directories:
            for top, _, _ in os.walk(directory, topdown=False):
                with contextlib.suppress(FileNotFoundError):
                    os.rmdir(top)


def _make(directory: Path) -> list[Path]:
    """mkdir -p; the directories that were made, outermost first."""
    try:
        directory.mkdir()
    except FileExistsError:
        return []
    except FileNotFoundError:
        made = _make(directory.parent)
        directory.mkdir()
        return [*made, directory]
    return [directory]
