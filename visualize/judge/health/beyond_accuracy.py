"""What the test accuracy does not show: classes that are no longer recognised, a test loss that is not a number."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from ampbench.visualize.judge.concern import ACCURACY, Concern, known, of_runs
from ampbench.visualize.judge.runs.pairs import accuracies

RECALL_LOST = 0.05
"""Mean recall over classes (0 to 1) below that of the reference from which an equal accuracy is not equal: where
classes differ in size, a recipe may keep its accuracy and never again answer with a small class."""


def concerns_beyond_accuracy(trained: pd.DataFrame, theirs: pd.DataFrame) -> Iterator[Concern]:
    """Yield what spoils an equal test accuracy.

    Args:
        trained: cells of one recipe that were trained and ran to their end.
        theirs: those of the reference; none for the reference itself.
    """
    if "test_loss" in trained and len(known(theirs, "test_loss")):
        lost = int((trained["test_loss"].isna() & accuracies(trained).notna()).sum())
        if lost:
            yield Concern(
                text=f"no finite test loss in {of_runs(lost, trained)}",
                spoils=ACCURACY,
                next_move="look at the logits: fp16 ends at 65,504",
            )
    own, others = (known(cells, "macro_recall").astype(float) for cells in (trained, theirs))
    # Every run lies below every run of the reference, so that the spread of the seeds does not explain it.
    if len(own) and len(others) and own.max() < others.min() and others.mean() - own.mean() >= RECALL_LOST:
        percent, by = (f"{100 * some.mean():.0f} %" for some in (own, others))
        yield Concern(
            text=f"{percent} of a class are found on average, in the reference {by}",
            spoils=ACCURACY,
            next_move="compare the recall of each class",
        )
