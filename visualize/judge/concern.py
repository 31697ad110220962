"""A concern: something that a reader must know of a recipe's numbers, and which claims it spoils."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

Claim = Literal["speed", "memory", "energy", "time", "numbers", "start", "accuracy"]
"""What a number says something about; time: until an accuracy was reached."""

SPEED: frozenset[Claim] = frozenset({"speed", "energy", "time"})
ACCURACY: frozenset[Claim] = frozenset({"accuracy"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Concern:
    """Something that a reader must know of a recipe's numbers."""

    text: str
    """A few words without a full stop, as in `60 % of the time at the thermal limit`."""
    spoils: frozenset[Claim] = frozenset()
    """Claims that no advice may rest on because of it; empty if it is only to be known."""
    next_move: str = ""
    """What to do about it, as in `let the board cool and run it again`."""


def known(cells: pd.DataFrame, column: str) -> pd.Series:
    """Return what cells recorded in a column, which older records may lack."""
    return cells[column].dropna() if column in cells else pd.Series(dtype=object)


def of_runs(some: int, cells: pd.DataFrame) -> str:
    """Return `2 of 3 runs`, or `its only run`."""
    return f"{some} of {len(cells)} runs" if len(cells) > 1 else "its only run"
