"""A cell on several GPUs: a rank on each, started and watched by torchrun's agent, in the place of a worker.

Rank 0 is a worker like any other and writes the record. If a rank ends the cell instead, by a signal or an exception,
the agent ends the others, and the record says which it was.
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
from ampbench.bench.worker.timing import Report
from ampbench.path import ROOT, step_aside
from ampbench.schema.cells import CellRecord
from ampbench.schema.identity import Ending, Start
from ampbench.schema.traces import Traces

MOST_MINUTES = 1e6
"""For a limit that a collective operation can take, where a cell has none."""

PR_SET_PDEATHSIG = 1

Pipes = list[tuple[Connection, Connection]]
"""For each follower, where it hears and where rank 0 speaks."""


def run_ranks(run: Run, report: Report, waited_s: float) -> None:
    """Run a cell on all its boards to its record. No other process of this one may use the boards meanwhile."""
    before = run.recorded_ns
    begun_at = datetime.now(UTC)
    pipes: Pipes = [Pipe(duplex=False) for _ in range(run.cell.gpus - 1)]
    if not run.board.is_gpu:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # else it looks up this machine's name
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
            # This process has loaded torch and done nothing with it, so on a CPU a copy of it is as good as new. Of
            # GPUs the agent asks how many there are, after which no copy may use them.
            start_method="spawn" if run.board.is_gpu else "fork",
        )
        sys.path.insert(0, str(ROOT))  # a process that is spawned imports ours first, as the fork server does
        try:
            elastic_launch(config, run_rank)(run, report, waited_s, pipes, os.getpid())
        except ChildFailedError as e:
            if run.recorded_ns == before:
                ending = _ending(run.cell, *e.get_first_failure())
                start = Start(order=run.order, command=run.command, started_at=begun_at, waited_s=waited_s)
                record = CellRecord(ending=ending, start=start, provenance=provenance(run.board))
                write_run(run.folder, run.cell, record, Traces())
                report(phase="done", status=ending.status, because=ending.because)


@record
def run_rank(run: Run, report: Report, waited_s: float, pipes: Pipes, agent: int) -> None:
    """Be one of the ranks, until the cell has its record."""
    step_aside()
    _die_with(agent)
    rank = int(os.environ["RANK"])
    device = prepare_process(run, rank)
    minutes = min(run.budget.minutes_per_cell, MOST_MINUTES) + 60  # a rank that hangs ends by the launcher's deadline
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
    """Let the kernel kill this rank when the agent ends, however it ends; a signal to the agent is none to a rank."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != agent:
        os._exit(1)


def _ending(cell: Cell, rank: int, failure: ProcessFailure) -> Ending:
    """Say in a status and in words how a rank failed."""
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
