"""Does a cell run slower beside busy neighbours? The verdict on rounds of the same cell, alone and beside them.

Each round is a pair of processes that ran one after the other, so the unit is the log of a ratio within a round. The
question has a margin, 1 %: a cell that is surely 0.5 % slower is called the same, and one that is slower by 0.2 to 2 %
is told by neither side of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ampbench.schema.interference import LOOKS, Verdict
from ampbench.visualize.read.files import ResultsError, read_table
from ampbench.visualize.stats.effect import ALPHA, SAME
from ampbench.visualize.stats.statistics import Ratio, compare_speed

ALONE, BESIDE = "alone", "beside"
"""The two folders of results."""
COLUMNS = ["round", "status", "images_per_s", "num_neighbours"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """The verdict, with the numbers that it rests on."""

    verdict: Verdict
    ratio: float
    low: float | None
    high: float | None
    shown: str
    n: int
    images_per_s_alone: float


def interference_of(folder: Path) -> Judged:
    """Judge the rounds of a folder that holds the results `alone` and `beside`.

    Raises:
        ResultsError: they cannot be read, or no round ended well in both.
    """
    alone, beside = (_speeds(folder / name, busy=name == BESIDE) for name in (ALONE, BESIDE))
    rounds = sorted(alone.keys() & beside.keys())
    if not rounds:
        raise ResultsError(f"{folder}: no round ended well both alone and beside its neighbours; run the check again")
    found = compare_speed([math.log(beside[number] / alone[number]) for number in rounds], ALPHA / len(LOOKS))
    return Judged(
        verdict=verdict_on(found),
        ratio=found.estimate,
        low=found.low if found.n > 1 else None,
        high=found.high if found.n > 1 else None,
        shown=str(found),
        n=found.n,
        images_per_s_alone=math.exp(math.fsum(math.log(alone[number]) for number in rounds) / len(rounds)),
    )


def verdict_on(found: Ratio) -> Verdict:
    """Return on which side of the margin the interval lies as a whole."""
    margin = math.exp(SAME)
    if 1 / margin <= found.low and found.high <= margin:
        return "same"
    if found.high < 1 / margin:
        return "slower"
    return "faster" if found.low > margin else "can't tell"


def _speeds(folder: Path, *, busy: bool) -> dict[int, float]:
    """Return round -> images/s of the rounds that ended well, without those whose neighbours were not as they say."""
    table = read_table(folder, "cells")
    present = [name for name in COLUMNS if name in table.column_names]
    rows: Sequence[Mapping[str, Any]] = table.select(present).to_pylist()
    found = {row["round"]: row for row in rows if row["status"] == "ok" and row["images_per_s"]}
    seen = {number: row.get("num_neighbours") for number, row in found.items()}
    return {
        number: row["images_per_s"]
        for number, row in found.items()
        if seen[number] is None or bool(seen[number]) is busy
    }
