"""How an experiment is told: coloured and wrapped on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib

from rich.console import Console
from rich.text import Text

from podrun.cli.experiments.files import Script

_WIDEST = 110
_SHOWN_LINES = 40


class Narrator:
    """Writes to standard output."""

    def __init__(self) -> None:
        self._out = Console(highlight=False, markup=False, emoji=False)
        if self._out.width > _WIDEST:
            self._out.width = _WIDEST

    @property
    def on_a_terminal(self) -> bool:
        """Whether somebody looks."""
        return self._out.is_terminal

    def opening(self, script: Script) -> None:
        """What is claimed, and where."""
        experiment = script.experiment
        self._out.print(experiment.title, style="bold")
        self._out.print()
        for label, text in (("The claim", experiment.claim), ("From", experiment.source)):
            self._told(f"{label}: {' '.join(text.split())}")

    def breaking(self, script: Script) -> None:
        """The experiment is broken on purpose."""
        broken = script.experiment.broken
        self._told(f"Broken on purpose: {' '.join(broken.why.split())}", "yellow")
        self._code(f"- {_joined(broken.replace)}\n+ {_joined(broken.by)}", "yellow")

    def say(self, text: str) -> None:
        self._out.print()
        self._told(f"# {' '.join(text.split())}", "cyan")

    def manifest(self, text: str) -> None:
        self._code(text, "dim")

    def command(self, text: str) -> None:
        first, *others = text.strip().splitlines()
        self._out.print(Text("$ ", style="green") + Text(first, style="bold"), soft_wrap=True)
        for line in others:
            self._out.print(Text("> ", style="green") + Text(line, style="bold"), soft_wrap=True)

    def printed(self, text: str, seconds: float | None = None) -> None:
        """A command's output; of a long one the beginning and the end."""
        lines = text.rstrip("\n").splitlines() if text.strip() else []
        if len(lines) > _SHOWN_LINES:
            half = _SHOWN_LINES // 2
            lines = [*lines[:half], f"[... {len(lines) - 2 * half} lines ...]", *lines[-half:]]
        if seconds is not None and lines:
            lines[-1] += f"   (after {seconds:.1f} s)"
        for line in lines:
            self._out.print(Text(line), soft_wrap=True)

    def look(self, text: str) -> None:
        self._told(f"  ^ {' '.join(text.split())}", "cyan")

    def met(self, text: str) -> None:
        self._out.print(Text(f"  + {_one_line(text)}", style="green"), soft_wrap=True)

    def unmet(self, text: str) -> None:
        self._out.print(Text(f"  - NOT SO: {_one_line(text)}", style="bold red"), soft_wrap=True)

    def holds(self, script: Script) -> None:
        """The end of an experiment in which everything was as it says."""
        self._out.print()
        if instead := script.experiment.instead:
            self._told(f"The claim does not hold. Instead: {' '.join(instead.split())}", "bold green")
        else:
            self._told("The claim holds: everything was as it says.", "bold green")

    def refuted(self, script: Script, why: str) -> None:
        """The end of an experiment in which something was not as it says."""
        self._out.print()
        subject = "what is said to happen instead of the claim" if script.experiment.instead else "the claim"
        self._told(f"NOT AS SAID: {subject} did not come out: {' '.join(why.split())}", "bold red")

    def note(self, text: str) -> None:
        self._told(text, "dim")

    def wait_for_enter(self) -> None:
        with contextlib.suppress(EOFError):  # Ctrl-D goes on, too
            self._out.input(Text("  [Enter] ", style="dim"))

    def _told(self, text: str, style: str = "") -> None:
        if self.on_a_terminal:
            self._out.print(text, style=style)
        else:
            self._out.print(text, soft_wrap=True)

    def _code(self, text: str, style: str) -> None:
        for line in text.rstrip("\n").splitlines():
            self._out.print(Text(f"    {line}", style=style), soft_wrap=True)


def _joined(text: str) -> str:
    return "\\n".join(text.strip().splitlines())


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 160 else f"{line[:157]}..."
