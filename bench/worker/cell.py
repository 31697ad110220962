"""A worker's life: hold the run and the board, measure, and leave a record whatever happens short of a kill.

The one `try` of the project that turns exceptions into statuses is in `run_cell`.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import traceback
from datetime import UTC, datetime
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch._dynamo  # as the first optimizer would, 900 modules of it: the fork server pays once for all cells

from ampbench.bench.machine.locks import hold_boards, hold_run
from ampbench.bench.machine.provenance import provenance, refused_switch
from ampbench.bench.measure.memory import is_out_of_memory
from ampbench.bench.store.disk import Lasting, unwritable
from ampbench.bench.store.record import room_for_record, write_run
from ampbench.bench.store.run import Run
from ampbench.bench.train.checkpoint import delete_checkpoints
from ampbench.bench.train.compiler import cache_of_its_own
from ampbench.bench.train.dtype_limits import why_not_in_16_bits
from ampbench.bench.train.ranks import ALONE, ECHO_S, Ranks
from ampbench.bench.train.statuses import DataTooLarge, Diverged, Interrupted, Throttled, Unsupported
from ampbench.bench.worker.advice import described
from ampbench.bench.worker.board_watch import BoardWatch
from ampbench.bench.worker.checkpoints import Checkpoints
from ampbench.bench.worker.cuda import NoCuda, start_cuda
from ampbench.bench.worker.failures import attempt, first_line
from ampbench.bench.worker.log import open_log, silence_profiler
from ampbench.bench.worker.measurement import Measurement
from ampbench.bench.worker.preparation import die_with_parent, prepare_apart
from ampbench.bench.worker.timing import Report
from ampbench.bench.worker.traces import block_rows
from ampbench.schema.version import METHOD_VERSION

MAX_REPLAY_S = 600.0
"""Spent at most on finding the layer that broke a training; no more than half of what is left of the cell's time."""

SHOWN = ("status", "because", "images_per_s", "test_accuracy", "steady_peak_bytes", "cell_s", "learning_note")
"""What a launcher prints of a finished cell."""


