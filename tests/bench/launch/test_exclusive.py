"""One cell at a time on the whole machine, where a person asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ampbench.bench.launch.local import local
from ampbench.bench.launch.local.local import Local
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.store.run import Run


def made(folder: Path, *, gpus: int = 1) -> Run:
    cell = Cell(model="LeNet", data="digits", precision=RECIPES["fp32"], batch_size=64, gpus=gpus)
    board = Board(board_id="cpu")
    return Run(
        folder=folder / cell.run_folder,
        cell=cell,
        protocol=MeasurementProtocol(),
        budget=Budget(),
        board=board,
        order=1,
        command="python bench/run_matrix.py x.toml",
    )


@pytest.mark.parametrize(("exclusive", "used"), [(True, 1), (False, 4)])
def test_an_exclusive_launcher_has_one_team_and_its_cells_hold_the_machine(
    exclusive: bool, used: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMPBENCH_CPU_BOARDS", "4")
    seen: list[Any] = []

    def run_groups(groups: Sequence[Sequence[Run]], boards: Sequence[Board], **_: Any) -> bool:
        seen.extend([groups, boards])
        return True

    monkeypatch.setattr(local, "run_groups", run_groups)
    monkeypatch.setattr(local, "start_fork_server", lambda: None)
    launcher = Local(exclusive=exclusive)
    boards = launcher.find_boards()
    assert boards.exclusive is exclusive
    watcher: Any = None
    launcher.run([[made(tmp_path)]], boards, watcher=watcher, oom_guard=OomGuard(), board_hours=None)
    groups, given = seen
    assert [run.exclusive for group in groups for run in group] == [exclusive]
    assert len(given) == used


def test_a_run_keeps_whether_it_is_exclusive_and_its_row_says_so(tmp_path: Path) -> None:
    run = replace(made(tmp_path), exclusive=True)
    run.save()
    again = Run.load(run.folder)
    assert again == run
    assert again.start(datetime.now(UTC), num_neighbours=0).exclusive is True
