"""Sentences about training curves: a training learned nothing, swings, or lost accuracy that it had."""

from __future__ import annotations

import pandas as pd

from ampbench.schema.learned import course_of
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.recipes import in_order

MOST = 12
"""Most findings that are listed; a matrix with a wrong setting has one for every row."""


def findings(results: Results) -> list[str]:
    """Return a sentence for each recipe whose trainings learned nothing, swing or lost accuracy that they had.

    They come from the records. Older records have none, so the same rule is applied to their epochs.
    """
    ok = results.ok[results.ok["epochs"] > 0]
    notes = ok["learning_note"] if "learning_note" in ok else pd.Series(None, index=ok.index, dtype=object)
    unsaid = ok["learned"].isna() if "learned" in ok else pd.Series(True, index=ok.index)
    notes = notes.astype(object)
    if unsaid.any():
        older = ok[unsaid]
        curves = dict(
            iter(results.epochs[results.epochs["cell_id"].isin(older["cell_id"])].groupby("cell_id", observed=True))
        )
        notes[unsaid] = [_note(cell, curves.get(cell["cell_id"])) for _, cell in older.iterrows()]
    noted = ok.assign(note=notes).dropna(subset=["note"])
    sentences = []
    for (subject, batch_size), own in noted.groupby(["subject", "batch_size"], sort=False):
        alike = ok[(ok["subject"] == subject) & (ok["batch_size"] == batch_size)]
        for recipe in in_order(own["recipe"]):
            here, every = own[own["recipe"] == recipe], int((alike["recipe"] == recipe).sum())
            which = f", {len(here)} of {every} trainings, for example seed {here['seed'].iloc[0]}" if every > 1 else ""
            sentences.append(f"{subject} {recipe} at batch {batch_size}{which}: {here['note'].iloc[0]}.")
    more = len(sentences) - MOST
    return (
        sentences
        if more <= 1
        else [*sentences[:MOST], f"{more} more rows: see the column learning_note of cells.parquet."]
    )


def _note(cell: pd.Series, epochs: pd.DataFrame | None) -> str | None:
    num_classes, num_images = cell.get("num_classes"), cell.get("num_test_images")
    if pd.isna(num_classes) or pd.isna(num_images) or epochs is None:
        return None
    own = epochs.sort_values("epoch")
    recall = cell.get("macro_recall")
    accuracies = [float(value) for value in own["test_accuracy"].dropna()]
    if accuracies and pd.notna(cell["test_accuracy"]):
        accuracies[-1] = float(cell["test_accuracy"])
    return course_of(
        accuracies,
        [float(value) for value in own["train_loss"].dropna()],
        num_classes=int(num_classes),
        num_images=int(num_images),
        macro_recall=None if recall is None or pd.isna(recall) else float(recall),
    ).learning_note
