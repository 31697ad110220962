"""The measurement of one cell. `take` shows the order of its steps; the rest serves it."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field, replace
from functools import partial
from typing import Any

import torch

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.pruning import Pruning
from ampbench.bench.train.images.images import Images, load_images
from ampbench.bench.train.ranks import ALONE, Ranks
from ampbench.bench.train.statuses import Diverged
from ampbench.bench.train.training import Training
from ampbench.bench.worker.checkpoints import Checkpoints, NoCheckpoints
from ampbench.bench.worker.divergence import without_update
from ampbench.bench.worker.dtype_check import fp32_errors_of, refuse_fp32_errors
from ampbench.bench.worker.epochs import Epochs
from ampbench.bench.worker.facts import data_of, network_of
from ampbench.bench.worker.log import loaded_lines, say, start_line
from ampbench.bench.worker.numerics_probe import NumericsProbe
from ampbench.bench.worker.outcome import Outcome
from ampbench.bench.worker.passes.passes import Passes
from ampbench.bench.worker.start import start_of
from ampbench.bench.worker.summary import Summary
from ampbench.bench.worker.timing.board_watch import BoardWatch
from ampbench.bench.worker.timing.stepping import Stepping
from ampbench.bench.worker.timing.timing import Report, Timing


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is needed to start the training of a cell again."""

    images: Images
    start: Mapping[str, Any] | None
    """`Training.start`, where a second call of the model's factory does not build a new model."""


@dataclass
class Measurement:
    """The measurement of one cell; `outcome` is filled step by step, so that an early end keeps earlier results."""

    cell: Cell
    protocol: MeasurementProtocol
    device: torch.device
    report: Report
    checkpoints: Checkpoints | NoCheckpoints = field(default_factory=NoCheckpoints)
    board: InitVar[BoardWatch | None] = None
    """Samples the GPU; without a GPU it does nothing."""
    ranks: Ranks = ALONE
    """This process is the first of them, where several GPUs train the cell."""
    outcome: Outcome = field(default_factory=Outcome)
    deadline_s: float = math.inf
    """When the cell is killed, by `perf_counter`."""
    memory_limit_bytes: int | None = None
    """Of each GPU, what the cell may take."""
    pruning: Pruning | None = None
    """When the training ends early, as a trial of a search may."""
    timing: Timing = field(init=False)
    beginning: Beginning | None = field(init=False, default=None)
    """None until the images and the network are there."""

    def __post_init__(self, board: BoardWatch | None) -> None:
        self.timing = Timing(self.protocol, self.device, self.report, board or BoardWatch())

    def take(self) -> None:
        """Load, build, train or time, take the untimed passes.

        Raises:
            Diverged: the loss or the evaluation is not finite, or no step updated a weight.
            Pruned: it is a trial of a search, and fell behind the earlier ones.
            Throttled: the board's clocks were held down for too long.
            Unsupported: the device does not support the recipe.
            ValueError: the data, the model or a checkpoint does not fit the cell.
            RuntimeError: matrix products or convolutions ran in another dtype than the recipe says.
        """
        outcome, timing = self.outcome, self.timing
        outcome.measured.memory_peaks = timing.start()
        training = self.build()
        outcome.stopwatch.start_training()
        timing.board.rest()
        about = self.about(training)
        say(about)
        self.report(phase="warm-up", about=about, num_batches=training.steps_per_epoch)
        stepping = Stepping(training, timing, outcome)
        probe = NumericsProbe(training, self.protocol, timing.memory, outcome)
        try:
            if self.cell.epochs:
                Epochs(training, self.protocol, timing, outcome, self.checkpoints, self.pruning).run()
            else:
                self.time(stepping, probe)
            outcome.trained = True
        finally:
            Summary(training, timing, outcome).write()
        self.start(stepping, probe)
        self.report(phase="passes")
        Passes(training, self.protocol, outcome, self.checkpoints.folder).take()

    def build(self) -> Training:
        """Load the images and build the training, and check fp32 matrix products and convolutions before any timing."""
        outcome, measured = self.outcome, self.outcome.measured
        self.report(phase="data")
        images = load_images(self.cell.data, self.cell.image_size)
        if images.note:
            print(images.note, file=sys.stderr, flush=True)
        measured.data = outcome.attempt("columns of the data", lambda: data_of(images)) or measured.data
        say(*loaded_lines(self.ranks.rank, len(images.train_y_N), len(images.test_y_N)))
        self.report(phase="model")
        self.beginning = Beginning(images, None)
        training = Training(self.cell, images, self.device, self.ranks)
        self.beginning = Beginning(images, training.start)
        errors = fp32_errors_of(training)
        said = " ".join(f"{name}:{error:.1e}" for name, error in errors.items()) or None
        measured.dtypes = replace(measured.dtypes, fp32_errors=said)
        refuse_fp32_errors(errors, self.cell.precision)
        measured.network = outcome.attempt("columns of the network", lambda: network_of(training)) or measured.network
        return training

    def about(self, training: Training) -> str:
        """Return a line about the machine, the model and the images."""
        return start_line(self.cell, self.device, training.images, training.num_parameters)

    def time(self, stepping: Stepping, probe: NumericsProbe) -> None:
        """Take steps until the speed is known, over as many epochs as needed; before them a sample, if one is due."""
        if not self.cell.round:
            self.timing.update_peak()
            probe.take_in_timing(step=0)
        stepping.run(0, num_steps=None)
        self.timing.update_peak()
        if idle := without_update(self.outcome.traces.steps):
            self.outcome.measured.divergence, because = idle
            raise Diverged(because)

    def start(self, stepping: Stepping, probe: NumericsProbe) -> None:
        """Record the start of the training, where `[measure] start_steps` asks for it.

        The timed steps are its first ones: they trained the cell from its initial weights. Where a timing took fewer,
        it goes on; a loss that is not finite there is a result and leaves the cell's status as it is.
        """
        num_steps, outcome = self.protocol.start_steps, self.outcome
        if self.cell.round:  # a further round trains the same again
            return
        if not self.cell.epochs:
            self.go_on(stepping, probe)
        if not num_steps:
            return
        found = outcome.attempt("start of the training", lambda: start_of(outcome.traces.steps[:num_steps]))
        outcome.measured.start_of_training = found or outcome.measured.start_of_training

    def go_on(self, stepping: Stepping, probe: NumericsProbe) -> None:
        """Take further steps after a timing, for at most half of the time that the cell has left, and samples between.

        Without `start_steps` there is no further step, and one sample after the last timed one.
        """
        steps, now = self.outcome.traces.steps, time.perf_counter()
        until_s, last_step = now + (self.deadline_s - now) / 2, self.protocol.start_steps
        due = probe.due_after(len(steps), last_step)
        for step in sorted({*due, last_step}):
            self.outcome.attempt("further steps", partial(stepping.go_on, step, until_s=until_s))
            if len(steps) < step or not math.isfinite(steps[-1].loss):
                return
            if step in due:
                self.report(phase=f"sample of the layers after step {step}")
                probe.take_in_timing(step=step)

    @property
    def cell_as_run(self) -> Cell:
        """The cell in the layout in which it ran."""
        used = self.outcome.measured.layout.channels_last_used
        return self.cell if used is None else replace(self.cell, channels_last=used)
