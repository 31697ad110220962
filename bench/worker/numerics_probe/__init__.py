"""The looks at the layers in the course of a training: when they are due, off the clock, and never its end."""

from __future__ import annotations

import time
from typing import Any

from ampbench.bench.measure.memory import Memory
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.train.savepoint import CannotRollBackError
from ampbench.bench.train.statuses import Interrupted
from ampbench.bench.train.training import Training
from ampbench.bench.worker.failures import attempt, note_failure
from ampbench.bench.worker.layout import note_misfit
from ampbench.bench.worker.numerics_probe.sample import LayerSampler
from ampbench.bench.worker.traces import Traces


class NumericsProbe:
    """Takes `[measure] numerics_samples` looks at a training, and writes what they find into `row` and `traces`."""

    def __init__(
        self, training: Training, protocol: MeasurementProtocol, memory: Memory, row: dict[str, Any], traces: Traces
    ) -> None:
        self.probe = LayerSampler(training, activations=protocol.numerics_activations)
        self.num_samples = protocol.numerics_samples
        self.memory = memory
        self.row = row
        self.traces = traces

    def take(self, *, epoch: int) -> None:
        """Sample the layers after `epoch` epochs, if it is one of the epochs to look at."""
        if not self.probe.is_due(epoch, self.num_samples):
            return
        begun, misfit = time.perf_counter(), False
        try:
            sample = self.probe.sample(epoch)
        except CannotRollBackError as e:
            self.num_samples = 0
            note_failure(self.row, "looks at the layers", e)
            return
        except Interrupted:
            raise
        except BaseException as e:  # too little memory, a model that ends the process: the training goes on
            alone = self.probe.training.ranks.world_size == 1
            if not (epoch == 0 and alone and note_misfit(self.probe.training, e, self.row)):
                note_failure(self.row, f"look at the layers after epoch {epoch}", e)
                self.clear_away()
                return
            misfit = True
        if misfit:
            self.probe.training.start_over(channels_last=False)
            self.take(epoch=epoch)
            return
        self.clear_away()
        place = {"step": len(self.traces.steps), "epoch": epoch}
        self.traces.layers += [place | row for row in sample.layers]
        self.traces.exponents += [place | row for row in sample.exponents]
        if self.traces.steps:
            self.traces.steps[-1]["headroom_bits"] = sample.headroom_bits
        self.row["numerics_probe_s"] = self.row.get("numerics_probe_s", 0.0) + time.perf_counter() - begun

    def clear_away(self) -> None:
        """Leave the memory as a step does; where that fails the next step is a little slower."""
        self.memory.release()
        attempt(self.row, "warm-up after a look", self.probe.warm_up)
        self.memory.reset_peak()
