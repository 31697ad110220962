"""A size in bytes as a person types it: `24GiB`, `16 GB`, `800MiB`."""

from __future__ import annotations

import math
import re

UNITS = {"": 1, "B": 1}
UNITS |= {f"{letter}iB": 2 ** (10 * power) for power, letter in enumerate("KMGT", 1)}
UNITS |= {f"{letter}B": 10 ** (3 * power) for power, letter in enumerate("KMGT", 1)}
"""Unit -> bytes; GiB is a power of 2, as nvidia-smi and torch count, and GB a power of 10."""
SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def bytes_of(text: str) -> int | None:
    """Read a size with its unit; a number alone is in bytes. None for another form, and for less than a byte."""
    match = SIZE.fullmatch(text)
    units = {name.lower(): size for name, size in UNITS.items()}
    size = units.get(match[2].lower()) if match else None
    if match is None or size is None or not 1 <= float(match[1]) * size < math.inf:
        return None
    return int(float(match[1]) * size)
