"""Quantities of resources: `500m`, `1Gi`, `1e3`, exact, in the canonical form that Kubernetes writes back.

A quantity is a decimal number and the family of its suffix: binary (`Ki` ... `Ei`), decimal (`n`, `u`, `m`, none,
`k` ... `E`) or decimal exponent (`e3`). It is never finer than a billionth (rounded away from zero); binary ones are
cut off at 2**63-1. The canonical form is the one without a fraction and with as few digits as the family allows; a text
that Kubernetes' parser takes for canonical is kept as it was, though it may have a sign or zeros to spare (`+5`,
`1.500`). Source of the rules: apimachinery/pkg/api/resource/quantity.go.
"""

from __future__ import annotations

import re
from functools import lru_cache, total_ordering
from typing import Literal

Format = Literal["DecimalSI", "BinarySI", "DecimalExponent"]

SYNTAX = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?([eEinumkKMGTP]*[-+]?\d*)", re.ASCII)
_EXPONENT = re.compile(r"[eE]([+-]?\d{1,10})", re.ASCII)
_WIDEST_EXPONENT = 1000
"""Beyond it a number would take more memory than it is worth; Kubernetes sets no limit."""

WRONG_FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
WRONG_SUFFIX = "unable to parse quantity's suffix"

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_BINARY_SUFFIX = {exponent: suffix for suffix, exponent in _BINARY.items()} | {0: ""}

NANO = 10**9
LARGEST = (1 << 63) - 1


@total_ordering
class Quantity:
    """An exact amount in billionths, and how it is to be written. Immutable; equal when the amounts are."""

    __slots__ = ("format", "nano", "text")

    def __init__(self, nano: int, form: Format = "DecimalSI", text: str = "") -> None:
        self.nano = nano
        self.format: Format = form
        self.text = text

    @classmethod
    def parse(cls, text: str) -> Quantity:
        """The quantity that `text` writes; raises ValueError with Kubernetes' sentence."""
        return _parse(text)

    @classmethod
    def of(cls, value: str | int | float | None) -> Quantity:
        """The quantity of a field on the wire; nothing counts as zero."""
        return _parse(str(value)) if value is not None else ZERO

    @classmethod
    def from_int(cls, value: int, form: Format = "DecimalSI") -> Quantity:
        """`value` whole units."""
        return cls(value * NANO, form)

    def value(self) -> int:
        """Whole units, rounded up (away from zero)."""
        return _round_up(self.nano, NANO)

    def milli_value(self) -> int:
        """Thousandths, rounded up (away from zero)."""
        return _round_up(self.nano, 10**6)

    def round_up(self, exponent: int) -> Quantity:
        """This quantity with nothing finer than 10**exponent: the API rounds requests and limits up to -3 (milli)."""
        unit = 10 ** (exponent + 9)
        if self.nano % unit == 0:
            return self
        return Quantity(_round_up(self.nano, unit) * unit, self.format)

    def sign(self) -> int:
        """-1, 0 or 1."""
        return (self.nano > 0) - (self.nano < 0)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.nano + other.nano, other.format if not self.nano else self.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.nano - other.nano, other.format if not self.nano else self.format)

    def __neg__(self) -> Quantity:
        return Quantity(-self.nano, self.format)

    def __bool__(self) -> bool:
        return self.nano != 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nano == other.nano

    def __lt__(self, other: Quantity) -> bool:
        return self.nano < other.nano

    def __hash__(self) -> int:
        return hash(self.nano)

    def __repr__(self) -> str:
        return f"Quantity({str(self)!r})"

    def __str__(self) -> str:
        """The canonical form."""
        if self.text:
            return self.text
        if not self.nano:
            return "0"
        form = self.format
        if form == "BinarySI" and (abs(self.nano) < 1024 * NANO or self.nano % NANO):
            form = "DecimalSI"  # fractions and small numbers have no binary suffix
        if form == "BinarySI":
            amount, exponent = abs(self.nano) // NANO, 0
            while amount % 1024 == 0 and exponent < 60:
                amount //= 1024
                exponent += 10
            text = f"{amount}{_BINARY_SUFFIX[exponent]}"
        else:
            amount, exponent = abs(self.nano), -9
            while amount % 1000 == 0 and (exponent < 18 or form == "DecimalExponent"):
                amount //= 1000
                exponent += 3
            if form == "DecimalSI":
                text = f"{amount}{_DECIMAL_SUFFIX[exponent]}"
            else:
                text = f"{amount}e{exponent}" if exponent else str(amount)
        return f"-{text}" if self.nano < 0 else text


ZERO = Quantity(0)


def canonical(text: str) -> str:
    """`text` as the API server writes it back, e.g. `0.5` -> `500m`, `1024Mi` -> `1Gi`; raises ValueError."""
    return _canonical(text)


@lru_cache(maxsize=4096)
def _canonical(text: str) -> str:
    return str(_parse(text))


@lru_cache(maxsize=4096)
def _parse(text: str) -> Quantity:
    text = text.strip()
    match = SYNTAX.fullmatch(text) if text else None
    if match is None:
        raise ValueError(WRONG_FORMAT)
    whole, fraction, suffix = match[2].lstrip("0"), match[3] or "", match[4]
    if not whole and match[3] is None and not suffix:
        return ZERO
    exponent, form = _suffix(suffix)
    digits = (whole or "0") + fraction
    kept = ""
    if form == "BinarySI":
        nano = _scaled(int(digits) << exponent, -len(fraction))
        nano = min(nano, LARGEST * NANO)
        if not fraction and len(whole or "0") + exponent * 3 // 10 <= 14 and int(digits) & 7:
            kept = text
        if nano < NANO:
            form = "DecimalSI"
    else:
        scale = exponent - len(fraction)
        nano = _scaled(int(digits), scale)
        short = len(digits) <= 18 and scale >= -9
        if short and scale % 3 == 0 and digits[0] != "0" and not digits.endswith("000"):
            kept = text
    return Quantity(-nano if match[1] == "-" else nano, form, kept)


def _scaled(amount: int, exponent: int) -> int:
    """`amount` * 10**exponent in billionths, rounded up."""
    exponent += 9
    return amount * 10**exponent if exponent >= 0 else _round_up(amount, 10**-exponent)


def _suffix(suffix: str) -> tuple[int, Format]:
    """The exponent of a suffix (of 2 or of 10) and its family; raises ValueError."""
    if suffix in _DECIMAL:
        return _DECIMAL[suffix], "DecimalSI"
    if suffix in _BINARY:
        return _BINARY[suffix], "BinarySI"
    exponent = _EXPONENT.fullmatch(suffix)
    if exponent is None or abs(int(exponent[1])) > _WIDEST_EXPONENT:
        raise ValueError(WRONG_SUFFIX)
    return int(exponent[1]), "DecimalExponent"


def _round_up(amount: int, unit: int) -> int:
    """`amount` / `unit`, rounded away from zero."""
    return -(-amount // unit) if amount >= 0 else amount // unit
