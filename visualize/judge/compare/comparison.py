"""The comparison of B with A, for every cell that both sides ran.

`verdict.judge` judges the sides as if A were the reference and B another recipe: pairs by seed and round, Welch's
interval where there are fewer than two pairs; all rows on one machine by one method are a family.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ampbench.visualize.judge.compare.match import Match, differences, match, values_of
from ampbench.visualize.judge.compare.side import Side
from ampbench.visualize.judge.runs.pairs import COMPANY, CONDITIONS, positive
from ampbench.visualize.judge.runs.replicates import Replicates, replicates_of
from ampbench.visualize.judge.verdict import verdict
from ampbench.visualize.read.files import NEEDED, ResultsError
from ampbench.visualize.read.notes import notes as notes_of
from ampbench.visualize.read.notes import reasons
from ampbench.visualize.read.peaks import ALLOCATOR, with_peaks
from ampbench.visualize.read.words import count
from ampbench.visualize.stats import statistics
from ampbench.visualize.stats.statistics import Difference, Ratio


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Cells of A compared with the cells of B that match them."""

    axes: dict[str, str]
    """Setting -> its value, or `fp32 → bf16_amp` where the sides differ in it."""
    a: Replicates
    b: Replicates
    """The cells of each side, combined."""
    speed: Ratio
    """Images/s of B over those of A."""
    memory: Ratio | None
    """Peak of B over that of A; None if unknown or of two instruments."""
    accuracy: Difference | None
    """Final test accuracy of B minus that of A in points; None without a pair of seeds, or if a side was only timed."""
    family: str
    """What its noise and alpha are shared with, as in `all 4 comparisons of A and B on AMD EPYC by method 4`."""

    @property
    def name(self) -> str:
        """All axes on one line."""
        return " ".join(f"batch {value}" if key == "batch_size" else value for key, value in self.axes.items())

    @property
    def points(self) -> float:
        """Mean accuracy of B minus that of A in points, over pairs if there are any; NaN if a side was only timed."""
        if self.accuracy:
            return self.accuracy.estimate
        a, b = self.a.test_accuracy, self.b.test_accuracy
        return math.nan if a is None or b is None else 100 * (b - a)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The result of a comparison of two sides."""

    comparisons: list[Comparison]
    differs: list[str]
    """What differed in how the sides were measured; empty unless `mixed` allows differences."""
    notes: list[str]
    """What to know before using the numbers, one sentence each."""


def compare(a: Side, b: Side, *, mixed: bool = False) -> Outcome:
    """Compare every cell of A with those of B that match it, all as one family.

    Raises:
        ResultsError: nothing matches, or the sides were not measured alike and `mixed` is not set.
    """
    matches, notes = match(a, b)
    differs = differences(a, matches)
    if differs and not mixed:
        raise ResultsError(
            f"A and B were not measured alike: {'; '.join(differs)}; measure both in one environment, or use --mixed "
            "to compare them anyway"
        )
    cells = with_peaks(
        pd.concat(
            [
                _as_recipe(own, name, i)
                for i, matched in enumerate(matches)
                for name, own in zip("AB", matched.sides, strict=True)
            ],
            ignore_index=True,
        )
    )
    found = {int(v.subject): v for v in verdict.judge(cells, unpaired=True, whose="of A and B")}
    comparisons = [
        Comparison(
            axes=matched.axes,
            a=replicates_of(cells[(cells["subject"] == i) & (cells["recipe"] == "A")]),
            b=replicates_of(cells[(cells["subject"] == i) & (cells["recipe"] == "B")]),
            speed=found[i].speed if i in found else statistics.compare_speed([]),
            memory=found[i].memory if i in found else None,
            accuracy=found[i].accuracy if i in found else None,
            family=found[i].family if i in found else "",
        )
        for i, matched in enumerate(matches)
    ]
    return Outcome(comparisons=comparisons, differs=differs, notes=notes + _notes(a, b, matches))


def _as_recipe(cells: pd.DataFrame, name: str, number: int) -> pd.DataFrame:
    """Return the cells as `judge` takes them: the side as the recipe, the row as the subject, the seed as the group."""
    kept = cells[
        [
            column
            for column in dict.fromkeys(
                (*NEEDED["cells"], *CONDITIONS, *COMPANY, "measured_on", "joules_per_image", ALLOCATOR)
            )
            if column in cells
        ]
    ]
    as_recipe = {"subject": number, "workload": str(number), "recipe": name, "batch_size": 0}
    return kept.assign(**as_recipe, group_id=cells["seed"].astype(str))


def _notes(a: Side, b: Side, matches: Sequence[Match]) -> list[str]:
    found = []
    same_folder = a.results.folder.resolve() == b.results.folder.resolve()
    for side in (a, b):
        found += [f"{side.name}, not measured: {line}." for line in reasons(side.cells)]
        unknown = len(side.ok) - len(positive(side.ok["images_per_s"]))
        if unknown:
            found.append(f"{side.name}: {count(unknown, 'cell that ran holds', 'cells that ran hold')} no images/s.")
        if not (side is b and same_folder):
            found += [f"{side.results.folder}: {note}" for note in notes_of(side.results)]
    shared = len(set(a.cells["cell_id"]) & set(b.cells["cell_id"])) if same_folder else 0
    if shared:
        found.append(
            f"{count(shared, 'cell is', 'cells are')} on both sides; comparing a cell with itself shows nothing."
        )
    named = pd.concat([side.cells["measured_on"] for side in (a, b)])
    if named[named != ""].nunique() > 1:
        found.append(f"Measured on {', '.join(dict.fromkeys(named[named != '']))}; only cells of one are compared.")
    boards = [[values_of(own["board"]) for own in one.sides if "board" in own] for one in matches]
    apart = sum(len(set(pair)) > 1 for pair in boards)
    if apart:
        found.append(
            f"{apart} of {len(matches)} compare different boards; two boards of the same product can differ in speed."
        )
    return found
