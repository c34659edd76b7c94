"""Quantities: Kubernetes' canonical forms in a table, exactness and order as properties."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podrun.api.quantity import WRONG_FORMAT, WRONG_SUFFIX, Quantity, canonical

CANONICAL = [
    # what is written, what is written back
    ("0", "0"),
    ("00", "0"),
    ("0.5", "500m"),
    (".5", "500m"),
    ("1.5", "1500m"),
    ("1000m", "1"),
    ("1000", "1k"),
    ("1023", "1023"),
    ("1000000", "1M"),
    ("1024Mi", "1Gi"),
    ("1025Ki", "1025Ki"),
    ("1.5Gi", "1536Mi"),
    ("1.1Ki", "1126400m"),
    ("0.5Ki", "512"),
    ("1e3", "1e3"),
    ("1E3", "1E3"),
    ("1e2", "100"),
    ("12e6", "12e6"),
    ("1e30", "1e30"),
    ("100n", "100n"),
    ("0.1m", "100u"),
    ("1.500", "1.500"),
    ("+5", "+5"),
    ("-0.5", "-500m"),
    ("m", "0"),
    ("9999999999999999999Ei", "9223372036854775807"),
    ("0.0000000001", "1n"),
]


@pytest.mark.parametrize(("written", "back"), CANONICAL)
def test_a_quantity_is_written_back_in_canonical_form(written: str, back: str) -> None:
    assert canonical(written) == back


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", WRONG_FORMAT),
        ("abc", WRONG_FORMAT),
        ("1.2.3", WRONG_FORMAT),
        ("- 1", WRONG_FORMAT),
        ("1Mib", WRONG_FORMAT),
        ("1e", WRONG_SUFFIX),
        ("1MM", WRONG_SUFFIX),
        ("1e99999", WRONG_SUFFIX),
    ],
)
def test_what_is_no_quantity_is_refused_in_kubernetes_words(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Quantity.parse(text)


def test_whole_and_milli_values_round_away_from_zero() -> None:
    assert Quantity.parse("1500m").value() == 2
    assert Quantity.parse("-1500m").value() == -2
    assert Quantity.parse("100u").milli_value() == 1
    assert Quantity.parse("1Gi").value() == 1 << 30


def test_rounding_up_keeps_what_is_coarse_enough() -> None:
    assert str(Quantity.parse("100n").round_up(-3)) == "1m"
    assert str(Quantity.parse("1.123").round_up(-3)) == "1.123"


def test_a_sum_takes_the_form_of_what_is_not_zero() -> None:
    assert str(Quantity.parse("0") + Quantity.parse("1Gi")) == "1Gi"
    assert str(Quantity.parse("1Gi") + Quantity.parse("1Mi")) == "1025Mi"
    assert str(Quantity.parse("1") - Quantity.parse("250m")) == "750m"


SUFFIXES = {"": Fraction(1), "m": Fraction(1, 1000), "k": Fraction(1000), "Ki": Fraction(1024), "Mi": Fraction(1 << 20)}
AMOUNTS = st.tuples(st.integers(0, 10**9), st.sampled_from(sorted(SUFFIXES)))


@given(AMOUNTS)
def test_the_canonical_form_is_a_fixed_point(amount: tuple[int, str]) -> None:
    once = canonical(f"{amount[0]}{amount[1]}")
    assert canonical(once) == once
    assert Quantity.parse(once) == Quantity.parse(f"{amount[0]}{amount[1]}")


@given(AMOUNTS, AMOUNTS)
def test_order_and_sums_are_exact(one: tuple[int, str], other: tuple[int, str]) -> None:
    left, right = one[0] * SUFFIXES[one[1]], other[0] * SUFFIXES[other[1]]
    ours, theirs = Quantity.parse(f"{one[0]}{one[1]}"), Quantity.parse(f"{other[0]}{other[1]}")
    assert (ours < theirs) is (left < right)
    assert Fraction((ours + theirs).nano, 10**9) == left + right
    assert (ours - theirs) + theirs == ours
