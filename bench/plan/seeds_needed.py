"""What a plan could find out: the chance that its seeds answer a question of accuracy.

The chances are a table, because importing scipy would take longer than the whole plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from ampbench.bench.plan.cell import PRECISION_FIELDS, Cell
from ampbench.schema.margins import MARGIN_POINTS, RUN_SD_POINTS

# fmt: off
EQUIVALENCE_PERCENT = {
    1:  ( 0, 10, 15, 23, 35, 48, 61, 71, 79, 85, 90, 93, 95, 97, 98, 98, 99, 99, 99, 100),
    2:  ( 0,  3,  8, 14, 23, 34, 48, 61, 71, 80, 86, 91, 94, 96, 97, 98, 99, 99, 99, 100),
    4:  ( 0,  1,  2,  5, 12, 20, 32, 46, 59, 71, 80, 86, 91, 94, 96, 97, 98, 99, 99, 99),
    8:  ( 0,  0,  0,  1,  4,  9, 17, 29, 42, 56, 68, 77, 84, 90, 92, 96, 97, 98, 99, 99),
    16: ( 0,  0,  0,  0,  0,  2,  5, 11, 21, 33, 49, 63, 75, 85, 90, 94, 97, 98, 98, 99),
    48: ( 0,  0,  0,  0,  0,  0,  0,  1,  3,  7, 13, 22, 34, 49, 65, 78, 88, 94, 97, 98),
}
# fmt: on
"""Comparisons of a plan -> by the number of paired seeds, from 1: the chance in per cent that a recipe of truly equal
accuracy comes out `equivalent`, at a run SD of 0.2 points (`visualize.stats.simulate.equivalent`). More comparisons
need more seeds: they share alpha, and the noise that a family lends makes up for a part of that only."""

ENOUGH = 80


def power_lines(cells: Sequence[Cell]) -> list[str]:
    """Say in a line each what the trainings and the timings of a plan can tell."""
    lines = []
    trainings = _replicates([cell for cell in cells if cell.epochs], ("seed",))
    timings = _replicates([cell for cell in cells if not cell.epochs], ("seed", "round"))
    if trainings:
        powers = EQUIVALENCE_PERCENT[_size_of_family(cells)]
        chance = powers[min(trainings, len(powers)) - 1]
        enough = next(n for n, power in enumerate(powers, 1) if power >= ENOUGH)
        line = f"Accuracy: {trainings} seed{'s' * (trainings > 1)}; two recipes that train equally well come out "
        line += f"equivalent (within {MARGIN_POINTS} points, at a run SD of {RUN_SD_POINTS}) with a chance of "
        line += f"{chance}%"
        lines.append(line + (f"; {enough} seeds make it {powers[enough - 1]}%" * (trainings < enough)))
    if timings == 1:
        lines.append("Speed: 1 process a cell gives no interval, so nothing can be told; set [measure] rounds = 3")
    return lines


def _size_of_family(cells: Sequence[Cell]) -> int:
    """Return the row of the table for the number of comparisons that a plan trains for."""
    trained = {repr(_without(cell, ("seed", "round"))): cell for cell in cells if cell.epochs}
    alike = {repr(_without(cell, ("seed", "round", *PRECISION_FIELDS))) for cell in trained.values()}
    return min((n for n in EQUIVALENCE_PERCENT if n >= len(trained) - len(alike)), default=max(EQUIVALENCE_PERCENT))


def _without(cell: Cell, fields: Collection[str]) -> dict[str, object]:
    return {name: value for name, value in cell.settings.items() if name not in fields}


def _replicates(cells: Sequence[Cell], fields: tuple[str, ...]) -> int:
    """Return the least number of cells that differ only in these fields; 0 without a cell to compare them with."""
    if len({tuple(str(cell.setting(field)) for field in PRECISION_FIELDS) for cell in cells}) < 2:
        return 0
    alike = Counter(repr(_without(cell, fields)) for cell in cells)
    return min(alike.values())
