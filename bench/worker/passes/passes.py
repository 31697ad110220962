"""The untimed passes: a few more steps after the timed ones; each pass returns a group of columns.

A wrong dtype of a kernel fails the cell. Any other error here leaves columns null, and the column `passes_failed` has
the reason.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.train.training import Training
from ampbench.bench.worker.dtype_check import kernels_seen, refuse_kernels
from ampbench.bench.worker.outcome import Outcome
from ampbench.bench.worker.passes.memory_breakdown import Allocations, data_memory_of, static_memory_of, trace_memory
from ampbench.bench.worker.passes.phases import time_phases
from ampbench.bench.worker.passes.profile import profile_steps
from ampbench.bench.worker.passes.roofline import measured_peak_of, operations_of, utilisation_of, vendor_peak_of
from ampbench.bench.worker.passes.work import bound_by, work_by_kind
from ampbench.schema.memory import MemoryTrace
from ampbench.schema.work import Peaks

NO_SNAPSHOT = (
    "No memory.pickle: torch keeps that history for the memory of a GPU only; on a CPU the same steps are in "
    "memory.parquet, by the profiler"
)


@dataclass
class Passes:
    """The passes that `[measure] passes` names, on a training whose timed steps are over."""

    training: Training
    protocol: MeasurementProtocol
    outcome: Outcome
    folder: Path | None
    """Folder of the run, for files that are not tables; None where there is none."""

    def take(self) -> None:
        """Take all passes, and put their results into `outcome`.

        Raises:
            RuntimeError: a kernel ran in another dtype than the recipe says.
        """
        begun = time.perf_counter()
        try:
            self.roofline()
            self.memory()
            if "phases" in self.protocol.passes:
                measured = self.outcome.measured
                found = self.outcome.attempt("phases", partial(time_phases, self.training))
                measured.phases = found or measured.phases
            self.profile()  # last, because CUPTI stays in the process
        finally:
            self.outcome.stopwatch.add(passes_s=time.perf_counter() - begun)

    def roofline(self) -> None:
        """Count operations; measure the board's peak too, if the pass `roofline` is asked for."""
        training, measured, attempt = self.training, self.outcome.measured, self.outcome.attempt
        measured.operations = attempt("count of operations", lambda: operations_of(training)) or measured.operations
        asked = "roofline" in self.protocol.passes
        measured.peaks = Peaks(
            vendor_peak_tflops=attempt("vendor's peak", lambda: vendor_peak_of(training)),
            measured_peak_tflops=attempt("peak", lambda: measured_peak_of(training)) if asked else None,
        )
        used = attempt(
            "share of the peak",
            lambda: utilisation_of(measured.operations, measured.peaks, measured.speed, training.cell.gpus),
        )
        measured.utilisation = used or measured.utilisation

    def memory(self) -> None:
        """Compute the parts of the memory; follow allocations too, if the pass `memory` is asked for."""
        training, measured, attempt = self.training, self.outcome.measured, self.outcome.attempt
        static = attempt("split of the memory", lambda: static_memory_of(training))
        measured.static_memory = static or measured.static_memory
        data = attempt("memory of the data", lambda: data_memory_of(training))
        measured.data_memory = data or measured.data_memory
        snapshot = "snapshot" in self.protocol.passes
        if not snapshot and "memory" not in self.protocol.passes:
            return
        note = NO_SNAPSHOT if snapshot and training.device.type != "cuda" else None
        if note:
            print(note, file=sys.stderr)
        path = self.folder / "memory.pickle" if self.folder and snapshot else None
        found = attempt("history of the memory", lambda: trace_memory(training, path)) or Allocations(memory=[])
        self.outcome.traces.memory, self.outcome.traces.allocations = found.memory, found.holders
        measured.memory_trace = MemoryTrace(
            allocator_peak_bytes=found.allocator_peak_bytes,
            largest_free_block_bytes=found.largest_free_block_bytes,
            predicted_peak_bytes=attempt("prediction of the memory", self.predicted_peak_bytes),
            memory_note=note,
        )

    def predicted_peak_bytes(self) -> int:
        """Predict the peak of a step, as `--plan --predict` does."""
        from ampbench.bench.worker.passes.prediction import predict_peak_bytes  # imports torch.distributed

        return predict_peak_bytes(self.training.cell, self.training.images.num_classes)

    def profile(self) -> None:
        """Profile a few steps: the kinds of their work, what they wait for and, on a GPU, the dtypes of the kernels."""
        training, measured, attempt = self.training, self.outcome.measured, self.outcome.attempt
        gpu = training.device.type == "cuda"
        if not gpu and "phases" not in self.protocol.passes:
            return
        what = "profile of the kernels" if gpu else "operators"
        profile = attempt(what, lambda: profile_steps(training))
        if profile is None:
            return
        if gpu:
            measured.dtypes = replace(measured.dtypes, kernels=kernels_seen(profile.names))
            refuse_kernels(training.cell.precision, profile.names)
        work = attempt("work by kind", lambda: work_by_kind(profile, measured.speed, measured.phases, gpu=gpu))
        measured.work = work or measured.work
        bound = attempt("bound", lambda: bound_by(profile.names, measured.speed, measured.phases, gpu=gpu))
        measured.bound = bound or measured.bound
