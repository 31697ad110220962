"""Where the recipes of a results folder stand, as `visualize` judges them in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ampbench.bench.plan.errors import RequestError
from ampbench.path import ROOT


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
    command = [sys.executable, "-m", "ampbench.visualize.export", str(folder), "--table", "summary", "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RequestError(f"{folder}: its results cannot be judged: {said[-1]}")
    return [_standing(row) for row in rows_of(done.stdout)]


def rows_of(text: str) -> list[dict[str, Any]]:
    """Return the rows of an exported table, by the names of its columns without their units."""
    return [{name.partition(" (")[0]: value for name, value in row.items()} for row in json.loads(text)]


def _standing(row: dict[str, Any]) -> Standing:
    return Standing(
        recipe=row["recipe"],
        batch_size=row["batch_size"],
        status=row["status"] or "",
        because=row["because"] or "",
        images_per_s=row["images_per_s"],
        speedup=row["speedup"],
        speed=row["speed"],
    )
