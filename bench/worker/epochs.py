"""A training, epoch by epoch: timed steps; evaluation, numerics probe and checkpoint between them, off the clock."""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass, replace

from ampbench.bench.measure.clock import Block
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.pruning import Pruning
from ampbench.bench.train.statuses import Diverged, Pruned
from ampbench.bench.train.training import Training
from ampbench.bench.worker.checkpoints import Checkpoints, NoCheckpoints
from ampbench.bench.worker.divergence import Found, broken_evaluation, without_update
from ampbench.bench.worker.evaluation import Evaluations
from ampbench.bench.worker.log import end_lines, epoch_lines, say
from ampbench.bench.worker.numerics_probe import NumericsProbe
from ampbench.bench.worker.outcome import Outcome
from ampbench.bench.worker.timing.stepping import Stepping
from ampbench.bench.worker.timing.throughput import wall_images_per_s
from ampbench.bench.worker.timing.timing import Timing
from ampbench.schema.column import values_of
from ampbench.schema.epochs import EpochRow
from ampbench.schema.learning import Evaluation, LastEpoch


@dataclass
class Epochs:
    """The epochs of one training; their results go into `outcome`."""

    training: Training
    protocol: MeasurementProtocol
    timing: Timing
    outcome: Outcome
    checkpoints: Checkpoints | NoCheckpoints
    pruning: Pruning | None = None

    def run(self) -> None:
        """Train, and evaluate after each epoch; resume from a checkpoint if there is one.

        Raises:
            Diverged: the loss or the evaluation is not finite, or no step updated a weight.
            Pruned: it is a trial of a search, and fell behind the earlier ones.
        """
        training, outcome, timing = self.training, self.outcome, self.timing
        num_epochs = training.cell.epochs
        timing.expect(num_epochs * training.steps_per_epoch, training.steps_per_epoch)
        first_epoch = self.resume()
        rows = outcome.traces.epochs
        evaluations = Evaluations(training, self.protocol, rows, self.checkpoints.folder, timing.report)
        probe = NumericsProbe(training, self.protocol, timing.memory, outcome)
        stepping = Stepping(training, timing, outcome, resumed=first_epoch > 0)
        if not rows:
            timing.update_peak()
            probe.take(epoch=0)
        for epoch in range(first_epoch, num_epochs):
            trained, evaluation = self.one(epoch, stepping, evaluations)
            probe.take(epoch=epoch + 1)
            self.save(epoch + 1)
            timing.memory.reset_peak()
            told = {"epoch": epoch + 1, "test_accuracy": evaluation.test_accuracy, "epoch_row": values_of(rows[-1])}
            timing.report(phase="training", **told)
            self.prune(epoch + 1)
        timing.stopping = replace(timing.stopping, timing_stop="training")
        outcome.measured.last_epoch, outcome.measured.evaluation = trained, evaluation
        evaluations.keep_final(num_epochs, evaluation.test_accuracy)
        measured = outcome.measured
        measured.notes = replace(measured.notes, weights_note=evaluations.unkept)
        measured.course = outcome.attempt("judgement of the course", evaluations.course) or measured.course
        outcome.attempt("last lines of the log", lambda: say(*end_lines(measured, outcome.stopwatch.wall_time)))

    def one(self, epoch: int, stepping: Stepping, evaluations: Evaluations) -> tuple[LastEpoch, Evaluation]:
        """Train and evaluate one epoch, from 0, and add its row."""
        training, outcome, timing = self.training, self.outcome, self.timing
        before_s = outcome.stopwatch.train_s
        losses = stepping.run(epoch, num_steps=training.steps_per_epoch)
        correct, seen = training.count_hits()
        timing.update_peak()
        memory_bytes = outcome.attempt("memory after an epoch", timing.memory.now_bytes)
        if epoch + 1 == training.cell.epochs and (idle := without_update(outcome.traces.steps)):
            raise self.diverged(idle)
        scale = training.precision.scaler.factor
        evaluation = evaluations.evaluate(epoch + 1)
        timing.evaluated = True
        outcome.stopwatch.add(evaluation_s=evaluations.last_s or 0.0)
        accuracy = None if correct is None else correct / seen
        trained = LastEpoch(train_loss=statistics.fmean(losses), train_accuracy=accuracy)
        blocks = [block for block in timing.clock.blocks if block.epoch == epoch]
        row = EpochRow(
            epoch=epoch + 1,
            learning_rate=training.optimizer.param_groups[0]["lr"],
            planned_learning_rate=training.planned_learning_rate(epoch, training.steps_per_epoch - 1),
            memory_bytes=memory_bytes,
            train_s=outcome.stopwatch.train_s,
            epoch_train_s=outcome.stopwatch.train_s - before_s,
            epoch_evaluation_s=evaluations.last_s,
            wall_images_per_s=wall_images_per_s(blocks),
            num_skipped=sum(block.num_skipped for block in blocks),
            loss_scale_factor=scale,
            **values_of(trained),
            **values_of(evaluation),
        )
        outcome.traces.epochs.append(row)
        say(*epoch_lines(training.cell, row, len(training.images.test_y_N)))
        outcome.measured.best_epoch = evaluations.best()
        if evaluations.broken:
            raise self.diverged(broken_evaluation(training, evaluations.broken, epoch + 1))
        return trained, evaluation

    def prune(self, epoch: int) -> None:
        """End the training after `epoch` epochs if it has fallen behind; the last epoch is its end anyway."""
        if self.pruning is None or epoch == self.training.cell.epochs:
            return
        rows = self.outcome.traces.epochs
        seen = [(row.epoch, getattr(row, self.pruning.objective)) for row in rows]
        if because := self.pruning.why_stopped(seen, epoch):
            raise Pruned(because)

    def diverged(self, found: Found) -> Diverged:
        """Put a divergence into the record, and return the exception that ends the training."""
        self.outcome.measured.divergence, because = found
        return Diverged(because)

    def save(self, epoch: int) -> None:
        """Write a checkpoint after `epoch` epochs, if one is due. Off the clock."""
        if not self.checkpoints.is_due or epoch == self.training.cell.epochs:
            return
        begun, measured = time.perf_counter(), self.outcome.measured
        self.timing.judge()
        measured.memory_peaks, measured.stopping = self.timing.peaks, self.timing.stopping
        try:
            self.checkpoints.save(self.training, self.outcome, self.timing.clock.blocks, epoch=epoch)
        except OSError as e:  # a full disk; the training goes on
            if measured.notes.checkpoint_note is None:
                said = f"no checkpoint after epoch {epoch}: {e}"
                measured.notes = replace(measured.notes, checkpoint_note=said)
                print(said, file=sys.stderr)
        except Exception as e:
            self.outcome.note_failure(f"checkpoint after epoch {epoch}", e)
        self.outcome.stopwatch.add(checkpoint_s=time.perf_counter() - begun)

    def resume(self) -> int:
        """Resume from a checkpoint, if there is one; return the first epoch of this process, from 0."""
        saved = self.checkpoints.load()
        if saved is None:
            return 0
        training, timing = self.training, self.timing
        if saved["outcome"]["measured"]["layout"]["channels_last_used"] is False:
            training.start_over(channels_last=False)
        training.load_state_dict(saved["training"])
        self.outcome.load_state_dict(saved["outcome"])
        timing.clock.resume([Block(**b) for b in saved["blocks"]], float(training.precision.scaler.num_skipped))
        timing.peaks, timing.stopping = self.outcome.measured.memory_peaks, self.outcome.measured.stopping
        timing.memory.reset_peak()
        first_epoch = int(saved["epoch"])
        num_timed = sum(block.num_steps for block in timing.clock.blocks)
        timing.num_untimed = len(self.outcome.traces.steps) - num_timed
        for row in self.outcome.traces.epochs:  # whoever listens to this process has not heard of them
            timing.report(epoch_row=values_of(row))
        timing.num_own_steps = (training.cell.epochs - first_epoch) * training.steps_per_epoch
        return first_epoch
