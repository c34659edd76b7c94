"""A terminal program as a person uses it: tmux runs it, keys are typed, the screen is read."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.harness import HarnessError


class Screen:
    """A program in a tmux of its own. Keys are named as tmux names them: Enter, Escape, C-d, C-k."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    @classmethod
    @contextlib.contextmanager
    def of(cls, argv: Sequence[str], environment: Mapping[str, str], socket: Path) -> Iterator[Screen]:
        """Run `argv` on 160 columns and 45 lines for as long as the block lasts."""
        screen = cls(socket)
        command = shlex.join(argv)
        screen._tmux("-f", os.devnull, "new-session", "-d", "-x", "160", "-y", "45", command, environment=environment)
        try:
            yield screen
        finally:
            screen._tmux("kill-server", check=False)

    def text(self) -> str:
        """What stands there now; a program that has ended shows nothing."""
        return self._tmux("capture-pane", "-p", check=False)

    def type(self, text: str) -> None:
        """Type letters."""
        self._tmux("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        """Press keys that have names."""
        self._tmux("send-keys", *keys)

    def shows(self, *patterns: str, seconds: float = 15.0) -> str:
        """The screen as soon as all of these regular expressions are found on it."""
        return self.until(
            lambda text: all(re.search(each, text) for each in patterns), seconds, f"not all of {patterns}"
        )

    def shows_no(self, pattern: str, seconds: float = 15.0) -> str:
        """The screen as soon as this is not on it any more."""
        return self.until(lambda text: not re.search(pattern, text), seconds, f"still there: {pattern}")

    def until(self, true: Callable[[str], object], seconds: float, otherwise: str) -> str:
        """Look again and again, since a screen tells nobody that it has changed. Raises HarnessError that shows it."""
        deadline = time.monotonic() + seconds
        while not true(text := self.text()):
            if time.monotonic() > deadline:
                raise HarnessError(f"{otherwise}; the screen:\n{text}")
            time.sleep(0.05)
        return text

    def _tmux(self, *words: str, check: bool = True, environment: Mapping[str, str] | None = None) -> str:
        argv = ["tmux", "-S", str(self._socket), *words]
        done = subprocess.run(argv, capture_output=True, text=True, env=environment)
        if check and done.returncode != 0:
            raise HarnessError(f"{shlex.join(argv)}: {done.stderr}")
        return done.stdout
