"""What the first document of an experiment's file may say: strict, so that a misspelt word is an error with its place.

    title, claim, source    what is claimed, in our words, and where a reader finds it
    instead                 where the claim is false: what happens instead
    images, kernel          what the machine must have
    steps                   in order: say, apply, wait, run (a step has one or several of them, done in this order)
    broken                  a change to this very file that makes the claim false: the experiment must notice

The documents after it are plain Kubernetes manifests, known by their metadata.name.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

WITHIN = 60.0
"""Seconds that a step may take where it does not say; only a step that fails takes so long."""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _as_expectation(value: Any) -> Any:
    return value if isinstance(value, dict) else {"holds": value}


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None
    return text


def _variable(text: str) -> str:
    if text and not re.fullmatch("[a-z][a-z0-9_]*", text):
        raise ValueError(f"{text!r} is no name for a variable: small letters, digits and _")
    return text


Texts = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
"""One text or a list of them."""


class Part(BaseModel):
    """The base of a file's parts: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Expectation(Part):
    """What must be true of what a command printed. `$name` stands for what an earlier step has kept."""

    holds: Texts = ()
    """Texts that are in it."""
    lacks: Texts = ()
    """Texts that are not in it."""
    exactly: str | None = Field(default=None, alias="is")
    """All of it, but for white space around."""
    is_not: str | None = None
    matches: Annotated[str, AfterValidator(_expression)] | None = None
    """A regular expression that is found in it; ^ and $ are the ends of lines."""
    at_least: float | None = None
    """It is a number, and not a smaller one."""
    at_most: float | None = None

    @model_validator(mode="after")
    def _expects_something(self) -> Expectation:
        if not self.model_fields_set:
            raise ValueError("it expects nothing")
        return self


class Step(Part):
    """One step; its parts are done in the order of these fields."""

    say: str = ""
    """Told before the rest of the step."""
    apply: Texts = ()
    """Names of manifests of this file, given to `kubectl apply`."""
    wait: Texts = ()
    """`pod/web condition=Ready`: an object, and what `kubectl wait --for` takes."""
    run: str = ""
    """A command of bash, in a directory that holds each manifest as NAME.yaml; what earlier steps kept is in the
    environment, and NAMESPACE. It must end with exit code 0 unless `exit` says otherwise."""
    until: str = ""
    """The command is ended as soon as its output holds this."""
    exit: int | None = None
    """The exit code that is expected of the command."""
    expect: Annotated[Expectation, BeforeValidator(_as_expectation)] | None = None
    keep: Annotated[str, AfterValidator(_variable)] = ""
    """What the command printed is kept under this name."""
    within: Annotated[float, Field(gt=0)] = WITHIN
    """Seconds that each wait, and the command, may take."""
    otherwise: str = Field(default="", alias="else")
    """Where a wait is not met or the command fails, the claim is refuted, by these words; without them that is an
    error of the experiment itself."""
    look: str = ""
    """What to look at in what was printed."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Step:
        if not (self.say or self.apply or self.wait or self.run):
            raise ValueError("a step says, applies, waits or runs something")
        for field in ("until", "exit", "expect", "keep", "look"):
            if field in self.model_fields_set and not self.run:
                raise ValueError(f"{field} is about a command: this step runs none")
        if self.until and self.exit is not None:
            raise ValueError("a command that is ended once it has said something (until) has no exit code of its own")
        for wait in self.wait:
            if len(wait.split(None, 1)) != 2:
                raise ValueError(f"{wait!r} is not of the form OBJECT CONDITION (pod/web condition=Ready)")
        return self


class Broken(Part):
    """A change of the file's text after which the claim does not hold."""

    replace: str
    by: str
    why: str
    """What is then different, for a reader."""


class Experiment(Part):
    """An experiment, without its manifests."""

    title: Annotated[str, Field(min_length=1, max_length=90)]
    claim: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]
    instead: str = ""
    images: tuple[str, ...] = ("busybox:1.36",)
    kernel: Annotated[str, Field(pattern=r"^\d+\.\d+$")] = "0.0"
    """The oldest Linux on which it can be shown."""
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]
    broken: Broken
