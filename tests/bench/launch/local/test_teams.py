"""Cells on several boards: teams of free ones, and what they cannot do, refused or a row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ampbench.bench.launch.local.dispatch import run_groups
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.store.run import Run
from tests.support.two_ranks import TWO, run_in

GPUS = [Board(board_id=f"GPU-{i}", name="H100") for i in range(3)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("gpus = 2\ndrop_last = false", "gpus = 2: GPUs need equal shares of every batch; drop drop_last = false"),
        ("sync_batchnorm = true", "gpus = 1: sync_batchnorm has nothing to synchronise; drop it"),
        (
            'gpus = 2\n[precision.kept]\nweights = "bf16"\ncompute = "bf16"\nrounding = "kahan"',
            "keeps fp32 copies of its 16-bit weights",
        ),
        ("gpus = 0", "gpus"),
    ],
)
def test_what_several_gpus_cannot_do_is_refused_before_the_start(tmp_path: Path, line: str, reason: str) -> None:
    recipe = "kept" if "kept" in line else "fp32"
    text = (
        f'question = "?"\n[fixed]\nmodel = "LeNet"\ndata = "digits"\nprecision = "{recipe}"\nbatch_size = 8\n{line}\n'
    )
    with pytest.raises(RequestError, match=reason):
        make_plan(parse_experiment(tmp_path / "x.toml", text))


def test_more_gpus_than_there_are_is_a_row_and_the_others_go_on(tmp_path: Path) -> None:
    run = run_in(tmp_path, replace(TWO, gpus=4))
    heard: list[str] = []

    class Heard:
        def ended(self, run: Run, facts: Any) -> None:
            heard.append(facts["because"])

    nothing: Any = None
    run_groups([[run]], GPUS, context=nothing, watcher=Heard(), oom_guard=OomGuard([]))  # type: ignore[arg-type]
    assert heard == ["asks for 4 GPUs of one model, and 3 may be used here"]


def test_ranks_on_mig_slices_are_a_row_that_says_why_not(tmp_path: Path) -> None:
    slices = [Board(board_id=f"MIG-{i}", name="H100 MIG 1g.10gb", slice_of="GPU-0") for i in range(2)]
    heard: list[str] = []

    class Heard:
        def ended(self, run: Run, facts: Any) -> None:
            heard.append(f"{facts['status']}: {facts['because']}")

    nothing: Any = None
    runs = [[run_in(tmp_path, replace(TWO, gpus=gpus))] for gpus in (2, 3)]
    run_groups(runs, slices, context=nothing, watcher=Heard(), oom_guard=OomGuard([]))  # type: ignore[arg-type]
    assert heard == [
        f"unsupported: asks for {gpus} GPUs, and NCCL connects no MIG slices: run it on whole boards" for gpus in (2, 3)
    ]


def test_a_run_on_several_boards_is_read_back_whole(tmp_path: Path) -> None:
    run = replace(run_in(tmp_path, TWO), board=GPUS[0], peers=(GPUS[2],))
    run.save()
    assert Run.load(run.folder) == run
    assert run.boards == (GPUS[0], GPUS[2])
