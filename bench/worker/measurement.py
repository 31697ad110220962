"""One cell under its instruments. Read `measure` for the order of things; the rest serves it."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import InitVar, asdict, dataclass, field, replace
from functools import partial
from typing import Any

import torch

from ampbench.bench.measure.clock import Block
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.train.images import Images, load_images
from ampbench.bench.train.ranks import ALONE, Ranks
from ampbench.bench.train.training import Training
from ampbench.bench.worker.board_watch import BoardWatch
from ampbench.bench.worker.checkpoints import Checkpoints
from ampbench.bench.worker.divergence import broken_evaluation, first_layer, refuse_idleness
from ampbench.bench.worker.dtype_check import check_fp32_products
from ampbench.bench.worker.evaluation import Evaluations
from ampbench.bench.worker.facts import facts_of_images, facts_of_training
from ampbench.bench.worker.failures import attempt, note_failure
from ampbench.bench.worker.log import end_lines, epoch_lines, loaded_lines, say, start_line
from ampbench.bench.worker.memory_breakdown import trace_out_of_memory
from ampbench.bench.worker.numerics_probe import NumericsProbe
from ampbench.bench.worker.passes import take_passes
from ampbench.bench.worker.stepping import Stepping
from ampbench.bench.worker.summary import sum_up
from ampbench.bench.worker.timing import Report, Timing
from ampbench.bench.worker.traces import Traces, epoch_speed


@dataclass
class Measurement:
    """The measurements of one cell, filled in as they are taken, so that an early end keeps what came before."""

    cell: Cell
    protocol: MeasurementProtocol
    device: torch.device
    report: Report
    checkpoints: Checkpoints | None = None
    """None: nothing is kept, and an interrupted training starts over."""
    board: InitVar[BoardWatch | None] = None
    """Watches the GPU; None where there is none."""
    ranks: Ranks = ALONE
    """Of which this session is the first, where several GPUs train the cell."""
    started_s: float = field(default_factory=time.perf_counter)
    row: dict[str, Any] = field(default_factory=dict)
    traces: Traces = field(default_factory=Traces)
    timing: Timing = field(init=False)
    images: Images = field(init=False)
    first_epoch: int = 0
    """Of this process, from 0."""
    start: Mapping[str, Any] | None = None
    """Of a training whose model is not made anew by a second call of its factory."""
    trained: bool = False
    """Whether all that is timed has been: what comes after can spoil none of it."""

    def __post_init__(self, board: BoardWatch | None) -> None:
        self.timing = Timing(self.protocol, self.device, self.report, self.row, board or BoardWatch())

    def take(self) -> None:
        """Load, build, train or time, and fill `row`, `traces` and the blocks of `timing`.

        Raises:
            Diverged: the loss or the evaluation is not finite any more, or no step updated anything.
            Throttled: the board held its clocks back for too long.
            Unsupported: the device cannot do what the recipe asks.
            ValueError: the data, the model or a checkpoint does not fit the cell.
            RuntimeError: products ran in another dtype than the recipe says.
        """
        self.timing.board.start()
        memory = self.timing.memory
        memory.reset_peak()
        self.row |= {"memory_instrument": memory.instrument, "baseline_bytes": memory.peak_bytes()}
        self.report(phase="data")
        self.images = load_images(self.cell.data, self.cell.image_size)
        if self.images.note:
            print(self.images.note, file=sys.stderr, flush=True)
        self.row |= facts_of_images(self.images)
        say(*loaded_lines(self.ranks.rank, len(self.images.train_y_N), len(self.images.test_y_N)))
        self.report(phase="model")
        training = Training(self.cell, self.images, self.device, self.ranks)
        self.start = training.start
        check_fp32_products(training, self.row)
        self.row |= facts_of_training(training)
        self.row |= {"startup_s": time.perf_counter() - self.started_s, "train_s": 0.0, "num_resumes": 0}
        self.timing.board.rest()
        about = start_line(self.cell, self.device, self.row)
        say(about)
        self.report(phase="warm-up", about=about, num_batches=training.steps_per_epoch)
        try:
            if self.cell.epochs:
                self.train(training)
            else:
                self.time(training)
            self.trained = True
        finally:
            summary = partial(sum_up, self.timing, training, self.traces, self.started_s)
            attempt(self.row, "summary of the timing", summary)
        self.report(phase="passes")
        folder = self.checkpoints.folder if self.checkpoints else None
        take_passes(training, self.protocol, self.row, self.traces, folder)

    def train(self, training: Training) -> None:
        """Train to the end, evaluating after each epoch, off the clock."""
        per_epoch = training.steps_per_epoch
        self.timing.expect(self.cell.epochs * per_epoch, per_epoch)
        self.resume(training)
        folder = self.checkpoints.folder if self.checkpoints else None
        evaluation_s = self.row.get("evaluation_s", 0.0)
        learning = Evaluations(training, self.protocol, self.traces.epochs, folder, evaluation_s, self.report)
        looks = NumericsProbe(training, self.protocol, self.timing.memory, self.row, self.traces)
        stepping = Stepping(training, self.timing, self.traces, resumed=self.first_epoch > 0)
        if not self.traces.epochs:
            self.timing.keep_peak()
            looks.take(epoch=0)
        for epoch in range(self.first_epoch, self.cell.epochs):
            before_s = self.row["train_s"]
            losses = stepping.run(epoch, num_steps=per_epoch)
            correct, seen = training.count_hits()
            self.timing.keep_peak()
            if epoch + 1 == self.cell.epochs:
                refuse_idleness(self.traces.steps, self.row)
            scale = training.precision.scaler.factor
            evaluation = learning.evaluate(epoch + 1)
            self.timing.evaluated = True
            self.row["evaluation_s"] = learning.evaluation_s
            facts = {"learning_rate": training.optimizer.param_groups[0]["lr"], "train_s": self.row["train_s"]}
            facts |= {"epoch_train_s": self.row["train_s"] - before_s, "epoch_evaluation_s": learning.last_s}
            accuracy = None if correct is None else correct / seen
            trained = {"train_loss": statistics.fmean(losses), "train_accuracy": accuracy}
            facts |= {"loss_scale_factor": scale} | trained | evaluation
            self.traces.epochs.append(epoch_speed(self.timing.clock.blocks, epoch) | facts)
            say(*epoch_lines(self.cell, self.traces.epochs[-1], len(self.images.test_y_N)))
            self.row |= learning.sum_up()
            if learning.broken:
                raise broken_evaluation(training, learning.broken, epoch + 1, self.row)
            looks.take(epoch=epoch + 1)
            self.keep(training, epoch + 1)
            self.timing.memory.reset_peak()
            self.report(phase="training", epoch=epoch + 1, test_accuracy=evaluation["test_accuracy"])
        self.row |= {"timing_stop": "training", "final_loss_scale": scale, **trained, **evaluation}
        learning.keep_final(self.cell.epochs, evaluation["test_accuracy"])
        attempt(self.row, "judgement of the course", lambda: self.row.update(learning.judge()))
        attempt(self.row, "last lines of the log", lambda: say(*end_lines(self.row)))

    def keep(self, training: Training, epoch: int) -> None:
        """Write a checkpoint after `epoch` epochs, if it is time for one. Off the clock."""
        if self.checkpoints is None or not self.checkpoints.is_due or epoch == self.cell.epochs:
            return
        begun = time.perf_counter()
        self.timing.judge()
        try:
            self.checkpoints.save(
                epoch=epoch,
                training=training.state_dict(),
                row=self.row | {"cell_s": self.cell_s},
                traces=self.traces.state_dict(),
                blocks=[asdict(block) for block in self.timing.clock.blocks],
            )
        except OSError as e:  # a full disk; the training goes on
            self.row.setdefault("checkpoint_note", f"no checkpoint after epoch {epoch}: {e}")
            print(self.row["checkpoint_note"], file=sys.stderr)
        except Exception as e:
            note_failure(self.row, f"checkpoint after epoch {epoch}", e)
        self.row["checkpoint_s"] = self.row.get("checkpoint_s", 0.0) + time.perf_counter() - begun

    def resume(self, training: Training) -> None:
        """Go on from a checkpoint, if there is one."""
        saved = self.checkpoints.load() if self.checkpoints else None
        if saved is None:
            return
        if not saved["row"].get("channels_last_used", True):
            training.start_over(channels_last=False)
        training.load_state_dict(saved["training"])
        self.traces = Traces(**saved["traces"])
        self.timing.clock.resume([Block(**b) for b in saved["blocks"]], float(training.precision.scaler.num_skipped))
        self.row |= saved["row"] | {"num_resumes": saved["row"]["num_resumes"] + 1}
        self.started_s -= self.row.pop("cell_s")
        self.timing.memory.reset_peak()
        self.first_epoch = saved["epoch"]
        self.timing.num_own_steps = (self.cell.epochs - self.first_epoch) * training.steps_per_epoch

    @property
    def cell_s(self) -> float:
        """Seconds since the worker's first line, those of the processes it was resumed from included."""
        return time.perf_counter() - self.started_s

    def time(self, training: Training) -> None:
        """Step until the speed is known, over as many epochs as that takes."""
        Stepping(training, self.timing, self.traces).run(0, num_steps=None)
        self.timing.keep_peak()
        refuse_idleness(self.traces.steps, self.row)
        self.row["final_loss_scale"] = training.precision.scaler.factor

    @property
    def cell_as_run(self) -> Cell:
        """The cell in the layout that its model could do with."""
        return replace(self.cell, channels_last=self.row.get("channels_last_used", self.cell.channels_last))

    def trace_out_of_memory(self) -> None:
        """Record where the memory of a GPU went. The training that ran out of it must have been let go."""
        trace_out_of_memory(self.cell_as_run, self.images, self.device, self.traces)

    def find_divergence(self, max_s: float) -> str:
        """Say which layer of a training that diverged went first. The diverged one must have been let go."""
        saved = self.checkpoints.load() if self.checkpoints else None
        return first_layer(self.cell_as_run, self.images, self.device, saved, self.row, max_s=max_s, start=self.start)
