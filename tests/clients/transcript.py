"""What a program says while it goes on: lines of JSON, gathered by a thread, waited for with a deadline."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.harness import HarnessError

Line = dict[str, Any]


class Transcript:
    """A running program's lines so far. A line that is no JSON object is kept as {"text": it}."""

    def __init__(self, process: subprocess.Popen[str], complaints: Path) -> None:
        self._process = process
        self._complaints = complaints
        self._lines: list[Line] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @classmethod
    @contextlib.contextmanager
    def of(cls, argv: Sequence[str], environment: Mapping[str, str]) -> Iterator[Transcript]:
        """Run `argv` for as long as the block lasts."""
        with tempfile.NamedTemporaryFile("w") as complaints:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, text=True, env=environment
            )
            transcript = cls(process, Path(complaints.name))
            try:
                yield transcript
            finally:
                process.kill()
                transcript.end()

    def lines(self) -> list[Line]:
        with self._more:
            return list(self._lines)

    def complaints(self) -> str:
        """What it has said on standard error."""
        return self._complaints.read_text()

    def until(self, true: Callable[[list[Line]], bool], seconds: float, otherwise: str) -> list[Line]:
        """The lines as soon as something is true of them. Raises HarnessError with all that was said."""
        with self._more:
            if self._more.wait_for(lambda: true(self._lines), seconds):
                return list(self._lines)
        said = "\n".join(map(str, self.lines()))
        raise HarnessError(f"{otherwise}\n{said}\n{self.complaints()}")

    def end(self) -> None:
        """Ask the program to end and hear it out."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            try:
                line = json.loads(text)
            except ValueError:
                line = text.rstrip("\n")
            with self._more:
                self._lines.append(line if isinstance(line, dict) else {"text": text.rstrip("\n")})
                self._more.notify_all()
