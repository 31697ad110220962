"""The start of a training: its first steps, by which two recipes are compared long before their accuracies can be.

A cell with epochs = 0 takes them too: its timing trains the network from the cell's own first weights, on its first
images. Cells of one seed that differ only in the precision so have paired starts.
"""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import column

START_STEPS = 400
"""Steps that are looked at where `[measure] start_steps` does not say how many."""

TAIL_SHARE = 0.1
"""Share of the steps, at their end, over which the loss is averaged."""


def tail_of(num_steps: int) -> int:
    """Return the number of steps in the last tenth, at least 1."""
    return max(1, round(TAIL_SHARE * num_steps))


@dataclass(frozen=True, kw_only=True, slots=True)
class StartOfTraining:
    """The first steps of a cell, from its initial weights; null without `[measure] start_steps`."""

    start_steps: int | None = column(
        "",
        "steps of the start",
        "[measure] start_steps, or fewer where the training, its loss or the cell's time ended before",
    )
    start_loss: float | None = column(
        "",
        "training loss after the start",
        "Mean training loss over the last tenth of these steps; null where one of their losses is not finite",
    )
    start_diverged_step: int | None = column(
        "",
        "start diverged at step",
        "First of these steps with a loss that is not finite or a loss scale that collapsed; else null",
    )
    start_num_skipped: int | None = column(
        "", "skipped steps of the start", "Of these steps, those that the loss scaler skipped; null without a scaler"
    )
