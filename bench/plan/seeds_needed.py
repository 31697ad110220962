"""What a plan could find out: the chance that its seeds answer a question of accuracy.

The chances are a table, because importing scipy would take longer than the whole plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ampbench.bench.plan.cell import PRECISION_FIELDS, Cell
from ampbench.schema.margins import MARGIN_POINTS, RUN_SD_POINTS

EQUIVALENCE_POWER = (
    *(0.00, 0.10, 0.15, 0.23, 0.35, 0.48, 0.60, 0.71, 0.79, 0.85),
    *(0.90, 0.93, 0.95, 0.96, 0.98, 0.98, 0.99, 0.99, 0.99, 1.00),
)
"""By the number of paired seeds, from 1: the chance that two recipes of truly equal accuracy come out `equivalent`
(`visualize.stats.sample_size.tost_power` at a spread of the differences of 0.2 * sqrt(2) points)."""

ENOUGH = 0.8


def power_lines(cells: Sequence[Cell]) -> list[str]:
    """Say in a line each what the trainings and the timings of a plan can tell."""
    lines = []
    trainings = _replicates([cell for cell in cells if cell.epochs], ("seed",))
    timings = _replicates([cell for cell in cells if not cell.epochs], ("seed", "round"))
    if trainings:
        chance = EQUIVALENCE_POWER[min(trainings, len(EQUIVALENCE_POWER)) - 1]
        enough = next(n for n, power in enumerate(EQUIVALENCE_POWER, 1) if power >= ENOUGH)
        line = f"Accuracy: {trainings} seed{'s' * (trainings > 1)}; two recipes that train equally well come out "
        line += f"equivalent (within {MARGIN_POINTS} points, at a run SD of {RUN_SD_POINTS}) with a chance of "
        line += f"{chance:.0%}"
        lines.append(line + (f"; {enough} seeds make it {EQUIVALENCE_POWER[enough - 1]:.0%}" * (trainings < enough)))
    if timings == 1:
        lines.append("Speed: 1 process a cell gives no interval, so nothing can be told; set [measure] rounds = 3")
    return lines


def _replicates(cells: Sequence[Cell], fields: tuple[str, ...]) -> int:
    """Return the least number of cells that differ only in these fields; 0 without a cell to compare them with."""
    if len({tuple(str(cell.settings[field]) for field in PRECISION_FIELDS) for cell in cells}) < 2:
        return 0
    alike = Counter(repr({k: v for k, v in cell.settings.items() if k not in fields}) for cell in cells)
    return min(alike.values())
