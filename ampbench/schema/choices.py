"""A setting that was found rather than typed: its value, the reason, and the evidence that it rests on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ampbench.schema.files import CHOICES

Value = str | int | float | bool | None

By = Literal["user", "rule", "prediction", "measurement"]
"""Who chose: a person, a rule of study S4, a prediction, or a measurement on this machine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One setting, chosen. What a person gave is kept too, so that a reader sees which values were free."""

    field: str
    """The field of a cell that was chosen, such as `batch_size`, or `device`."""
    value: Value
    """What is used; None where nothing could be chosen, and `reason` says why."""
    reason: str
    """One clause, as in `97 % of the best images/s; 512 gives 3 % more`."""
    evidence: str = ""
    """What it rests on: the folder of results, the rule's source, the command that measured it; empty for a person's
    own value."""
    by: By
    """Who chose."""
    subject: str = ""
    """What it was chosen for where several were, such as a recipe's name; empty for all cells."""

    @property
    def shown(self) -> str:
        """The value as a person reads it."""
        if self.value is None:
            return "none"
        return f"{self.value:.3g}" if isinstance(self.value, float) else str(self.value)


def read_choices(folder: Path) -> tuple[Choice, ...]:
    """Return the choices that a folder of results holds, in their order; none if its file is missing or damaged."""
    try:
        return tuple(Choice(**row) for row in json.loads((folder / CHOICES).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return ()
