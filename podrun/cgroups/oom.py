"""Being told of OOM kills: an eventfd on v1's memory.oom_control, inotify on v2's memory.events. Nothing polls."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass

from podrun.cgroups.group import Group, put
from podrun.kernel import inotify
from podrun.kernel.inotify import Change


@dataclass(slots=True)
class _Watch:
    group: Group
    told: int
    """Kills that the callback has heard of."""
    tell: Callable[[], None]


class OomNotifier:
    """Watches groups on one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._legacy: dict[int, _Watch] = {}
        """By eventfd."""
        self._unified: dict[int, _Watch] = {}
        """By inotify watch number."""
        self._inotify = -1

    def watch(self, group: Group, tell: Callable[[], None]) -> Callable[[], None]:
        """`tell` is called once for each wake-up in which the group's kills have grown; returns what ends it.

        Ends by itself with the group. Raises OSError where the memory controller offers no notification.
        """
        file = group.oom_file
        watch = _Watch(group, group.oom_kills(), tell)
        if file is None:
            return lambda: None
        if file.name == "memory.oom_control":
            return self._watch_legacy(watch)
        if self._inotify < 0:
            self._inotify = inotify.create()
            self._loop.add_reader(self._inotify, self._on_inotify)
        number = inotify.watch(self._inotify, str(file), Change.MODIFY)
        self._unified[number] = watch
        return lambda: self._end_unified(number)

    def _watch_legacy(self, watch: _Watch) -> Callable[[], None]:
        file = watch.group.oom_file
        assert file is not None
        event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            control = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            try:
                put(file.with_name("cgroup.event_control"), f"{event} {control}")
            finally:
                os.close(control)
        except OSError:
            os.close(event)
            raise
        self._legacy[event] = watch
        self._loop.add_reader(event, self._on_event, event)
        return lambda: self._end_legacy(event)

    def _on_event(self, event: int) -> None:
        os.eventfd_read(event)
        watch = self._legacy[event]
        if not watch.group.exists:
            self._end_legacy(event)  # the kernel also tells of the group's end
            return
        self._compare(watch)

    def _on_inotify(self) -> None:
        for number, change in inotify.read(self._inotify):
            watch = self._unified.get(number)
            if Change.IGNORED in change:
                self._unified.pop(number, None)
            elif watch is not None:
                self._compare(watch)

    def _compare(self, watch: _Watch) -> None:
        kills = watch.group.oom_kills()
        # v1 tells that memory ran out a moment before it counts the kill: that wake-up is told as well.
        legacy = watch.group.oom_file is not None and watch.group.oom_file.name == "memory.oom_control"
        if kills > watch.told or legacy:
            watch.told = kills
            watch.tell()

    def _end_legacy(self, event: int) -> None:
        if self._legacy.pop(event, None) is not None:
            self._loop.remove_reader(event)
            os.close(event)

    def _end_unified(self, number: int) -> None:
        if self._unified.pop(number, None) is not None:
            try:
                inotify.unwatch(self._inotify, number)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise

    def close(self) -> None:
        """End all watches."""
        for event in list(self._legacy):
            self._end_legacy(event)
        if self._inotify >= 0:
            self._loop.remove_reader(self._inotify)
            with contextlib.suppress(OSError):
                os.close(self._inotify)
            self._inotify = -1
        self._unified.clear()
