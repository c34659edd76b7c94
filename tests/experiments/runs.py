"""Runs of experiments side by side: most of their time is waiting, for probes, grace periods and kills.

runs = Runs(podrun, [Run("kill-pause"), Run("kill-pause", broken=True)])
runs.result(Run("kill-pause")).code
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from podrun.cli.experiments import files
from tests.harness import Podrun

SIDE_BY_SIDE = 3
TIME_SCALE = ("--time-scale", "0.1")


@dataclass(frozen=True)
class Run:
    """An experiment, as it is or with its claim broken."""

    name: str
    broken: bool = False

    def __str__(self) -> str:
        return f"{self.name}-{'broken' if self.broken else 'as-it-is'}"


@dataclass(frozen=True)
class Result:
    """What came of a run."""

    code: int
    printed: str


class Runs:
    """Plays the runs in order, a few at a time and never one experiment twice at once."""

    def __init__(self, podrun: Podrun, wanted: list[Run]) -> None:
        self._podrun = podrun
        self._pool = ThreadPoolExecutor(SIDE_BY_SIDE)
        alone = {run.name: threading.Lock() for run in wanted}
        self._results: dict[Run, Future[Result]] = {
            run: self._pool.submit(self._play, run, alone[run.name]) for run in wanted
        }

    def result(self, run: Run) -> Result:
        """Waits for it."""
        return self._results[run].result()

    def end(self) -> None:
        """What has not begun does not begin."""
        self._pool.shutdown(cancel_futures=True)

    def _play(self, run: Run, alone: threading.Lock) -> Result:
        words = ["podrun", "experiment", "run", run.name, *(["--broken"] if run.broken else [])]
        with alone:
            done = self._podrun.run(*words, check=False, seconds=240)
        return Result(done.returncode, done.stdout + done.stderr)


def half(which: int) -> list[Run]:
    """One half of all runs, for one of two test files, which two workers play."""
    names = files.names()[which::2]
    return [Run(name, broken) for name in names for broken in (False, True)]


def check(run: Run, result: Result) -> None:
    """An experiment comes out as it says; broken, it fails by what it expects and not by an error."""
    if run.broken:
        assert result.code == 1, result.printed
        assert "NOT AS SAID" in result.printed, result.printed
    else:
        assert result.code == 0, result.printed
        assert "The claim holds" in result.printed or "The claim does not hold. Instead:" in result.printed
