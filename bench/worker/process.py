"""Settings of a worker's process: the GPUs that it sees, its threads, a limit of memory, its interrupts."""

from __future__ import annotations

import os
import resource
import signal

import torch

from ampbench.bench.machine.affinity import bind
from ampbench.bench.plan.environment import as_variables
from ampbench.bench.store.run import Run
from ampbench.bench.train.statuses import Interrupted
from ampbench.bench.worker.cuda import start_cuda


def set_environment(run: Run) -> None:
    """Set the variables of the cell, for this process and the ranks that it starts. CUDA must not be used before."""
    os.environ.update(as_variables(run.cell.environment))


def prepare_process(run: Run, rank: int = 0) -> torch.device:
    """Set all of them, and return the device of a rank. CUDA must not be used before.

    Ranks see each other's GPUs, which NCCL requires. Each is bound to the cores near its own GPU; ranks that are not
    bound, as those on a CPU, share all.
    """
    _tell_interrupts_apart()
    board, sharing = run.board, run.board.num_sharing * run.cell.gpus
    if bind(run.boards[rank if board.is_gpu else 0].cores, run.cell.num_threads) and board.is_gpu:
        sharing = 1
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
        resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    return torch.device("cpu")


def lift_memory_limit() -> None:
    """Take the limit of memory back: the record of a cell that ran out of it must be written."""
    most = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _tell_interrupts_apart() -> None:
    """Let Ctrl-C end a worker that was started by hand; if a launcher handles it, SIGINT is ignored here."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
