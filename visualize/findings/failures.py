"""Known failures: find them in the results, explain them, and say what to change."""

from __future__ import annotations

import pandas as pd

from ampbench.schema.learned import is_above_guessing
from ampbench.visualize.read.frame import Results

NEEDED = {"weights_dtype", "update", "num_classes", "num_test_images", "test_accuracy", "optimizer_impl"}
"""Columns that are read; results of an older version may lack one."""


def explanations(results: Results) -> list[str]:
    """Return a few sentences for each known failure that the cells show."""
    if not set(results.cells) >= NEEDED:
        return []
    cells = results.cells
    learned = cells["learned"] if "learned" in cells else pd.Series(None, cells.index, dtype=object)
    read = zip(learned, *(cells[name] for name in ("test_accuracy", "num_classes", "num_test_images")), strict=True)
    guessed = pd.Series([_guessed(*values) for values in read], cells.index, dtype=bool)
    failed = (cells["status"] == "diverged") | ((cells["status"] == "ok") & guessed)
    cells = cells.assign(failed=failed, trained=(cells["status"] == "ok") & ~failed)
    return [*_epsilon(cells), *_small_batches(cells)]


def _guessed(learned: object, accuracy: float, num_classes: float, num_images: float) -> bool:
    """Whether a training learned nothing, from its record; the rule is applied here to older records."""
    if pd.notna(learned):
        return not learned
    if any(map(pd.isna, (accuracy, num_classes, num_images))):
        return False
    return not is_above_guessing(float(accuracy), int(num_classes), int(num_images))


def _epsilon(cells: pd.DataFrame) -> list[str]:
    """Explain failures of pure fp16 with an Adam that is not fused, where fp32 does not fail too."""
    place = ["subject", "batch_size"]
    failed_in_fp32 = cells.loc[cells["failed"] & (cells["precision"] == "fp32"), place].drop_duplicates()
    pure = (cells["weights_dtype"] == "fp16") & (cells["update"] == "nearest")
    adam = cells[pure & cells["optimizer"].isin(["adam", "adamw"])]
    if adam.empty:
        return []
    adam = adam.merge(failed_in_fp32, on=place, how="left", indicator="where").query("where == 'left_only'")
    unfused, fused = (adam[adam["optimizer_impl"] == impl] for impl in ("foreach", "fused"))
    if not unfused["failed"].any():
        return []
    words = (
        f"{unfused['failed'].sum()} of {len(unfused)} cells of pure fp16 with foreach Adam learn nothing: its eps "
        "of 1e-8 is 0 in fp16, whose smallest number is 6e-8, and where v = 0.001 g^2 is 0 too (|g| below 0.005) the "
        "update divides by 0. Use optimizer_impl = 'fused', which computes it in fp32, or master_weights = true"
    )
    return [words + (f"; fused, {fused['trained'].sum()} of {len(fused)} trained here." if len(fused) else ".")]


def _small_batches(cells: pd.DataFrame) -> list[str]:
    """Explain failures of a learning rate with the smaller batch sizes only."""
    sentences = []
    for (subject, rate), own in cells.groupby(["subject", "learning_rate"], sort=False):
        failing = {
            recipe: one.loc[one["failed"], "batch_size"]
            for recipe, one in own.groupby("recipe", observed=True)
            if one["failed"].any() and one["trained"].any()
            if one.loc[one["failed"], "batch_size"].max() < one.loc[one["trained"], "batch_size"].min()
        }
        if failing:
            which = "; ".join(f"{recipe} at batch {_listed(sizes)}" for recipe, sizes in failing.items())
            fp32_too = " fp32 fails too, so precision is not the cause." if "fp32" in failing else ""
            sentences.append(
                f"{subject} with a learning rate of {rate:g} learns nothing in {which}, but learns at every larger "
                "batch size. The noise of an update grows with learning rate over batch size (Smith et al., 2018, "
                '"Don\'t Decay the Learning Rate, Increase the Batch Size", section 2): scale the learning rate with '
                "the batch." + fp32_too
            )
    return sentences


def _listed(sizes: pd.Series) -> str:
    return ", ".join(str(size) for size in sorted(set(sizes)))
