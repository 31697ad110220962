"""Numbers with their words, as commands print them: counts with a noun, sizes with a unit."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return `1 core` or `2 cores`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def gib(num_bytes: float) -> str:
    """Return a size in GiB, or in MiB where it is small: three digits, or all before the point where there are more."""
    if num_bytes < 2**30 / 10:
        return f"{num_bytes / 2**20:.3g} MiB"
    size = num_bytes / 2**30
    return f"{size:.3g} GiB" if size < 99.95 else f"{size:,.0f} GiB"
