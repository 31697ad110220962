"""What is wrong with a run, in words, with the rows that it rests on and the next thing to try.

The rules read columns and nothing else, so that a run just finished and a folder of old results are judged alike. They
are no verdict on a recipe: a healthy training may be slow, and a sick one may be the faster of two.
"""

from __future__ import annotations

from collections.abc import Callable

from ampbench.schema.diagnosis import board, training
from ampbench.schema.diagnosis.found import Diagnosis, Kind, Records, Rows

__all__ = ["Diagnosis", "Kind", "Records", "Rows", "diagnoses_of"]

RULES: tuple[Callable[[Records], Diagnosis | None], ...] = (
    training.diverged,
    training.nothing,
    training.swings,
    training.loss_grew,
    training.lost_updates,
    board.starved,
    board.launch_bound,
    board.memory_grows,
    board.throttled,
)
"""In the order of `Kind`; `swings` finds two of them."""


def diagnoses_of(run: Records) -> tuple[Diagnosis, ...]:
    """Return what is wrong with a run, the worst first; empty if nothing that is known."""
    return tuple(found for rule in RULES if (found := rule(run)) is not None)
