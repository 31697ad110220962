"""Timed steps: an epoch of a training, or as many as a timing needs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from ampbench.bench.measure.clock import Mark
from ampbench.bench.train.statuses import Diverged
from ampbench.bench.train.step import Step
from ampbench.bench.train.training import Training
from ampbench.bench.worker.divergence import divergence_of
from ampbench.bench.worker.layout import take_first_step
from ampbench.bench.worker.log import batch_lines, say
from ampbench.bench.worker.outcome import Outcome
from ampbench.bench.worker.step_trace import StepTrace
from ampbench.bench.worker.timing import Timing


@dataclass
class Stepping:
    """Takes the steps of one training in this process, with the dtype check and the compiler before the timed ones.

    The steps and their time go into `outcome`.
    """

    training: Training
    timing: Timing
    outcome: Outcome
    resumed: bool = False
    """Whether the training was resumed from a checkpoint; it then keeps its layout."""
    checked: bool = False
    """Whether the first step of this process has been taken, under the dtype check."""
    num_compiling: int = 0
    """Later steps in which the compiler worked."""

    def run(self, epoch: int, *, num_steps: int | None) -> list[float]:
        """Take timed steps to the end of the epoch or, without `num_steps`, until timing may stop.

        Returns the loss of each step. Raises Diverged if one is not finite, or the loss scale collapsed.
        """
        training, timing, outcome = self.training, self.timing, self.outcome
        begin = partial(training.steps, epoch) if num_steps else training.endless_steps
        trace, first = StepTrace(float(training.precision.scaler.num_skipped)), len(outcome.traces.steps) + 1
        left: float = num_steps or math.inf
        begun, compiling_s = time.perf_counter(), 0.0
        try:
            if self.checked:
                steps = begin()
            else:
                step, steps = take_first_step(training, begin, outcome, may_start_over=not self.resumed)
                trace.add(step)
                self.checked = True
                left -= 1
            skipped = training.precision.scaler.num_skipped
            while self.num_compiling < training.cell.compiling_steps and left:
                step, seconds = self.compile(steps)
                trace.add(step)
                compiling_s += seconds
                left -= 1
            timing.clock.open(epoch)
            for step in steps:
                trace.add(step)
                left -= 1
                hits = (step.correct, step.num_seen)
                if timing.clock.count(step.loss, step.num_images, skipped, steps_left=left, hits=hits):
                    trace.pack()
                    if timing.at_border(learning_rate=training.optimizer.param_groups[0]["lr"]):
                        break
            timing.clock.settle()
        finally:
            rows = trace.read(first, epoch)
            outcome.stopwatch.add(train_s=time.perf_counter() - begun - compiling_s)
            outcome.traces.steps += rows
            say(*batch_lines(training.cell, rows, num_steps or len(rows), len(training.images.train_y_N)))
        if broken := divergence_of(rows):
            outcome.measured.divergence, because = broken
            raise Diverged(because)
        return [row.loss for row in rows]

    def compile(self, steps: Iterator[Step]) -> tuple[Step, float]:
        """Take a step in which the compiler works; return it and its seconds, which are not in a block."""
        self.timing.report(phase="compiling")
        begun = time.perf_counter()
        if not self.num_compiling:
            self.training.compile()
        step = next(steps)
        Mark.now(self.training.device).wait()
        compiling_s = time.perf_counter() - begun
        self.outcome.stopwatch.add(compile_s=compiling_s)
        self.num_compiling += 1
        self.timing.report(phase="warm-up")
        return step, compiling_s
