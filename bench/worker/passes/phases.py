"""The time of a step's phases, data, forward, backward and update, from marks in the stream of a few untimed steps.

The step function is the one that was timed. It gets a scaler that marks the phases: `scale` is called where forward
ends, `step` where backward ends.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ampbench.bench.measure.clock import Mark
from ampbench.bench.train.precision.scaler import Scaler
from ampbench.bench.train.training import Training
from ampbench.schema.work import StepPhases

MOST_STEPS = 10
LEAST_STEPS = 2
ENOUGH_S = 1.0


class MarkingScaler:
    """Replaces a scaler: forwards its calls, and marks where they come."""

    def __init__(self, scaler: Scaler, mark: Callable[[str], None]) -> None:
        self.scaler = scaler
        self.mark = mark
        """Is given the name of the call: `scale` or `step`."""

    def scale(self, loss: Tensor) -> Tensor:
        """Mark the end of forward."""
        self.mark("scale")
        return self.scaler.scale(loss)

    def step(self, optimizer: Optimizer) -> Any:
        """Mark the end of backward."""
        self.mark("step")
        return self.scaler.step(optimizer)

    def __getattr__(self, name: str) -> Any:
        """Mark nothing else: the caller of the step marks its end."""
        return getattr(self.scaler, name)


def time_phases(training: Training) -> StepPhases:
    """Train for 2 to 10 steps, about a second, and return the median of each phase, on the device's clock.

    Raises:
        ValueError: a batch is computed in parts, whose phases alternate.
    """
    if training.cell.accumulation > 1:
        raise ValueError("a batch is computed in parts, whose phases alternate")
    taken: list[list[Mark]] = []
    marks: list[Mark] = []

    def mark(_: str = "") -> None:
        marks.append(Mark.now(training.device))

    begun = time.perf_counter()
    batches = training.endless_batches()
    while len(taken) < MOST_STEPS and (len(taken) < LEAST_STEPS or time.perf_counter() - begun < ENOUGH_S):
        marks = []
        mark()
        x_NCHW, y_N = next(batches)
        mark()
        training.step(x_NCHW, y_N, MarkingScaler(training.precision.scaler, mark))  # type: ignore[arg-type]
        mark()
        taken.append(marks)
    data_ms, forward_ms, backward_ms, update_ms = map(
        statistics.median, zip(*(_durations_ms(step) for step in taken), strict=True)
    )
    return StepPhases(data_ms=data_ms, forward_ms=forward_ms, backward_ms=backward_ms, update_ms=update_ms)


def device_seconds(work: Callable[[], object], device: torch.device) -> float:
    """Call `work` and return how long the device took for it."""
    begin = Mark.now(device)
    work()
    return begin.device_s_until(Mark.now(device))


def _durations_ms(marks: list[Mark]) -> list[float]:
    return [1e3 * a.device_s_until(b) for a, b in itertools.pairwise(marks)]