def serve(run: Run, messages: Connection) -> None:
    """Entry of a forked worker: die with the launcher, write to log.txt, report through `messages`."""
    os.setsid()
    die_with_parent()
    try:
        log = open_log(run.folder)
    except OSError:  # a full disk
        log = os.open(os.devnull, os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout, sys.stderr = Lasting(sys.stdout), Lasting(sys.stderr)
    try:
        run_cell(run, partial(_send, messages))
    except OSError as e:
        because = unwritable(e, run.folder)
        if because:
            messages.send({"unwritten": because})
        raise


def _send(messages: Connection, **facts: Any) -> None:
    messages.send(facts)


def run_cell(run: Run, report: Report) -> None:
    """Run one cell to its record. A run that has one is left alone, unless it is to be run again."""
    silence_profiler()
    with hold_run(run.folder):
        if run.record_path.exists() and not run.again:
            return
        owner = f"{run.cell} of {run.folder.parents[1].name}"
        boards = hold_boards(run.boards, owner, lambda holder: report(phase="waiting", holder=holder))
        with boards as waited_s, cache_of_its_own(run.folder), room_for_record(run.folder):
            prepare_apart(run.cell.data, run.cell.image_size)
            report(phase="start")
            if run.cell.gpus == 1:
                measure_cell(run, prepare_process(run), report, waited_s)
            else:
                from ampbench.bench.worker.ranks import run_ranks  # brings torch's launcher, which few cells need

                run_ranks(run, report, waited_s)


def measure_cell(run: Run, device: torch.device, report: Report, waited_s: float, ranks: Ranks = ALONE) -> None:
    """Measure a cell and write its record, whatever comes of it."""
    begun = time.perf_counter()
    row = provenance(run.board, METHOD_VERSION)
    every_s = 60 * run.budget.checkpoint_minutes
    checkpoints = Checkpoints(run.folder, every_s, run.cell.cell_id, row["environment_id"])
    measurement = Measurement(run.cell, run.protocol, device, report, checkpoints, BoardWatch.of(run.board), ranks)
    row |= {"order": run.order, "command": run.command, "started_at": datetime.now(UTC), "waited_s": waited_s}
    if run.board.is_gpu:
        row |= {"cuda": torch.version.cuda, "cudnn": str(torch.backends.cudnn.version())}
    status, because = _measured(measurement)
    if status == "diverged":
        report(phase="divergence")
        left_s = 60 * run.budget.minutes_per_cell - (time.perf_counter() - begun)
        because = f"{because}; {_find_divergence(measurement, left_s)}"
    if status == "oom" and run.board.is_gpu and run.cell.gpus == 1:
        _trace_out_of_memory(measurement)
    row |= measurement.row | {"status": status, "because": because, "cell_s": measurement.cell_s}
    if row["status"] == "diverged" and run.cell.epochs:
        row["test_accuracy"] = 1 / row["num_classes"]
    traces = measurement.traces.state_dict() | {"blocks": block_rows(measurement.timing.clock.blocks)}
    write_run(run.folder, run.cell, row, traces)
    if measurement.trained or status == "diverged":  # else whoever runs it again goes on from there
        delete_checkpoints(run.folder)
    report(phase="done", **{key: row.get(key) for key in SHOWN})


def _measured(measurement: Measurement) -> tuple[str, str | None]:
    """Measure, and return how it ended: status and reason."""
    try:
        refused = refused_switch(os.environ)
        if refused:
            raise Unsupported(refused)
        start_cuda(measurement.device)
        measurement.take()
    except Unsupported as e:
        return "unsupported", str(e)
    except Diverged as e:
        return "diverged", str(e)
    except Throttled as e:
        return "throttled", str(e)
    except DataTooLarge as e:
        return "oom", str(e)
    except NoCuda as e:
        return "failed", str(e)
    except Interrupted:
        raise
    except BaseException as e:
        traceback.print_exc()
        if measurement.cell.gpus > 1:
            time.sleep(ECHO_S)
        if isinstance(e, SystemExit):
            return "failed", f"SystemExit: the model, or what it imports, ended the process (exit code {e.code})"
        if isinstance(e, KeyboardInterrupt):
            return "failed", "KeyboardInterrupt: raised by the model, or by what it imports"
        if lacking := why_not_in_16_bits(e, measurement.cell.precision, measurement.device):
            return "unsupported", lacking
        if is_out_of_memory(e):
            return "oom", f"out of memory at batch size {measurement.cell.batch_size}: {first_line(e)}"
        return "failed", described(e, measurement.cell_as_run)
    return "ok", None


def _trace_out_of_memory(measurement: Measurement) -> None:
    """Record the allocations that led to it; what is known of the cell stays, whatever happens here."""
    attempt(measurement.row, "record of what ran out of memory", measurement.trace_out_of_memory)


def _find_divergence(measurement: Measurement, left_s: float) -> str:
    """Look for the layer that broke a training; what is known of the cell stays, whatever happens here."""
    if measurement.cell.gpus > 1:
        alone = f"gpus = 1 and batch_size = {measurement.cell.global_batch_size}"
        return f"which layer went first is found on one GPU only: run it again with {alone}"
    try:
        return measurement.find_divergence(max_s=max(0.0, min(MAX_REPLAY_S, left_s / 2)))
    except Interrupted:
        raise
    except BaseException as e:
        traceback.print_exc()
        return f"the replay that looks for the layer failed ({type(e).__name__}: {first_line(e)})"


def prepare_process(run: Run, rank: int = 0) -> torch.device:
    """Set what belongs to the process: the visible GPUs, threads, a memory limit. CUDA is not touched before.

    Ranks share the cores, and see each other's GPUs, as NCCL wants it.
    """
    _tell_interrupts_apart()
    board, sharing = run.board, run.board.num_sharing * run.cell.gpus
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(run.cell.num_threads or max(1, cores // sharing))
    if board.is_gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(board.board_id for board in run.boards)
        if run.cell.gpus > 1:
            start_cuda(torch.device("cuda"))
        if rank:
            torch.cuda.set_device(rank)
        return torch.device("cuda", rank)
    if run.budget.memory_gib_per_cell:
        limit = int(run.budget.memory_gib_per_cell * 2**30 / run.cell.gpus)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    return torch.device("cpu")


def _tell_interrupts_apart() -> None:
    """Let Ctrl-C end a worker that was started by hand; where the launcher answers it, SIGINT is ignored here."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)


def print_report(**facts: Any) -> None:
    """Tell a person at a terminal, for a worker started by hand."""
    print(" ".join(f"{k}={v:,.0f}" if isinstance(v, float) else f"{k}={v}" for k, v in facts.items()), file=sys.stderr)
