"""The summary: one row per subject, batch size and recipe, as a tidy frame and as plain text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from ampbench.schema.margins import MARGIN_POINTS
from ampbench.schema.memory import INSTRUMENTS, MIB
from ampbench.visualize.judge.verdict import Verdict
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.recipes import in_order
from ampbench.visualize.show.text_table import draw
from ampbench.visualize.stats.statistics import interval

FIRST = ("batch", "rate", "precision")
"""Columns that say what a row is of."""
LEFT = ("precision", "speed", "accuracy")

# fmt: off
COLUMNS = [
    "subject", "batch_size", "recipe", "status", "because", "num_cells", "n", "images_per_s", "images_per_s_low",
    "images_per_s_high", "speedup", "speedup_low", "speedup_high", "speed", "steady_peak_mib", "test_accuracy",
    "test_accuracy_sd", "chance", "accuracy",
]
# fmt: on


def summary(results: Results, verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Return one row per subject, batch size and recipe; what was not measured is NaN or null.

    Columns: subject, batch_size, recipe, status (`ok`, or the commonest of what went wrong), because, n (processes
    that ran to their end), num_cells, images_per_s and its _low and _high over the processes, speedup and its _low
    and _high (interval, widened over the family), speed and accuracy (verdicts; `reference` for the reference),
    steady_peak_mib, test_accuracy and test_accuracy_sd (shares), chance (of guessing, where all diverged).
    """
    judged = {(v.subject, v.batch_size, v.recipe): v for v in verdicts}
    references = {(v.subject, v.batch_size): v.reference for v in verdicts}
    rows = []
    cells = results.cells
    for subject in results.subjects:
        for batch_size, own in cells[cells["subject"] == subject].groupby("batch_size"):
            for recipe in in_order(own["recipe"]):
                row = measured(own[own["recipe"] == recipe])
                row |= {"subject": subject, "batch_size": batch_size, "recipe": recipe}
                verdict = judged.get((subject, int(str(batch_size)), recipe))
                if verdict:
                    row |= _against_reference(verdict)
                elif references.get((subject, int(str(batch_size)))) == recipe:
                    row |= {"speed": "reference", "accuracy": "reference" if row["test_accuracy"] is not None else None}
                rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def measured(cells: pd.DataFrame) -> dict[str, object]:
    """Return what the cells of one row have in common: the columns of `summary` that no comparison is behind."""
    ok = cells[cells["status"] == "ok"]
    bad = cells[cells["status"] != "ok"]
    speed, accuracy = ok["images_per_s"].dropna(), ok.loc[ok["epochs"] > 0, "test_accuracy"].dropna()
    several = len(speed) > 1
    status = "ok" if bad.empty else bad["status"].mode().iloc[0]
    return {
        "status": status,
        "because": next(iter(bad.loc[bad["status"] == status, "because"].dropna()), None),
        "num_cells": len(cells),
        "n": len(ok),
        "images_per_s": speed.median() if len(speed) else None,
        "images_per_s_low": speed.min() if several else None,
        "images_per_s_high": speed.max() if several else None,
        "steady_peak_mib": ok["steady_peak_bytes"].median() / MIB if ok["steady_peak_bytes"].notna().any() else None,
        "test_accuracy": accuracy.mean() if len(accuracy) else None,
        "chance": cells["test_accuracy"].mean() if set(cells["status"]) == {"diverged"} else None,
        "test_accuracy_sd": accuracy.std() if len(accuracy) > 1 else None,
    }


def _against_reference(verdict: Verdict) -> dict[str, object]:
    speed = verdict.speed
    return {
        "speedup": speed.estimate if speed.n else None,
        "speedup_low": speed.low if speed.n > 1 else None,
        "speedup_high": speed.high if speed.n > 1 else None,
        "speed": speed.verdict,
        "accuracy": verdict.accuracy.verdict if verdict.accuracy else None,
    }


def shown(row: pd.Series) -> dict[str, str]:
    """Return a row of `summary` as the words of a table; a missing value is a dash."""
    spread = f" ± {100 * row.test_accuracy_sd:.2f}" if not _missing(row.test_accuracy_sd) else ""
    return {
        "batch": f"{row.batch_size}",
        "precision": row.recipe,
        "n": f"{row.n}" if row.n == row.num_cells else f"{row.n}/{row.num_cells}",
        "images/s": _speed(row) if row.n else row.status,
        "speed-up": _speedup(row),
        "speed": _word(row.speed),
        "MiB": "–" if _missing(row.steady_peak_mib) else f"{row.steady_peak_mib:,.0f}",
        "test %": _accuracy(row) + spread,
        "accuracy": _word(row.accuracy),
    }


