"""The summary in words: one row for each recipe, what its columns mean, and all of it as text for a terminal."""

from __future__ import annotations

import itertools
import string
from collections.abc import Collection, Mapping, Sequence

from ampbench.schema.margins import MARGIN_POINTS
from ampbench.terminal import WIDTH
from ampbench.visualize.judge.decision.standing import Standing
from ampbench.visualize.judge.runs.replicates import Replicates
from ampbench.visualize.judge.verdict.ladder import NAMES
from ampbench.visualize.judge.verdict.verdict import Verdict
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.peaks import instrument_of
from ampbench.visualize.read.recipes import in_order
from ampbench.visualize.read.words import count
from ampbench.visualize.show.text_table import draw, fold
from ampbench.visualize.stats.statistics import interval

FIRST = ("batch", "rate", "precision")
"""Columns that say what a row is about."""
LEFT = ("precision", "speed", "accuracy", "evidence", "health", "bound by")
MISSING = "–"
"""Shown where nothing was measured."""
WELL = "ok"
"""The health of numbers without a concern."""
CHANCE = "*: diverged, the accuracy of guessing"


def shown(row: Standing) -> dict[str, str]:
    """Return a row as the words of a table; a missing value is a dash.

    A number that follows ± is always the standard deviation over the processes, in the unit of its column.
    """
    measured = row.measured
    highest = row.evidence.against or row.evidence.highest
    return {
        "batch": f"{row.batch_size}",
        "precision": row.recipe,
        "n": shown_number(measured.n, measured.num_cells),
        "images/s": images_or_status(measured),
        "speed-up": _speedup(row),
        "speed": row.speed or MISSING,
        "MiB": MISSING if measured.peak_mib is None else _mib(measured.peak_mib),
        "mJ/image": MISSING if measured.joules_per_image is None else f"{1e3 * measured.joules_per_image:,.3g}",
        "test %": _accuracy(measured),
        "accuracy": row.accuracy or MISSING,
        "evidence": f"{highest.rung} {NAMES[highest.rung]}" if highest else MISSING,
        "health": "; ".join(concern.text for concern in row.concerns) or (WELL if measured.n else MISSING),
    }


def shown_number(n: int, num_cells: int) -> str:
    """Return how many processes ran to their end, and out of how many if not all did."""
    return f"{n}" if n == num_cells else f"{n}/{num_cells}"


def images_or_status(measured: Replicates) -> str:
    """Return images/s ± standard deviation over the processes; the status if no cell ran to its end."""
    if not measured.n:
        return measured.status
    if measured.images_per_s is None:
        return MISSING
    speed, spread = measured.images_per_s, measured.images_per_s_sd
    digits = 0 if speed >= 100 else 1 if speed >= 10 else 2 if speed >= 1 else 3
    return f"{speed:,.{digits}f}" + ("" if spread is None else f" ± {spread:,.{digits}f}")


def legend(results: Results, verdicts: Sequence[Verdict], heads: Collection[str] = ("evidence",)) -> str:
    """Return what the columns of the table mean, as one paragraph; of the evidence only if it is among the `heads`."""
    references = " or ".join(in_order(v.reference for v in verdicts)) or "the reference"
    parts = []
    if results.ok["cell_id"].nunique() > results.ok.drop_duplicates(["subject", "batch_size", "recipe"]).shape[0]:
        parts.append("±: mean and standard deviation over the runs, in the unit of the column")
    judged = [v.speed for v in verdicts if v.speed.n > 1]
    if verdicts:
        parts.append(f"speed-up: how many times as fast as {references}" + ("" if judged else ", of one run each"))
    if judged:
        together = f" for all {len(judged)} comparisons together" if len(judged) > 1 else ""
        if len({v.family for v in verdicts if v.speed.n > 1}) > 1:
            together = " for all comparisons of one machine together"
        parts[-1] += f"; the true value lies in the range in brackets, with 95 % confidence{together}"
        gain = max(speed.detectable for speed in judged)
        parts.append(
            f"a gain of {gain:.0%} or more would have shown" if gain <= 1 else "only large gains would have shown"
        )
    if (results.cells["status"] == "diverged").any():
        parts.append(CHANCE)
    if words := instrument_of(results.ok).words:
        parts.append(f"MiB: most memory in use in a step, {words}")
    if (results.ok["epochs"] > 0).any():
        parts.append("test %: share of the test images classified correctly at the end")
    if any(v.accuracy for v in verdicts):
        same = f"equivalent: no more than {MARGIN_POINTS:g} points apart (a point is 1 of 100 test images)"
        parts.append(f"accuracy: against {references}; {same}")
    if verdicts and "evidence" in heads:
        rungs = ", ".join(f"{rung} {name}" for rung, name in NAMES.items())
        parts.append(f"evidence: how far it was tested, of {rungs}")
    return ". ".join(f"{part[0].upper()}{part[1:]}" if i else part for i, part in enumerate(parts)) + "." * bool(parts)


