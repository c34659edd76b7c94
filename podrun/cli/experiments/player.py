"""Plays an experiment's steps in order, and stops at the first that is not as it says."""

from __future__ import annotations

import shlex

from podrun.cli.errors import FAILED, CommandError
from podrun.cli.experiments import shell
from podrun.cli.experiments.files import Script
from podrun.cli.experiments.judge import filled, verdicts
from podrun.cli.experiments.model import Step
from podrun.cli.experiments.narration import Narrator
from podrun.cli.experiments.stage import Stage

_KUBECTLS_OWN = 10.0
"""Seconds beyond a wait's deadline, at which kubectl ends by itself, with a message that says more than ours."""


class Refuted(Exception):
    """A step shows that the claim does not hold; the text says why."""


class _Failed(Exception):
    """A command failed, or was not done in time; the text says which."""


class Player:
    """Plays one experiment on a stage that is set."""

    def __init__(self, script: Script, stage: Stage, narrator: Narrator, *, step_by_step: bool = False) -> None:
        self._script = script
        self._stage = stage
        self._narrator = narrator
        self._step_by_step = step_by_step
        self._kept = {"NAMESPACE": stage.namespace}

    def play(self) -> None:
        """All steps. Raises Refuted, or CommandError where a step could not be carried out."""
        for number, step in enumerate(self._script.experiment.steps, 1):
            if self._step_by_step and number > 1:
                self._narrator.wait_for_enter()
            try:
                self._play(step)
            except _Failed as failed:
                if step.otherwise:
                    self._narrator.unmet(str(failed))
                    raise Refuted(filled(step.otherwise, self._kept)) from None
                what = f"{self._script.name}: step {number} could not be carried out: {failed}"
                raise CommandError(what, code=FAILED) from None

    def _play(self, step: Step) -> None:
        narrator = self._narrator
        if step.say:
            narrator.say(filled(step.say, self._kept))
        for name in step.apply:
            narrator.manifest(self._script.manifests[name].text)
            self._succeed(f"kubectl apply -f {shlex.quote(name)}.yaml", step.within)
        for wait in step.wait:
            which, what = wait.split(None, 1)
            command = f"kubectl wait {which} --for={shlex.quote(what)} --timeout={step.within:g}s"
            self._succeed(command, step.within + _KUBECTLS_OWN, timed=True)
        if step.run:
            self._run(step)

    def _run(self, step: Step) -> None:
        """The step's own command, and what is expected of it."""
        if step.exit is None:
            result = self._succeed(step.run, step.within, until=filled(step.until, self._kept), timed=bool(step.until))
        else:
            result = self._carry_out(step.run, step.within)
            otherwise = f"the command ended with exit code {result.code}, not {step.exit}"
            self._say_whether(result.code == step.exit, f"it ends with exit code {step.exit}", step, otherwise)
        if step.look:
            self._narrator.look(filled(step.look, self._kept))
        if step.expect is not None:
            for so, what in verdicts(step.expect, result.printed, self._kept):
                self._say_whether(so, what, step, f"what was printed is not as said ({what})")
        if step.keep:
            self._kept[step.keep] = result.printed.strip()

    def _succeed(self, command: str, seconds: float, until: str = "", *, timed: bool = False) -> shell.Result:
        """Run a command that has to succeed. Raises _Failed."""
        result = self._carry_out(command, seconds, until, timed=timed)
        if result.code != 0:
            raise _Failed(f"it ended with exit code {result.code}")
        return result

    def _carry_out(self, command: str, seconds: float, until: str = "", *, timed: bool = False) -> shell.Result:
        """Show a command, run it, and show what it printed. Raises _Failed where it is not done in time."""
        self._narrator.command(filled(command, self._kept))
        environment = {**self._stage.environment, **self._kept}
        result = shell.run(command, environment, self._stage.directory, seconds, until)
        self._narrator.printed(result.printed, result.seconds if timed else None)
        if not result.in_time:
            raise _Failed(
                f"it has not said “{until}” in {seconds:g} s" if until else f"it took more than {seconds:g} s"
            )
        return result

    def _say_whether(self, so: bool, what: str, step: Step, why: str) -> None:
        if so:
            self._narrator.met(what)
            return
        self._narrator.unmet(what)
        raise Refuted(filled(step.otherwise, self._kept) or why)
