"""Device rules on v2: each list of rules is loaded once and attached to every group that has it."""

from __future__ import annotations

import os
from pathlib import Path

from podrun.cgroups.devices import DEFAULT_DEVICES, DeviceRule, device_program
from podrun.kernel.bpf import attach_device_program, load_device_program


class DevicePrograms:
    """The loaded programs; calling it attaches one (it is an `AttachDevices`)."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[DeviceRule, ...], int] = {}

    def __call__(self, directory: Path, rules: tuple[DeviceRule, ...]) -> None:
        """Attach to the v2 group `directory`. Raises OSError."""
        attach_device_program(str(directory), self.program(rules))

    def program(self, rules: tuple[DeviceRule, ...] = DEFAULT_DEVICES) -> int:
        """The descriptor of the rules' program, loaded now if need be. Raises OSError where BPF cannot be used."""
        if rules not in self._loaded:
            self._loaded[rules] = load_device_program(device_program(rules))
        return self._loaded[rules]

    def close(self) -> None:
        """Let go of the descriptors; attached programs stay."""
        for program in self._loaded.values():
            os.close(program)
        self._loaded.clear()
