"""Amounts of bytes for people."""

from __future__ import annotations

import pytest

from podrun.api.humansize import human_size


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024 * 1024 - 1, "1024.0 KiB"),
        (1_992_294, "1.9 MiB"),
        (5 << 40, "5120.0 GiB"),
    ],
)
def test_bytes_are_told_in_binary_units(count: int, text: str) -> None:
    assert human_size(count) == text
