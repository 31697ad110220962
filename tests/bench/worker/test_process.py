"""The settings of a worker's process: the cores and threads that a board gives it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from ampbench.bench.machine.affinity import given_cores, list_of
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.provenance import machine_of
from ampbench.bench.store.run import Run
from ampbench.bench.worker import process
from tests.support.two_ranks import TWO

NEAR, FAR = (Board(board_id=f"GPU-{i}", name="H100", cores=str(core)) for i, core in enumerate(
    sorted(os.sched_getaffinity(0))[-2:]))  # fmt: skip


def facts_of(run: Run, rank: int, found: Any) -> None:
    """Run in a process of its own: prepare it as a worker or a rank, and tell what it may use."""
    process.start_cuda = lambda device: None
    torch.cuda.set_device = lambda device: None
    process.prepare_process(run, rank)
    threads_see = torch.get_num_threads(), list_of(os.sched_getaffinity(0)), len(given_cores())
    found.put((*threads_see, machine_of(None, None).num_cores, os.environ.get("CUDA_VISIBLE_DEVICES")))


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core is all there is")
@pytest.mark.parametrize(
    ("gpus", "rank", "num_threads", "board"), [(1, 0, 0, FAR), (1, 0, 1, FAR), (2, 0, 0, FAR), (2, 1, 0, NEAR)]
)
def test_a_worker_and_each_rank_compute_on_the_cores_near_their_own_gpu(
    gpus: int, rank: int, num_threads: int, board: Board, context: Any, run_of: Callable[..., Run]
) -> None:
    run = replace(run_of(replace(TWO, gpus=gpus, num_threads=num_threads)), board=FAR, peers=(NEAR,) * (gpus - 1))
    found = context.Queue()
    worker = context.Process(target=facts_of, args=(run, rank, found))
    worker.start()
    threads, cores, given, num_cores, visible = found.get(timeout=60)
    worker.join(60)
    assert (threads, cores) == (1, board.cores)
    assert given == num_cores == len(os.sched_getaffinity(0)), "the machine stays what it is"
    assert visible == ",".join(board.board_id for board in run.boards)
