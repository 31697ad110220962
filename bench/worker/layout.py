"""The layout of images and 4-d weights in memory: NHWC as the cell asks, or NCHW where the model does not support it.

Many models call `x.view(N, -1)` where only `reshape` or `flatten` works for every layout. Their first step fails; then
the training starts over from the same seed, so that it is bit for bit the one with `channels_last = false`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

from ampbench.bench.plan.cell import Cell
from ampbench.bench.train.state.savepoint import CannotRollBackError, Savepoint
from ampbench.bench.train.step import Step
from ampbench.bench.train.training import Training
from ampbench.bench.worker.dtype_check import check_first_step, refuse_late_weights
from ampbench.bench.worker.exception_text import first_line
from ampbench.bench.worker.outcome import Outcome
from ampbench.schema.training import Layout

MISFIT = re.compile(r"view size is not compatible|contiguous|stride|memory[ _]format|channels_last", re.IGNORECASE)
"""Pattern of torch's messages about a layout that an operator does not support."""


def take_first_step(
    training: Training, begin: Callable[[], Iterator[Step]], outcome: Outcome, *, may_start_over: bool
) -> tuple[Step, Iterator[Step]]:
    """Take the first step of a process, under the dtype check; return it and the steps after it.

    Args:
        training: takes the step; it is started over in NCHW if its model does not support NHWC.
        begin: returns its steps from the first one on.
        outcome: gets the layout that was used, the reason if it is not the cell's, and the dtypes that were seen.
        may_start_over: whether it was not resumed from a checkpoint.

    Raises:
        RuntimeError: matrix products or convolutions ran in another dtype than the recipe says.
        Exception: any other error of the step.
    """
    outcome.measured.layout = replace(outcome.measured.layout, channels_last_used=training.cell.channels_last)
    outside = kept_outside(training) if may_start_over and training.cell.channels_last else None
    steps = begin()
    try:
        return _checked_step(training, steps, outcome), steps
    except Exception as e:
        layout = layout_after(training, e)
        if not (may_start_over and layout):
            raise
        outcome.measured.layout = layout
    del steps
    if outside:
        outside.roll_back()
    training.start_over(channels_last=False)
    steps = begin()
    return _checked_step(training, steps, outcome), steps


def _checked_step(training: Training, steps: Iterator[Step], outcome: Outcome) -> Step:
    first = check_first_step(training, steps, outcome.measured.dtypes)
    outcome.measured.dtypes = first.dtypes
    refuse_late_weights(training)
    first.refuse()
    return first.step


def kept_outside(training: Training) -> Savepoint | None:
    """Save the state of the model's classes, such as a count of calls: building the model again does not restore it.

    None where something there cannot be restored; such a count then includes the failed step.
    """
    kinds = {type(layer) for layer in training.model.modules()}
    try:
        return Savepoint({kind.__name__: kind for kind in kinds}, training.device)
    except CannotRollBackError:
        return None


def layout_after(training: Training, error: BaseException) -> Layout | None:
    """Return the layout in which a training that has not stepped should start over; None if it should not."""
    if not (training.cell.channels_last and is_misfit(error)):
        return None
    said = f"in NHWC the first step failed ({type(error).__name__}: {first_line(error)}), so it started over in NCHW"
    print(said, file=sys.stderr)
    return Layout(channels_last_used=False, layout_note=said)


def is_misfit(error: BaseException) -> bool:
    """Whether an error may come from the layout: by torch's message, or as a model's own assertion."""
    return isinstance(error, AssertionError) or bool(MISFIT.search(str(error)))


def layout_advice(error: BaseException, cell: Cell) -> str:
    """Return advice on `channels_last` for an error that may come from the layout; empty for any other error."""
    may_be = cell.channels_last and MISFIT.search(str(error))
    return "; images and 4-d weights are laid out NHWC: try channels_last = false" if may_be else ""
