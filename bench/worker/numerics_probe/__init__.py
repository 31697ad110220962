"""The numerics probe: samples of every layer of a training or a timing, off the clock. Its errors end neither."""

from __future__ import annotations

import time
from dataclasses import replace

from ampbench.bench.measure.memory import Memory
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.train.state.savepoint import CannotRollBackError
from ampbench.bench.train.statuses import Interrupted
from ampbench.bench.train.training import Training
from ampbench.bench.worker.layout import layout_after
from ampbench.bench.worker.numerics_probe.sample import LayerSampler
from ampbench.bench.worker.outcome import Outcome


class NumericsProbe:
    """Takes `[measure] numerics_samples` samples of a training, and puts their results into `outcome`."""

    def __init__(self, training: Training, protocol: MeasurementProtocol, memory: Memory, outcome: Outcome) -> None:
        self.sampler = LayerSampler(training, activations=protocol.numerics_activations)
        # One rank takes a sample, and a BatchNorm over all ranks would wait for the others.
        self.num_samples = 0 if training.cell.sync_batchnorm else protocol.numerics_samples
        self.memory = memory
        self.outcome = outcome

    def take(self, *, epoch: int) -> None:
        """Sample the layers after `epoch` epochs, if a sample is due then."""
        if self.sampler.is_due(epoch, self.num_samples):
            self._take(step=len(self.outcome.traces.steps), epoch=epoch)

    def due_after(self, num_timed: int, last_step: int) -> list[int]:
        """Return the steps of a timing after which samples are due, besides the one before its first step.

        They are spread evenly up to `last_step`, the same for every recipe; what would fall into the timed steps is one
        sample after them.
        """
        between = max(1, self.num_samples - 1)
        return sorted({max(num_timed, round(i * last_step / between)) for i in range(1, self.num_samples)})

    def take_in_timing(self, *, step: int) -> None:
        """Sample the layers of a timing after `step` steps, the last that was taken."""
        if self.num_samples:
            self._take(step=step, epoch=step // self.sampler.training.steps_per_epoch)

    def _take(self, *, step: int, epoch: int) -> None:
        begun, outcome, training = time.perf_counter(), self.outcome, self.sampler.training
        layout = None
        try:
            sample = self.sampler.sample(epoch, step)
        except CannotRollBackError as e:
            self.num_samples = 0
            outcome.note_failure("samples of the layers", e)
            return
        except Interrupted:
            raise
        except BaseException as e:  # too little memory, a model that ends the process: the training goes on
            layout = layout_after(training, e) if step == 0 and training.ranks.world_size == 1 else None
            if layout is None:
                after = f"epoch {epoch}" if training.cell.epochs else f"step {step}"
                outcome.note_failure(f"sample of the layers after {after}", e)
                self.restore_memory()
                return
        if layout:
            outcome.measured.layout = layout
            training.start_over(channels_last=False)
            self._take(step=step, epoch=epoch)
            return
        self.restore_memory()
        outcome.traces.layers += sample.layers
        outcome.traces.exponents += sample.exponents
        if outcome.traces.steps:
            last = outcome.traces.steps[-1]
            outcome.traces.steps[-1] = replace(last, headroom_bits=sample.headroom_bits)
        outcome.stopwatch.add(numerics_probe_s=time.perf_counter() - begun)

    def restore_memory(self) -> None:
        """Leave the memory as a step leaves it; if that fails, the next step is a little slower."""
        self.memory.release()
        self.outcome.attempt("warm-up after a sample", self.sampler.warm_up)
        self.memory.reset_peak()
