"""What spoils a number: what the records say of how it was measured, one concern each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

Claim = Literal["speed", "memory", "energy", "numbers", "start", "accuracy"]
"""What a number says something about."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Concern:
    """Something that a reader must know of a recipe's numbers."""

    text: str
    """A few words without a full stop, as in `60 % of the time at the thermal limit`."""
    spoils: frozenset[Claim] = frozenset()
    """Claims that no advice may rest on because of it; empty if it is only to be known."""
    next_move: str = ""
    """What to do about it, as in `run again: …`."""


def concerns_of(cells: pd.DataFrame) -> tuple[Concern, ...]:
    """Return what spoils the numbers of the cells of one recipe, subject and batch size."""
    del cells
    return ()