def text(rows: Sequence[Standing], width: int = WIDTH) -> str:
    """Return the summary as plain text, one table per subject, for a terminal of `width` columns."""
    letters = letters_of(rows)
    drawn = []
    for subject, own in itertools.groupby(rows, key=lambda row: row.subject):
        drawn.append(_of_subject(subject, list(own), letters, width))
    return "".join(drawn)


def letters_of(rows: Sequence[Standing]) -> dict[str, str]:
    """Return concern -> the letter that stands for it in the table, in the order of the rows."""
    concerns = dict.fromkeys(concern.text for row in rows for concern in row.concerns)
    names = (a + b for a in ("", *string.ascii_lowercase) for b in string.ascii_lowercase)
    return dict(zip(concerns, names, strict=False))


def health(rows: Sequence[Standing], width: int = WIDTH) -> str:
    """Return what the letters in the column `health` stand for, a line each, with what to do about it."""
    moves = {c.text: c.next_move for row in rows for c in row.concerns}
    lines = [
        fold(f"{letter}: {words}" + (f"; {moves[words]}" if moves[words] else ""), width, "   ")
        for words, letter in letters_of(rows).items()
    ]
    return "\n".join(["Health:", *lines]) if lines else ""


def _of_subject(subject: str, rows: list[Standing], letters: Mapping[str, str], width: int) -> str:
    lines = [shown(row) for row in rows]
    for row, line in zip(rows, lines, strict=True):
        line["health"] = " ".join(letters.get(c.text, "?") for c in row.concerns) or line["health"]
    names, title = heads_of(rows), subject
    if "batch" not in names:
        title += f", batch {rows[0].batch_size}"
    if "n" not in names:
        title += f", {count(max(row.measured.n for row in rows), 'run', 'runs each')}"
    return grid(title, names, lines, width)


def heads_of(rows: Sequence[Standing]) -> list[str]:
    """Return the columns of a subject's table that tell its rows apart or that hold a number."""
    lines = [shown(row) for row in rows]
    numbers = {row.measured.n for row in rows if row.measured.n}
    whole = all(row.measured.n in (0, row.measured.num_cells) for row in rows)
    alike = {
        "batch": len({row.batch_size for row in rows}) == 1,
        "n": len(numbers) == 1 and whole,
        "evidence": len({line["evidence"] for line in lines} - {MISSING}) < 2,  # the answer says it
    }
    always = ("precision", "images/s")
    said = (name for name in lines[0] if name in always or any(line[name] not in (MISSING, WELL) for line in lines))
    return [name for name in said if not alike.get(name)]


def grid(title: str, names: list[str], lines: list[dict[str, str]], width: int = WIDTH) -> str:
    """Return one table as plain text; its rows begin with batch and recipe."""
    batches = [line["batch"] for line in lines]
    ends = [i for i, pair in enumerate(zip(batches, [*batches[1:], None], strict=True)) if pair[0] != pair[1]]
    sections = ends if len(ends) < len(lines) else []
    return draw(lines, width, title=title, heads=names, keys=FIRST, left=LEFT, sections=sections)


def _mib(mib: float) -> str:
    return f"{mib:,.{0 if mib >= 100 else 1 if mib >= 10 else 2}f}"


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
