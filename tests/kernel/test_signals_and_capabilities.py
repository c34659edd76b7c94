"""Names and numbers, both ways."""

from __future__ import annotations

import pytest

from podrun.kernel import capabilities, signals


@pytest.mark.parametrize(
    ("name", "number"),
    [("SIGTERM", 15), ("term", 15), ("15", 15), ("SIGRTMIN+3", 37), ("RTMAX-1", 63), (" SIGKILL ", 9)],
)
def test_a_signal_is_known_by_every_spelling(name: str, number: int) -> None:
    assert signals.number(name) == number


@pytest.mark.parametrize("name", ["", "SIGNOTHING", "0", "65", "SIGRTMAX+1"])
def test_what_is_no_signal_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown signal"):
        signals.number(name)


def test_signal_names_come_back() -> None:
    assert [signals.name(number) for number in (15, 9, 37, 99)] == ["SIGTERM", "SIGKILL", "SIGRTMIN+3", "signal 99"]


def test_the_default_capabilities_are_containerds() -> None:
    assert capabilities.DEFAULT == 0x00000000A80425FB
    assert len(capabilities.names(capabilities.DEFAULT)) == 14


def test_a_capability_is_known_with_and_without_its_prefix() -> None:
    assert capabilities.mask(["CAP_NET_ADMIN", "net_raw"]) == 1 << 12 | 1 << 13
    with pytest.raises(ValueError, match="FLY"):
        capabilities.mask(["FLY"])
