"""What was learned and how long it took: two tables beside the comparison of speeds.

A row is one batch size, learning rate and recipe of what was trained, so that a sweep over batch sizes with two
learning rates is one table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from ampbench.visualize.judge.runs.replicates import geometric_mean
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.recipes import in_order
from ampbench.visualize.show.table import CHANCE, MISSING, shown_number

LEARNED: dict[str, str] = {
    "batch": "batch_size",
    "rate": "learning_rate",
    "precision": "recipe",
    "final %": "test_accuracy",
    "best %": "best_test_accuracy",
    "at epoch": "best_epoch",
    "train %": "train_accuracy",
    "final loss": "train_loss",
    "test loss": "test_loss",
    "P %": "macro_precision",
    "R %": "macro_recall",
    "F1 %": "macro_f1",
}
"""Table `What was learned`: head of a column -> the column that it shows."""

DURATIONS: dict[str, str] = {
    "batch": "batch_size",
    "rate": "learning_rate",
    "precision": "recipe",
    "n": "n",
    "epochs": "epochs",
    "training s": "train_s",
    "evaluation s": "evaluation_s",
    "all s": "cell_s",
    "to accuracy s": "time_to_accuracy_s",
    "to accuracy J": "energy_to_accuracy_j",
}
"""Table `How long it took`: the same."""

SHARES = ("test_accuracy", "best_test_accuracy", "train_accuracy", "macro_precision", "macro_recall", "macro_f1")
MEANS = (*SHARES, "train_loss", "test_loss")
MEDIANS = (
    "best_epoch",
    "train_s",
    "evaluation_s",
    "cell_s",
    "epochs",
    "num_parameters",
)
TO_ACCURACY = ("time_to_accuracy_s", "energy_to_accuracy_j")
"""Columns of which a row has the geometric mean, as the figure of the time to an accuracy."""

LEGEND = (
    "Means over the runs, geometric ones to the accuracy; medians of epochs and other seconds. Final %, losses, P "
    "(precision), R (recall), F1: after the last epoch, all classes alike. Best %: chosen on the test set, so not an "
    "estimate of accuracy. Train %: on augmented images, during training. All s: with start-up, numerics samples and "
    "passes"
)


class WordTable(NamedTuple):
    """A table in words."""

    title: str
    heads: list[str]
    """The columns that are shown."""
    lines: list[dict[str, str]]
    """Rows: head of a column -> words."""


def rows_of(results: Results) -> pd.DataFrame:
    """Return one row per family, batch size, learning rate and recipe that was trained; what is unknown is NaN.

    Columns: family (the subject without the learning rate), batch_size, learning_rate, recipe, status, n, num_cells,
    `chance` (every cell diverged, so test_accuracy is that of guessing), and those of MEANS, MEDIANS and TO_ACCURACY.
    """
    cells = results.cells
    trained = cells[(cells["epochs"] > 0) & cells["status"].isin(["ok", "diverged"])]
    trained = _with_final_losses(trained, results)
    rows = []
    if "learning_rate" not in trained:  # older records
        trained = trained.assign(learning_rate=math.nan)
    for (family, batch_size, rate), own in trained.groupby(
        ["family", "batch_size", "learning_rate"], sort=False, dropna=False
    ):
        for recipe in in_order(own["recipe"]):
            row = _measured(own[own["recipe"] == recipe])
            rows.append({"family": family, "batch_size": batch_size, "learning_rate": rate, "recipe": recipe} | row)
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    families = {family: i for i, family in enumerate(dict.fromkeys(frame["family"]))}
    places = {recipe: i for i, recipe in enumerate(in_order(frame["recipe"]))}
    key = {"family": families, "recipe": places}
    by = ["family", "batch_size", "learning_rate", "recipe"]
    return frame.sort_values(by, key=lambda c: c.map(key[c.name]) if c.name in key else c, ignore_index=True)


def _with_final_losses(trained: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Return the cells with every column that is shown; an older record takes its training loss from its last epoch."""
    missing = [column for column in (*MEANS, *MEDIANS, *TO_ACCURACY) if column not in trained]
    trained = trained.assign(**dict.fromkeys(missing, math.nan))
    if trained["train_loss"].isna().any() and len(results.epochs):
        last = results.epochs.sort_values("epoch").groupby("cell_id", observed=True)["train_loss"].last()
        older = trained["cell_id"].map(last.rename(index=str)).where(trained["status"] == "ok")
        trained = trained.assign(train_loss=trained["train_loss"].astype(float).fillna(older.astype(float)))
    return trained


def _measured(cells: pd.DataFrame) -> dict[str, object]:
    ok = cells[cells["status"] == "ok"]
    row: dict[str, object] = {"n": len(ok), "num_cells": len(cells), "chance": ok.empty}
    row |= {name: pd.to_numeric(ok[name]).mean() for name in MEANS}
    row |= {name: pd.to_numeric(ok[name]).median() for name in MEDIANS}
    row |= {name: geometric_mean(pd.to_numeric(ok[name]).dropna()) or math.nan for name in TO_ACCURACY}
    if ok.empty:
        row |= {"test_accuracy": cells["test_accuracy"].mean(), "epochs": cells["epochs"].median()}
    return row


def tables(rows: pd.DataFrame) -> list[WordTable]:
    """Return the tables, two per family."""
    found = []
    for family, own in rows.groupby("family", sort=False) if len(rows) else ():
        of = str(family) if own["batch_size"].nunique() > 1 else f"{family}, batch {own['batch_size'].iloc[0]}"
        count = own["num_parameters"].dropna()
        weights = f", {count.iloc[0]:,.0f} parameters" if len(count) else ""
        for title, columns in ((f"What was learned: {of}{weights}", LEARNED), (f"How long it took: {of}", DURATIONS)):
            lines = [{head: shown(row, column) for head, column in columns.items()} for _, row in own.iterrows()]
            kept = [head for head in columns if _worth(head, own, lines)]
            found.append(WordTable(title, kept, lines))
    return found


def _worth(head: str, rows: pd.DataFrame, lines: Sequence[Mapping[str, str]]) -> bool:
    """Whether to show a column: batch, rate and n if they vary, a measurement if a row has it."""
    if head == "batch":
        return rows["batch_size"].nunique() > 1
    if head == "rate":
        return rows["learning_rate"].nunique() > 1 or rows["batch_size"].nunique() > 1
    if head == "n":
        return len({line[head] for line in lines}) > 1 or "/" in lines[0][head]
    return head in ("precision", "final %") or any(line[head] != MISSING for line in lines)


def shown(row: pd.Series, column: str) -> str:
    """Return a value as the words of a table; a missing one is a dash, a diverged one is marked."""
    value = row[column]
    if column == "recipe":
        return str(value)
    if column == "n":
        return shown_number(row.n, row.num_cells)
    if column == "train_loss" and row.chance:
        return "nan"
    if pd.isna(value):
        return MISSING
    if column in SHARES:
        return f"{100 * value:.2f}" + ("*" if row.chance else "")
    if column.endswith("_loss"):
        return f"{value:.4f}" if value < 1000 else f"{value:.3g}"
    if column == "learning_rate":
        return f"{value:g}"
    if column.endswith("_s"):
        return f"{value:,.1f}"
    return f"{value:,.0f}"


def legend(rows: pd.DataFrame) -> str:
    """Return what the columns of the two tables mean, as one paragraph."""
    return ". ".join([LEGEND, *([CHANCE] if len(rows) and rows["chance"].any() else [])]) + "."
