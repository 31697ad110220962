"""The summary in words: its rows, its legend, and all of it as plain text for a terminal."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ampbench.schema.margins import MARGIN_POINTS
from ampbench.schema.memory import INSTRUMENTS
from ampbench.terminal import WIDTH
from ampbench.visualize.judge.replicates import Replicates
from ampbench.visualize.judge.standing import Standing
from ampbench.visualize.judge.verdict import Verdict
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.recipes import in_order
from ampbench.visualize.show.text_table import draw
from ampbench.visualize.stats.statistics import interval

FIRST = ("batch", "rate", "precision")
"""Columns that say what a row is about."""
LEFT = ("precision", "speed", "accuracy")
MISSING = "–"
"""Shown where nothing was measured."""
CHANCE = "*: diverged, the accuracy of guessing"


def shown(row: Standing) -> dict[str, str]:
    """Return a row as the words of a table; a missing value is a dash."""
    measured = row.measured
    return {
        "batch": f"{row.batch_size}",
        "precision": row.recipe,
        "n": shown_number(measured.n, measured.num_cells),
        "images/s": images_or_status(measured),
        "speed-up": _speedup(row),
        "speed": row.speed or MISSING,
        "MiB": MISSING if measured.steady_peak_mib is None else f"{measured.steady_peak_mib:,.0f}",
        "test %": _accuracy(measured),
        "accuracy": row.accuracy or MISSING,
    }


def shown_number(n: int, num_cells: int) -> str:
    """Return how many processes ran to their end, and out of how many if not all did."""
    return f"{n}" if n == num_cells else f"{n}/{num_cells}"


def images_or_status(measured: Replicates) -> str:
    """Return images/s as median ± half the range in per cent of it; the status if no cell ran to its end."""
    if not measured.n:
        return measured.status
    speed, low, high = measured.images_per_s, measured.images_per_s_low, measured.images_per_s_high
    if speed is None:
        return MISSING
    value = f"{speed:,.0f}" if speed >= 100 else f"{speed:.3g}"
    if low is None or high is None:
        return value
    spread = 50 * (high - low) / speed
    return f"{value} ±{spread:.1f}%" if spread <= 100 else f"{value} ±>100%"


def legend(results: Results, verdicts: Sequence[Verdict]) -> str:
    """Return what the columns of the table mean, on one line."""
    references = " or ".join(in_order(v.reference for v in verdicts)) or "the reference"
    instruments = [INSTRUMENTS.get(name, name) for name in results.ok["memory_instrument"].dropna().unique()]
    parts = ["n: processes that ran to their end", "images/s: median ± half the range over them"]
    num_judged = sum(v.speed.n > 1 for v in verdicts)
    if verdicts:
        widened = f", widened by Holm over {num_judged} comparisons" if num_judged > 1 else ""
        interval = (
            f", with its 95 % interval{widened}" if num_judged else ", without an interval: there is one pair each"
        )
        parts.append(f"speed-up: over {references} in pairs{interval}")
    if num_judged:
        gains = [v.speed.detectable for v in verdicts if v.speed.n > 1]
        least, most = (f"{gain:.1%}" if gain <= 1 else "over 100%" for gain in (min(gains), max(gains)))
        span = least if least == most else f"{least} to {most}"
        parts.append(f"the smallest gain that these pairs would show with 80 % power: {span}")
    if (results.cells["status"] == "diverged").any():
        parts.append(CHANCE)
    if instruments:
        parts.append(f"MiB: steady peak, {' and '.join(instruments)}")
    if (results.ok["epochs"] > 0).any():
        parts.append(f"test %: final epoch, mean ± SD over seeds; accuracy: by TOST, margin {MARGIN_POINTS:g} points")
    return "; ".join(parts) + "."


def text(rows: Sequence[Standing], width: int = WIDTH) -> str:
    """Return the summary as plain text, one table per subject, for a terminal of `width` columns."""
    drawn = []
    for subject, own in itertools.groupby(rows, key=lambda row: row.subject):
        of_subject = list(own)
        lines = [shown(row) for row in of_subject]
        trained = any((r.measured.test_accuracy, r.measured.chance) != (None, None) for r in of_subject)
        names = [name for name in lines[0] if trained or name not in ("test %", "accuracy")]
        drawn.append(grid(subject, names, lines, width))
    return "".join(drawn)


def grid(title: str, names: list[str], lines: list[dict[str, str]], width: int = WIDTH) -> str:
    """Return one table as plain text; its rows begin with batch and recipe."""
    batches = [line["batch"] for line in lines]
    ends = [i for i, pair in enumerate(zip(batches, [*batches[1:], None], strict=True)) if pair[0] != pair[1]]
    return draw(lines, width, title=title, heads=names, keys=FIRST, left=LEFT, sections=ends)


def _accuracy(measured: Replicates) -> str:
    """Return the accuracy in percent; if all diverged that of guessing, with a mark, as in the table of study S2."""
    if measured.test_accuracy is not None:
        spread = "" if measured.test_accuracy_sd is None else f" ± {100 * measured.test_accuracy_sd:.2f}"
        return f"{100 * measured.test_accuracy:.2f}{spread}"
    return MISSING if measured.chance is None else f"{100 * measured.chance:.2f}*"


def _speedup(row: Standing) -> str:
    if row.is_reference:
        return "1"
    if row.speedup is None:
        return MISSING
    ends = f" {interval(*row.speedup_interval)}" if row.speedup_interval else ""
    return f"{row.speedup:.2f}{ends}"
