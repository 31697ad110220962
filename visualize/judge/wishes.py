"""What a reader wants of an answer: `--want memory --max-memory 24GiB --margin 0.5`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ampbench.schema.margins import MARGIN_POINTS

Want = Literal["speed", "memory", "energy", "time-to-accuracy"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What the answer chooses by."""

    want: Want = "speed"
    max_memory_bytes: int | None = None
    """No recipe and batch size that needs more is advised."""
    margin_points: float = MARGIN_POINTS
    """Loss of test accuracy, in points, that is acceptable."""
