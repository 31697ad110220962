"""The start of a training as columns of the record: its loss, and where it broke."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from ampbench.bench.worker.divergence import divergence_of
from ampbench.schema.start import StartOfTraining, tail_of
from ampbench.schema.steps import StepRow


def start_of(steps: Sequence[StepRow]) -> StartOfTraining:
    """Condense the first steps of a training; all is null without a step."""
    if not steps:
        return StartOfTraining()
    broken = divergence_of(steps)
    losses = [step.loss for step in steps]
    finite = all(map(math.isfinite, losses))
    return StartOfTraining(
        start_steps=len(steps),
        start_loss=statistics.fmean(losses[-tail_of(len(losses)) :]) if finite else None,
        start_diverged_step=broken[0].diverged_step if broken else None,
        start_num_skipped=None if steps[0].skipped is None else sum(bool(step.skipped) for step in steps),
    )
