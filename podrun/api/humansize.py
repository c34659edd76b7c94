"""Amounts of bytes as people read them."""

from __future__ import annotations


def human_size(count: int) -> str:
    """`512 B`, `1.9 MiB`: bytes in binary units up to GiB, with one digit after the point."""
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
