"""Which cells take the same memory in a training step: what one of them needs, or lacks, is known of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ampbench.bench.plan.cell import Cell

IRRELEVANT_FIELDS = ("seed", "round", "epochs", "learning_rate", "schedule", "warmup_epochs", "milestones")
"""Fields of a cell that change no byte of a step, whatever the other fields are. `weight_decay` is none of them: where
it is not 0, torch's foreach SGD takes a copy of all gradients for it."""


def step_memory_key(settings: Mapping[str, Any], *, without: tuple[str, ...] = ()) -> str:
    """Return a text that is the same for all cells whose step takes the same memory, the fields `without` aside.

    Args:
        settings: of `Cell.settings`, or a row of `cells`, whose other columns do not count.
        without: further fields that may differ.
    """
    fields = Cell.__dataclass_fields__.keys() - {*IRRELEVANT_FIELDS, *without}
    return repr(sorted((name, settings[name]) for name in fields))
