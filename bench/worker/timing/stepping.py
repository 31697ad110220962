"""Timed steps: an epoch of a training, or as many as a timing needs."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from ampbench.bench.measure.clock import Mark
from ampbench.bench.train.statuses import Diverged
from ampbench.bench.train.step import Step
from ampbench.bench.train.training import Training
from ampbench.bench.worker.divergence import divergence_of
from ampbench.bench.worker.layout import take_first_step
from ampbench.bench.worker.log import batch_lines, say
from ampbench.bench.worker.outcome import Outcome
from ampbench.bench.worker.timing.step_trace import StepTrace
from ampbench.bench.worker.timing.timing import Timing

REPORT_EVERY_S = 0.5
"""Between two reports of steps that are not timed; each waits for the device."""


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
    trace: StepTrace = field(init=False)
    """Of the present epoch, or of the timing."""
    ahead: Iterator[Step] = field(init=False, default_factory=lambda: iter(()))
    """The steps that come next."""

    def run(self, epoch: int, *, num_steps: int | None) -> list[float]:
        """Take timed steps to the end of the epoch or, without `num_steps`, until timing may stop.

        Returns the loss of each step. Raises Diverged if one is not finite, or the loss scale collapsed.
        """
        training, timing, outcome = self.training, self.timing, self.outcome
        begin = partial(training.steps, epoch) if num_steps else training.endless_steps
        self.trace = trace = StepTrace(float(training.precision.scaler.num_skipped))
        first = len(outcome.traces.steps) + 1
        left: float = num_steps or math.inf
        begun, compiling_s = time.perf_counter(), 0.0
        try:
            if self.checked:
                steps = begin()
            else:
                step, steps = take_first_step(training, begin, outcome, may_start_over=not self.resumed)
                trace.add(step)
                self.checked = True
                timing.num_untimed += 1
                left -= 1
            skipped = training.precision.scaler.num_skipped
            while self.num_compiling < training.cell.compiling_steps and left:
                step, seconds = self.compile(steps)
                trace.add(step)
                timing.num_untimed += 1
                compiling_s += seconds
                left -= 1
            timing.clock.open(epoch)
            self.ahead = steps
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

    def go_on(self, last_step: int, *, until_s: float) -> None:
        """Take the steps after a timing too, off the clock: up to `last_step`, or until `until_s` by `perf_counter`.

        It ends early at a loss that is not finite. The steps that were taken are in `outcome`, also if a later one
        fails. It may be called again, to go on from there.
        """
        rows, timing = self.outcome.traces.steps, self.timing
        if len(rows) >= last_step:
            return
        begun, reported_s, num_taken = time.perf_counter(), -math.inf, len(rows)
        num_timed = sum(not row.after_timing for row in rows)
        try:
            for i, step in enumerate(itertools.islice(self.ahead, last_step - num_taken), num_taken + 1):
                self.trace.add(step)
                now = time.perf_counter()
                if now - reported_s < REPORT_EVERY_S:
                    continue
                self.trace.pack()
                reported_s, loss = now, float(step.loss)
                timing.report(phase=f"start of the training, step {i} of {last_step}", loss=loss)
                if not math.isfinite(loss) or now > until_s:
                    break
        finally:
            rows += self.trace.read(1, 0, num_timed=num_timed)[num_taken:]
            self.outcome.stopwatch.add(start_steps_s=time.perf_counter() - begun)

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
