"""A cell on several GPUs: one rank on each, started and supervised by torchrun's agent in the worker's process.

Rank 0 measures the cell like any worker and writes the record. If a rank dies by a signal or an exception, the agent
ends the others, and the record says which rank it was.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import torch.distributed as dist
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure, record
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from ampbench.bench.machine.provenance import provenance
from ampbench.bench.measure.memory import says_out_of_memory
from ampbench.bench.plan.cell import Cell
from ampbench.bench.store.record import write_run
from ampbench.bench.store.run import Run
from ampbench.bench.train.orders import Finish
from ampbench.bench.train.ranks import Ranks
from ampbench.bench.worker.cell import measure_cell
from ampbench.bench.worker.follower import Orders, follow
from ampbench.bench.worker.process import prepare_process
from ampbench.bench.worker.timing.timing import Report
from ampbench.path import ROOT, step_aside
from ampbench.schema.cells import CellRecord
from ampbench.schema.identity import Ending
from ampbench.schema.traces import Traces

MOST_MINUTES = 1e6
"""Limit of a collective operation where a cell has no limit."""

PR_SET_PDEATHSIG = 1

Pipes = list[tuple[Connection, Connection]]
"""For each follower, the end from which it receives and the end to which rank 0 sends."""


def run_ranks(run: Run, report: Report, waited_s: float) -> None:
    """Run a cell on all its boards to its record. No other process may use the boards meanwhile."""
    before = run.recorded_ns
    begun_at = datetime.now(UTC)
    pipes: Pipes = [Pipe(duplex=False) for _ in range(run.cell.gpus - 1)]
    if not run.board.is_gpu:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # else gloo looks up this machine's name
    with tempfile.TemporaryDirectory() as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=run.cell.gpus,
            run_id=run.cell.cell_id,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
            # This process has imported torch and not used it, so on a CPU a fork of it is like a new process. With GPUs
            # the agent counts them, after which no forked process can use them.
            start_method="spawn" if run.board.is_gpu else "fork",
        )
        sys.path.insert(0, str(ROOT))  # a spawned process finds our modules first, as the fork server does
        try:
            elastic_launch(config, run_rank)(run, report, waited_s, pipes, os.getpid())
        except ChildFailedError as e:
            if run.recorded_ns == before:
                ending = _ending(run.cell, *e.get_first_failure())
                start = run.start(begun_at, waited_s=waited_s)
                record = CellRecord(ending=ending, start=start, provenance=provenance(run.board))
                write_run(run.folder, run.cell, record, Traces())
                report(phase="done", status=ending.status, because=ending.because)


@record
def run_rank(run: Run, report: Report, waited_s: float, pipes: Pipes, agent: int) -> None:
    """Run one of the ranks, until the cell has its record."""
    step_aside()
    _die_with(agent)
    rank = int(os.environ["RANK"])
    device = prepare_process(run, rank)
    minutes = min(run.budget.minutes_per_cell, MOST_MINUTES) + 60  # the launcher's deadline ends a rank that hangs
    dist.init_process_group("nccl" if run.board.is_gpu else "gloo", timeout=timedelta(minutes=minutes))
    if rank:
        hears, _ = pipes[rank - 1]
        follow(run, device, Ranks(rank=rank, world_size=run.cell.gpus), Orders(hears))
        return
    ranks = Ranks(world_size=run.cell.gpus, followers=tuple(speaks for _, speaks in pipes))
    try:
        measure_cell(run, device, report, waited_s, ranks)
    finally:
        ranks.tell(Finish())


def _die_with(agent: int) -> None:
    """Let the kernel kill this rank when the agent ends, however it ends; signals to the agent do not reach a rank."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != agent:
        os._exit(1)


def _ending(cell: Cell, rank: int, failure: ProcessFailure) -> Ending:
    """Return status and reason of a failed rank."""
    if failure.exitcode < 0:
        hint = "; the kernel does this when memory runs out" if failure.exitcode == -signal.SIGKILL else ""
        because = f"rank {rank} was killed by {failure.signal_name()}{hint}; see log.txt"
        return Ending(status="crashed", because=because)
    if not isinstance(failure.message, dict):
        because = f"rank {rank} ended with exit code {failure.exitcode}; see log.txt"
        return Ending(status="crashed", because=because)
    raised = str(failure.message["message"]).splitlines()[0]  # the exception's class and words
    if says_out_of_memory(RuntimeError(raised)):
        because = f"out of memory at batch size {cell.batch_size} on rank {rank}: {raised}"
        return Ending(status="oom", because=because)
    return Ending(status="failed", because=f"rank {rank}: {raised}")
