"""The columns of a cell's steps, after their end, however they ended."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ampbench.bench.train.training import Training
from ampbench.bench.worker.loss_scaling import loss_scaling
from ampbench.bench.worker.outcome import Outcome
from ampbench.bench.worker.timing.throughput import block_rows, speed
from ampbench.bench.worker.timing.timing import Timing
from ampbench.schema.board import BoardState, EnergyToAccuracy
from ampbench.schema.memory import MemoryPeaks
from ampbench.schema.precision import LossScaling
from ampbench.schema.speed import Speed


@dataclass
class Summary:
    """Condenses blocks, steps and the board's samples into groups of columns, each of which may fail alone."""

    training: Training
    timing: Timing
    outcome: Outcome

    def write(self) -> None:
        """Put all groups into `outcome`."""
        measured, traces, attempt = self.outcome.measured, self.outcome.traces, self.outcome.attempt
        attempt("last judgement of the blocks", self.timing.stop)
        measured.stopping = self.timing.stopping
        measured.memory_peaks = attempt("peaks of memory", self.memory_peaks) or self.timing.peaks
        measured.speed = attempt("throughput", self.speed) or measured.speed
        measured.loss_scaling = attempt("course of the loss scale", self.loss_scaling) or measured.loss_scaling
        measured.board_state = attempt("state of the board", self.board_state) or measured.board_state
        energy = attempt("energy to accuracy", self.energy_to_accuracy)
        measured.energy_to_accuracy = energy or measured.energy_to_accuracy
        criterion, note = self.training.criterion, measured.network.model_note
        notes = [note] if note else []
        if criterion.unregistered and criterion.unregistered not in (note or ""):  # a resumed training has it already
            notes.append(criterion.unregistered)
        model_note = "; ".join(notes) or None
        measured.network = replace(measured.network, model_output=criterion.taken, model_note=model_note)
        traces.blocks = attempt("blocks", lambda: block_rows(self.timing.clock.blocks)) or traces.blocks
        since_s = self.outcome.stopwatch.started_s
        traces.board = attempt("samples of the board", lambda: self.timing.board.rows(since_s)) or traces.board

    def speed(self) -> Speed:
        """Return the speed of the timed blocks."""
        blocks = self.timing.clock.blocks
        untimed = len(self.outcome.traces.steps) - sum(block.num_steps for block in blocks)
        return speed(blocks, self.training.cell, num_untimed_steps=untimed)

    def loss_scaling(self) -> LossScaling:
        """Return the loss scaling of all steps; there is a final loss scale only if the training ended."""
        factor = self.training.precision.scaler.factor
        scaling = loss_scaling(self.outcome.traces.steps, self.timing.clock.blocks, factor)
        return scaling if self.outcome.trained else replace(scaling, final_loss_scale=None)

    def memory_peaks(self) -> MemoryPeaks:
        """Return the peaks; a replayed CUDA graph does not use the allocator, so its steady peak is unknown."""
        replayed = self.training.cell.has_cuda_graphs and self.timing.device.type == "cuda"
        return replace(self.timing.peaks, steady_peak_bytes=None) if replayed else self.timing.peaks

    def board_state(self) -> BoardState:
        """Return the state of the sampled board; the energy of several boards together is not known."""
        state = self.timing.board.columns(self.timing.clock.own_blocks)
        if self.training.cell.gpus > 1:
            return replace(state, joules_per_image=None, images_per_joule=None)
        return state

    def energy_to_accuracy(self) -> EnergyToAccuracy:
        """Return power times the training time until the target was reached."""
        power_w, time_s = (
            self.outcome.measured.board_state.power_w,
            self.outcome.measured.best_epoch.time_to_accuracy_s,
        )
        if self.training.cell.gpus > 1 or power_w is None or time_s is None:
            return EnergyToAccuracy()
        return EnergyToAccuracy(energy_to_accuracy_j=power_w * time_s)
