"""Measure one cell and write its record, however the cell ends, except by a kill."""

from __future__ import annotations

import time
import traceback
from dataclasses import replace
from datetime import UTC, datetime

import torch

from ampbench.bench.machine.locks import num_others_at_work
from ampbench.bench.machine.provenance import provenance
from ampbench.bench.store.record import write_run
from ampbench.bench.store.run import Run
from ampbench.bench.train.ranks import ALONE, Ranks
from ampbench.bench.train.state.checkpoint_file import delete_checkpoints
from ampbench.bench.train.statuses import Interrupted
from ampbench.bench.worker.checkpoints import Checkpoints
from ampbench.bench.worker.divergence import first_layer
from ampbench.bench.worker.ending import ending_of
from ampbench.bench.worker.exception_text import first_line
from ampbench.bench.worker.measurement import Measurement
from ampbench.bench.worker.outcome import Outcome
from ampbench.bench.worker.passes.memory_breakdown import trace_out_of_memory
from ampbench.bench.worker.process import lift_memory_limit
from ampbench.bench.worker.timing.board_watch import BoardWatch
from ampbench.bench.worker.timing.timing import Report
from ampbench.schema.cells import CellRecord
from ampbench.schema.provenance import Provenance
from ampbench.schema.version import METHOD_VERSION

MAX_REPLAY_S = 600.0
"""Longest search for the layer that diverged; at most half of the time that is left of the cell's limit."""


def measure_cell(run: Run, device: torch.device, report: Report, waited_s: float, ranks: Ranks = ALONE) -> None:
    """Measure a cell and write its record, however it ends."""
    begun = time.perf_counter()
    outcome = Outcome()
    start = run.start(datetime.now(UTC), waited_s=waited_s, num_neighbours=_num_neighbours(run, outcome))
    origin = outcome.attempt("provenance", lambda: provenance_of(run))
    origin = origin or Provenance(board=run.board.board_id, method_version=METHOD_VERSION)
    every_s = 60 * run.budget.checkpoint_minutes
    checkpoints = Checkpoints(run.folder, every_s, run.cell.cell_id, origin.environment_id or "unknown")
    watch = BoardWatch.of(run.board)
    deadline_s = begun + 60 * run.budget.minutes_per_cell
    measurement = Measurement(run.cell, run.protocol, device, report, checkpoints, watch, ranks, outcome, deadline_s)
    if run.budget.memory_gib_per_cell:
        measurement.memory_limit_bytes = int(run.budget.memory_gib_per_cell * 2**30)
    measurement.pruning = run.pruning
    ending = ending_of(measurement)
    measured = outcome.measured
    if ending.status == "diverged":
        report(phase="divergence")
        left_s = deadline_s - time.perf_counter()
        layer = find_divergence(measurement, max_s=max(0.0, min(MAX_REPLAY_S, left_s / 2)))
        ending = replace(ending, because=f"{ending.because}; {layer}")
        if run.cell.epochs and measured.data.num_classes:
            measured.evaluation = replace(measured.evaluation, test_accuracy=1 / measured.data.num_classes)
    if ending.status == "oom" and run.board.is_gpu and run.cell.gpus == 1:
        find_allocations(measurement)
    lift_memory_limit()
    measured.wall_time = outcome.stopwatch.wall_time
    counts = [start.num_neighbours, _num_neighbours(run, outcome)]
    start = replace(start, num_neighbours=max((count for count in counts if count is not None), default=None))
    record = CellRecord(ending=ending, start=start, provenance=origin, measured=measured)
    write_run(run.folder, run.cell, record, outcome.traces)
    if outcome.trained or ending.status in ("diverged", "pruned"):  # else the cell's next run is resumed from there
        delete_checkpoints(run.folder)
    report(
        phase="done",
        status=ending.status,
        because=ending.because,
        images_per_s=measured.speed.images_per_s,
        test_accuracy=measured.evaluation.test_accuracy,
        steady_peak_bytes=measured.memory_peaks.steady_peak_bytes,
        cell_s=measured.wall_time.cell_s,
        learning_note=measured.course.learning_note,
    )


def provenance_of(run: Run) -> Provenance:
    """Return where a row is measured, with the versions of CUDA and cuDNN that torch uses."""
    known = provenance(run.board)
    if not run.board.is_gpu:
        return known
    return replace(known, cuda=torch.version.cuda, cudnn=str(torch.backends.cudnn.version()))


def _num_neighbours(run: Run, outcome: Outcome) -> int | None:
    return outcome.attempt("count of the neighbours", lambda: num_others_at_work(run.boards))


def find_allocations(measurement: Measurement) -> None:
    """Record the allocations up to the out-of-memory error; an error here leaves the cell's results as they are."""
    outcome, beginning = measurement.outcome, measurement.beginning
    if beginning is None:
        return
    found = outcome.attempt(
        "record of what ran out of memory",
        lambda: trace_out_of_memory(measurement.cell_as_run, beginning.images, measurement.device),
    )
    if found:
        outcome.traces.memory, outcome.traces.allocations = found.memory, found.holders


def find_divergence(measurement: Measurement, *, max_s: float) -> str:
    """Find the layer that diverged first; an error here leaves the cell's results as they are.

    The diverged training must have been released before.
    """
    cell, beginning, measured = measurement.cell, measurement.beginning, measurement.outcome.measured
    if cell.gpus > 1:
        alone = f"gpus = 1 and batch_size = {cell.global_batch_size}"
        return f"the first layer to diverge is found in one process only: run it again with {alone}"
    assert beginning is not None, "a training that diverged had started"
    try:
        measured.divergence, said = first_layer(
            measurement.cell_as_run,
            beginning.images,
            measurement.device,
            measurement.checkpoints.load(),
            measured.divergence,
            max_s=max_s,
            start=beginning.start,
        )
    except Interrupted:
        raise
    except BaseException as e:
        traceback.print_exc()
        return f"the replay that looks for the layer failed ({type(e).__name__}: {first_line(e)})"
    return said
