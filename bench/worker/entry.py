"""What a worker does: lock the run and the board, prepare the data, measure the cell on one board or several."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from multiprocessing.connection import Connection
from signal import SIGKILL
from typing import Any

import torch._dynamo  # noqa: F401  # the first optimizer imports it, 900 modules: the fork server does so once for all

from ampbench.bench.machine.locks import hold_boards, hold_run
from ampbench.bench.machine.machine_lock import hold_machine
from ampbench.bench.store.disk import Lasting, unwritable
from ampbench.bench.store.record import room_for_record
from ampbench.bench.store.run import Run
from ampbench.bench.train.compiler import cache_of_its_own
from ampbench.bench.worker.cell import measure_cell
from ampbench.bench.worker.log import open_log, silence_profiler
from ampbench.bench.worker.preparation import die_with_parent, prepare_apart
from ampbench.bench.worker.process import prepare_process, set_environment
from ampbench.bench.worker.timing.timing import Report
from ampbench.schema.partial import sweep


def serve(run: Run, messages: Connection) -> None:
    """Entry of a forked worker: end with the launcher, write to log.txt, report through `messages`."""
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
    """Report to the launcher; end without a record where it no longer listens, for it has started this run again.

    A launcher does so when its fork server is killed in the moment of a start, and only believes that it did not start.
    """
    try:
        messages.send(facts)
    except BrokenPipeError:
        os.killpg(0, SIGKILL)


def run_cell(run: Run, report: Report) -> None:
    """Run one cell to its record. A run with a record is left as it is, unless it is to be run again."""
    silence_profiler()
    with hold_run(run.folder):
        if run.record_path.exists() and not run.again:
            return
        sweep(run.folder)
        owner = f"{run.cell} of {run.folder.parents[1].name}"
        asked_s = time.monotonic()

        def waits(holder: str) -> None:
            report(phase="waiting", holder=holder)

        machine = hold_machine(owner, waits, exclusive=run.exclusive)
        with machine, hold_boards(run.boards, owner, waits), cache_of_its_own(run.folder), room_for_record(run.folder):
            waited_s = time.monotonic() - asked_s
            prepare_apart(run.cell.data, run.cell.image_size)
            report(phase="start")
            set_environment(run)
            if run.cell.gpus == 1:
                measure_cell(run, prepare_process(run), report, waited_s)
            else:
                from ampbench.bench.worker.ranks import run_ranks  # imports torch's launcher, which few cells need

                run_ranks(run, report, waited_s)


def print_report(**facts: Any) -> None:
    """Print a report to a terminal, for a worker started by hand."""
    print(" ".join(f"{k}={v:,.0f}" if isinstance(v, float) else f"{k}={v}" for k, v in facts.items()), file=sys.stderr)
