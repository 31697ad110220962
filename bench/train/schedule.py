"""Learning-rate schedules as plain functions of the progress of a run."""

from __future__ import annotations

import math

from bench.plan.cell import Cell

WARMUP_START = 0.01
"""Share of the learning rate at which a linear warm-up begins (study S2)."""

STEP_FACTOR = 0.1
"""What each milestone multiplies the learning rate by."""


def learning_rate(cell: Cell, *, epoch: int, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of a step.

    Args:
        cell: its schedule, learning rate and epochs.
        epoch: from 0.
        step: within the epoch, from 0.
        steps_per_epoch: optimizer steps an epoch.

    `cosine` falls from 1 to nearly 0 over the run's own epochs and stays the same within an epoch, as torch's
    CosineAnnealingLR(T_max=epochs) stepped per epoch (Loshchilov & Hutter, 2017, without restarts).
    `warmup_multistep` rises per step, since a warm-up of one epoch would otherwise be a single value.
    """
    if cell.epochs == 0 or cell.schedule == "constant":
        return cell.learning_rate
    if cell.schedule == "cosine":
        return cell.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / cell.epochs))
    if epoch < cell.warmup_epochs:
        share = (epoch * steps_per_epoch + step) / (cell.warmup_epochs * steps_per_epoch)
        return cell.learning_rate * (WARMUP_START + (1 - WARMUP_START) * share)
    return cell.learning_rate * STEP_FACTOR ** sum(epoch >= milestone for milestone in cell.milestones)
