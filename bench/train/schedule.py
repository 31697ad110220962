"""Learning-rate schedules as plain functions of the progress of a run, in closed form: a resumed run needs no state."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ampbench.bench.plan.cell import Cell

WARMUP_START = 0.01
"""Share of the learning rate at which a linear warm-up begins (study S2)."""

STEP_FACTOR = 0.1
"""What each milestone multiplies the learning rate by (studies S2 and S4)."""

FLOOR = 1e-6
"""Learning rate that S4's cosines fall to (`eta_min`)."""

FIRST_CYCLE, CYCLE_GROWTH = 10, 2
"""Epochs until the first warm restart, and what each cycle is longer by (S4; `T_0`, `T_mult`)."""

RISING_SHARE, START_DIVISOR, END_DIVISOR = 0.3, 25.0, 1e4
"""Of one cycle: share of the steps that rise, peak over start, start over end (torch's OneCycleLR's own)."""


class Progress(NamedTuple):
    """Where a run is."""

    epoch: int
    """From 0."""
    step: int
    """Within the epoch, from 0."""
    steps_per_epoch: int
    """Optimizer steps."""

    @property
    def steps(self) -> int:
        """Steps since the beginning of the run."""
        return self.epoch * self.steps_per_epoch + self.step


def learning_rate(cell: Cell, *, epoch: int, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of a step.

    Args:
        cell: its schedule, learning rate and epochs.
        epoch: from 0.
        step: within the epoch, from 0.
        steps_per_epoch: optimizer steps an epoch.

    A run of 0 epochs is a timing: whatever the schedule, it keeps the cell's own rate.
    """
    schedule = SCHEDULES[cell.schedule] if cell.epochs else constant
    return schedule(cell, Progress(epoch, step, steps_per_epoch))


def constant(cell: Cell, _now: Progress) -> float:
    """Keep the cell's learning rate."""
    return cell.learning_rate


def cosine(cell: Cell, now: Progress) -> float:
    """Fall to nearly 0 over the run's own epochs, the same within an epoch (study S3).

    Loshchilov & Hutter (2017), "SGDR", section 3, without restarts; torch's CosineAnnealingLR(T_max=epochs).
    """
    return _half_wave(cell.learning_rate, 0.0, now.epoch / cell.epochs)


def cosine_to_floor(cell: Cell, now: Progress) -> float:
    """Fall to nearly `FLOOR` over the run's epochs; torch's CosineAnnealingLR(T_max=epochs, eta_min=FLOOR)."""
    return _half_wave(cell.learning_rate, FLOOR, now.epoch / cell.epochs)


def warmup_multistep(cell: Cell, now: Progress) -> float:
    """Rise linearly over the warm-up epochs, then fall at each of the cell's milestones (study S2).

    The rise is per step, since a warm-up of one epoch would otherwise be a single value.
    """
    if now.epoch < cell.warmup_epochs:
        share = now.steps / (cell.warmup_epochs * now.steps_per_epoch)
        return cell.learning_rate * (WARMUP_START + (1 - WARMUP_START) * share)
    return _multistep(cell, now, cell.milestones)


def warm_restarts(cell: Cell, now: Progress) -> float:
    """Fall to `FLOOR` again and again, in cycles of 10, 20, 40 ... epochs, the same within an epoch (study S4).

    Loshchilov & Hutter (2017), "SGDR", section 3; torch's CosineAnnealingWarmRestarts(10, 2, 1e-6). A run of 10, 30, 70
    or 150 epochs ends at the foot of a cycle; any other ends on its slope.
    """
    since, length = now.epoch, FIRST_CYCLE
    while since >= length:
        since, length = since - length, length * CYCLE_GROWTH
    return _half_wave(cell.learning_rate, FLOOR, since / length)


def one_cycle(cell: Cell, now: Progress) -> float:
    """Rise to the cell's learning rate and fall far below the start, in two half waves, per step.

    Smith & Topin (2019), "Super-Convergence"; torch's OneCycleLR(max_lr=learning_rate) without its cycle of the
    momentum, which stays the cell's.
    """
    top = cell.learning_rate
    start = top / START_DIVISOR
    last = cell.epochs * now.steps_per_epoch - 1
    peak = RISING_SHARE * (last + 1) - 1
    step = min(now.steps, last)
    if step <= peak:
        return _half_wave(start, top, step / peak)
    return _half_wave(top, start / END_DIVISOR, (step - peak) / (last - peak))


def stable(cell: Cell, now: Progress) -> float:
    """Choose as S4's *stable* does: cosine for batches from 256, else a tenth at epochs 30 and 45.

    So a small batch keeps its rate throughout a run of up to 30 epochs.
    """
    return cosine(cell, now) if cell.batch_size >= 256 else _multistep(cell, now, (30, 45))


def advanced(cell: Cell, now: Progress) -> float:
    """Choose as S4's *advanced* does: warm restarts from 256, cosine from 128, else a tenth at 60 and 80 %.

    The first epoch has the rate of the cell, however few there are.
    """
    if cell.batch_size >= 256:
        return warm_restarts(cell, now)
    if cell.batch_size >= 128:
        return cosine_to_floor(cell, now)
    return _multistep(cell, now, (max(1, cell.epochs * 6 // 10), max(1, cell.epochs * 8 // 10)))


SCHEDULES: dict[str, Callable[[Cell, Progress], float]] = {
    "constant": constant,
    "cosine": cosine,
    "warmup_multistep": warmup_multistep,
    "warm_restarts": warm_restarts,
    "one_cycle": one_cycle,
    "stable": stable,
    "advanced": advanced,
}
"""By the words of `Cell.schedule`."""


def _half_wave(start: float, end: float, share: float) -> float:
    """Go from `start` to `end` along half a cosine, as `share` goes from 0 to 1."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


def _multistep(cell: Cell, now: Progress, milestones: Sequence[int]) -> float:
    """Multiply by `STEP_FACTOR` from each milestone's epoch on; torch's MultiStepLR."""
    return cell.learning_rate * STEP_FACTOR ** sum(now.epoch >= milestone for milestone in milestones)
