"""Prometheus' text format (version 0.0.4): families of samples, written by hand because it is two lines a metric.

# HELP name What it counts.
# TYPE name counter
name{label="value"} 1.5 1700000000000
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LABEL_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(frozen=True, slots=True)
class Sample:
    """A value; `time` (seconds since the epoch) where it was not measured just now. `suffix` is a histogram's."""

    labels: Mapping[str, str]
    value: float
    time: float | None = None
    suffix: str = ""


@dataclass(slots=True)
class Family:
    """Everything of one name. Labels of a sample come in the order given."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    samples: list[Sample] = field(default_factory=list)

    def add(self, value: float, time: float | None = None, /, **labels: str) -> None:
        """One more sample."""
        self.samples.append(Sample(labels, value, time))


def render(families: Iterable[Family]) -> bytes:
    """The text of families, by name; those without a sample are left out."""
    lines: list[str] = []
    for family in sorted(families, key=lambda one: one.name):
        if not family.samples:
            continue
        lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.type}"]
        lines += [_line(family.name, sample) for sample in family.samples]
    return "".join(f"{line}\n" for line in lines).encode()


def _line(name: str, sample: Sample) -> str:
    labels = ",".join(f'{key}="{value.translate(_LABEL_ESCAPES)}"' for key, value in sample.labels.items())
    where = f"{{{labels}}}" if labels else ""
    when = f" {round(sample.time * 1000)}" if sample.time is not None else ""
    return f"{name}{sample.suffix}{where} {number(sample.value)}{when}"


def number(value: float) -> str:
    """Whole numbers without a fraction, others exactly."""
    return str(int(value)) if value == int(value) else repr(value)