def legend(results: Results, verdicts: Sequence[Verdict]) -> str:
    """Return what the columns of the table mean, on one line."""
    references = " or ".join(in_order(v.reference for v in verdicts)) or "the reference"
    instruments = [INSTRUMENTS.get(name, name) for name in results.ok["memory_instrument"].dropna().unique()]
    parts = ["n: processes that ran to their end", "images/s: median ± half the range over them"]
    told = sum(v.speed.n > 1 for v in verdicts)
    if verdicts:
        widened = f", widened by Holm over {told} comparisons" if told > 1 else ""
        interval = f", with its 95 % interval{widened}" if told else ", without an interval: there is one pair each"
        parts.append(f"speed-up: over {references} in pairs{interval}")
    if told:
        gains = [v.speed.detectable for v in verdicts if v.speed.n > 1]
        least, most = (f"{gain:.1%}" if gain <= 1 else "over 100%" for gain in (min(gains), max(gains)))
        span = least if least == most else f"{least} to {most}"
        parts.append(f"the smallest gain that these pairs would show with 80 % power: {span}")
    if (results.cells["status"] == "diverged").any():
        parts.append("*: diverged, the accuracy of guessing")
    if instruments:
        parts.append(f"MiB: steady peak, {' and '.join(instruments)}")
    if (results.ok["epochs"] > 0).any():
        parts.append(f"test %: final epoch, mean ± SD over seeds; accuracy: by TOST, margin {MARGIN_POINTS:g} points")
    return "; ".join(parts) + "."


def notes(results: Results) -> list[str]:
    """Return what a reader of the table should know before using it, a sentence each."""
    ok, found = results.ok, []
    planned = len(results.plan.get("cells") or [])
    found += [f"{sentence}." for sentence in results.missing]
    unrun = planned - len(results.cells)
    if unrun > 0:
        found.append(f"{unrun} of {planned} planned cells have not run yet; the same command goes on with them.")
    if "warmup_steady" in ok and (unsteady := int(ok["warmup_steady"].eq(False).sum())):
        found.append(f"{unsteady} of {len(ok)} cells were not steady when their warm-up ended.")
    if ok["environment_id"].nunique() > 1:
        found.append(f"{ok['environment_id'].nunique()} environments lie side by side; only cells of one are paired.")
    if ok["memory_instrument"].nunique() > 1:
        found.append("Memory was taken with two instruments, which do not compare.")
    for column in ("model_note", "data_note", "memory_note"):
        if column in ok:
            found += [f"{note}." for note in ok[column].dropna().unique()]
    if "git_dirty" in ok and ok["git_dirty"].eq(True).any():
        found.append("ampbench had uncommitted changes, so the commit alone does not reproduce this.")
    return found


def text(frame: pd.DataFrame, width: int = 100) -> str:
    """Return the summary as plain text, one table a subject, in a terminal of `width` columns."""
    drawn = []
    for subject, rows in frame.groupby("subject", sort=False):
        lines = [shown(row) for _, row in rows.iterrows()]
        trained = rows["test_accuracy"].notna().any() or rows["chance"].notna().any()
        names = [name for name in lines[0] if trained or name not in ("test %", "accuracy")]
        drawn.append(grid(str(subject), names, lines, width))
    return "".join(drawn)


def grid(title: str, names: list[str], lines: list[dict[str, str]], width: int = 100) -> str:
    """Return columns of rows that begin with batch and recipe, as plain text."""
    batches = [line["batch"] for line in lines]
    ends = [i for i, pair in enumerate(zip(batches, [*batches[1:], None], strict=True)) if pair[0] != pair[1]]
    return draw(lines, width, title=title, heads=names, keys=FIRST, left=LEFT, sections=ends)


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _accuracy(row: pd.Series) -> str:
    """Return the accuracy in percent; of what diverged that of guessing, marked, as study S2's table has it."""
    if not _missing(row.test_accuracy):
        return f"{100 * row.test_accuracy:.2f}"
    return "–" if _missing(row.chance) else f"{100 * row.chance:.2f}*"


def _speed(row: pd.Series) -> str:
    if _missing(row.images_per_s):
        return "–"
    value = f"{row.images_per_s:,.0f}" if row.images_per_s >= 100 else f"{row.images_per_s:.3g}"
    if _missing(row.images_per_s_low):
        return value
    spread = 50 * (row.images_per_s_high - row.images_per_s_low) / row.images_per_s
    return f"{value} ±{spread:.1f}%" if spread <= 100 else f"{value} ±>100%"


def _speedup(row: pd.Series) -> str:
    if row.speed == "reference":
        return "1"
    if _missing(row.speedup):
        return "–"
    return f"{row.speedup:.2f}" + (
        "" if _missing(row.speedup_low) else f" {interval(row.speedup_low, row.speedup_high)}"
    )


def _word(value: object) -> str:
    return value if isinstance(value, str) else "–"
