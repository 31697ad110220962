"""The trials of a search as a table: their settings and results, the best first."""

from __future__ import annotations

import pandas as pd

from ampbench.visualize.findings import searched
from ampbench.visualize.judge.answer.answer import Answer
from ampbench.visualize.judge.answer.search_answer import search_answers
from ampbench.visualize.read.frame import Results
from ampbench.visualize.show.learning import WordTable
from ampbench.visualize.show.table import MISSING
from ampbench.visualize.show.text_table import draw

MOST_ROWS = 12
"""In a terminal."""
LEFT = ("status",)
NAMES = ("study", "number", "value", "status", "because", "mean", "half_width", "num_reruns")
"""Columns of a frame without trials; with some, their fields stand between."""
LEGEND = (
    "In its run: the trial itself. Mean of reruns: with other seeds and without the trial, ± half of the 95 % "
    "interval. Pruned: ended early, as it fell behind the trials before it."
)


def answers(results: Results) -> list[Answer]:
    """Return an answer for each study of a search; none in a folder that is no search."""
    found = searched.found(results)
    words = {study: searched.importance_words(searched.importance(results, study)) for study in found}
    return search_answers(results, found, words)


def tables(results: Results) -> list[WordTable]:
    """Return a table for each study: trials by the mean of their reruns, then by their own value."""
    record, found = results.search, []
    for study in record.studies if record else ():
        rows = searched.trials_of(results, study)
        ascending = not record.greater_is_better if record else False
        rows = rows.sort_values(["mean", "value", "number"], ascending=[ascending, ascending, True], na_position="last")
        lines = [_line(results, row) for row in rows.to_dict("records")]
        found.append(WordTable(study, list(lines[0]) if lines else [], lines))
    return found


def text(results: Results, width: int) -> str:
    """Return the tables as plain text, each shortened to `MOST_ROWS`."""
    drawn = [
        draw(lines[:MOST_ROWS], width, title=title, heads=heads, keys=("trial",), left=LEFT).strip("\n")
        for title, heads, lines in tables(results)
        if lines
    ]
    return "\n\n".join(drawn)


def frame(results: Results) -> pd.DataFrame:
    """Return a row per trial of all studies."""
    record = results.search
    parts = [searched.trials_of(results, study).assign(study=study) for study in (record.studies if record else ())]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(NAMES))


def _line(results: Results, row: dict[str, object]) -> dict[str, str]:
    record = results.search
    assert record is not None, "its trials are of a search"
    is_share = record.objective == "test_accuracy"

    def number(value: object) -> str:
        known = isinstance(value, float) and not pd.isna(value)
        return (f"{100 * value:.2f}" if is_share else f"{value:.4g}") if known else MISSING  # type: ignore[operator]

    name = "test %" if is_share else record.objective
    spread = f" ± {number(row['half_width'])}" if number(row["half_width"]) != MISSING else ""
    settings = {line.field.removeprefix("model_args."): _word(row[line.field]) for line in record.space}
    return {
        "trial": str(row["number"]),
        **settings,
        f"{name} in its run": number(row["value"]),
        "mean of reruns": number(row["mean"]) + spread,
        "status": str(row["status"]),
    }


def _word(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
