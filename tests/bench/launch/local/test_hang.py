"""GPUs that never finish a step together: the row says the cause and the cure, and only where it may be the cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ampbench.bench.launch.local.worker_process import WorkerProcess, why_ranks_hang
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.store.run import Run


def run_on(*names: str | None, **fields: Any) -> Run:
    cell = Cell(model="LeNet", data="digits", precision=RECIPES["fp32"], batch_size=8, gpus=len(names), **fields)
    boards = [Board(board_id=f"GPU-{i}" if name else "cpu", name=name) for i, name in enumerate(names)]
    return Run(folder=Path("x"), cell=cell, protocol=MeasurementProtocol(), budget=Budget(), board=boards[0], order=1,
               command="c", peers=tuple(boards[1:]))  # fmt: skip


def test_unlike_boards_that_hang_are_named_with_the_field_that_helps() -> None:
    said = why_ranks_hang(run_on("A6000", "RTX 3090", "RTX 3090"))
    assert "transfers between GPUs (P2P) hang, with unlike boards (A6000, RTX 3090)" in said
    assert "set environment = {NCCL_P2P_DISABLE = 1}" in said


def test_like_boards_that_hang_have_another_cause_and_the_same_cure() -> None:
    assert "IOMMU" in why_ranks_hang(run_on("RTX 3090", "RTX 3090"))


def test_what_is_set_already_is_not_advised_again() -> None:
    said = why_ranks_hang(run_on("RTX 3090", "RTX 3090", environment='{"NCCL_P2P_DISABLE": "1"}'))
    assert "{NCCL_P2P_DISABLE = 1}" not in said
    assert 'NCCL_DEBUG = "INFO"' in said


@pytest.mark.parametrize("names", [("RTX 3090",), (None, None)])
def test_one_gpu_and_a_cpu_hang_for_other_reasons(names: tuple[str | None, ...]) -> None:
    assert why_ranks_hang(run_on(*names)) == ""


class Ended:
    """A process that has ended."""

    pid = None

    def kill(self) -> None: ...

    def join(self) -> None: ...


@pytest.mark.parametrize(("facts", "hangs"), [({}, True), ({"loss": 2.3}, False), ({"images_per_s": 9.0}, False)])
def test_a_training_that_was_only_slow_is_no_hang(facts: dict[str, Any], hangs: bool) -> None:
    worker = WorkerProcess(run=run_on("A", "B"), process=Ended(), messages=None, facts=dict(facts))  # type: ignore[arg-type]
    worker.time_out()
    assert worker.facts["because"].startswith("took longer than minutes_per_cell = 240, in phase start")
    assert ("NCCL_P2P_DISABLE" in worker.facts["because"]) is hangs
