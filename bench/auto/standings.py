"""Where the recipes of a results folder stand, as `visualize` judges them in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ampbench.bench.auto.judge import Unanswered, asked
from ampbench.bench.plan.errors import RequestError


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """One recipe of one subject at one batch size: a row of the table `summary`, as far as a search asks for it."""

    recipe: str
    batch_size: int
    status: str
    """Of its cells: `ok`, or how those ended that did not run to their end."""
    because: str = ""
    images_per_s: float | None = None
    speedup: float | None = None
    """Over the reference; None without a pair."""
    speed: str | None = None
    """The verdict on it: `reference`, `faster`, `same`, `slower`, `can't tell`; None without one."""

    @property
    def may_win(self) -> bool:
        """Whether the recipe is faster than the reference, or may be: its speed does not speak against it."""
        return self.speed == "faster" or (self.speed == "can't tell" and (self.speedup or 0.0) > 1.0)


def standings_of(folder: Path) -> list[Standing]:
    """Return where each recipe of a folder stands; the first is the reference, if it ran to its end.

    Raises:
        RequestError: `visualize` cannot judge the folder.
    """
    try:
        rows = asked("export", folder, "--table", "summary", "--format", "json")
    except Unanswered as e:
        raise RequestError(f"{folder}: its results cannot be judged: {str(e).splitlines()[-1]}") from None
    return [_standing({name.partition(" (")[0]: value for name, value in row.items()}) for row in rows]


def _standing(row: dict[str, Any]) -> Standing:
    """Return it for a row by the names of its columns without their units."""
    return Standing(
        recipe=row["recipe"],
        batch_size=row["batch_size"],
        status=row["status"] or "",
        because=row["because"] or "",
        images_per_s=row["images_per_s"],
        speedup=row["speedup"],
        speed=row["speed"],
    )
