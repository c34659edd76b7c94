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


class Refuted(Exception):
    """A step shows that the claim does not hold; the text says why."""


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
            self._play(number, step)

    def _play(self, number: int, step: Step) -> None:
        if step.say:
            self._narrator.say(filled(step.say, self._kept))
        for name in step.apply:
            self._narrator.manifest(self._script.manifests[name].text)
            self._carry_out(number, step, f"kubectl apply -f {shlex.quote(name)}.yaml")
        for wait in step.wait:
            which, what = wait.split(None, 1)
            command = f"kubectl wait {which} --for={shlex.quote(what)} --timeout={step.within:g}s"
            self._carry_out(number, step, command, timed=True)
        if step.run:
            self._judge(step, self._carry_out(number, step, step.run))

    def _carry_out(self, number: int, step: Step, command: str, *, timed: bool = False) -> shell.Result:
        """Show and run a command. Raises Refuted or CommandError where it fails in a way that is not expected."""
        narrator = self._narrator
        narrator.command(filled(command, self._kept))
        own = command == step.run
        until = filled(step.until, self._kept) if own else ""
        # kubectl has its own deadline, whose message says more than ours
        seconds = step.within if own else step.within + 10
        environment = {**self._stage.environment, **self._kept}
        result = shell.run(command, environment, self._stage.directory, seconds, until)
        narrator.printed(result.printed, result.seconds if timed or until else None)
        expected = (step.exit or 0) if own else 0
        if own and step.exit is not None and result.in_time:
            otherwise = step.otherwise or f"the command ended with exit code {result.code}, not {expected}"
            self._say_whether(result.code == expected, f"it ends with exit code {expected}", otherwise)
        elif not result.in_time or result.code != expected:
            why = "it took too long" if not result.in_time else f"it ended with exit code {result.code}"
            if until and not result.in_time:
                why = f"it has not said “{until}” in {step.within:g} s"
            if step.otherwise:
                narrator.unmet(why)
                raise Refuted(filled(step.otherwise, self._kept))
            raise CommandError(f"{self._script.name}: step {number} could not be carried out: {why}", code=FAILED)
        return result

    def _judge(self, step: Step, result: shell.Result) -> None:
        if step.look:
            self._narrator.look(filled(step.look, self._kept))
        if step.expect is not None:
            for so, what in verdicts(step.expect, result.printed, self._kept):
                self._say_whether(so, what, step.otherwise)
        if step.keep:
            self._kept[step.keep] = result.printed.strip()

    def _say_whether(self, so: bool, what: str, otherwise: str = "") -> None:
        if so:
            self._narrator.met(what)
            return
        self._narrator.unmet(what)
        raise Refuted(filled(otherwise, self._kept) or f"what was printed is not as said ({what})")
