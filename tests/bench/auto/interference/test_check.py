"""A check from its first round to its verdict, on launchers whose cells have a law: the truth is known."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ampbench.bench.auto.interference import check as checking
from ampbench.bench.auto.interference.check import check_interference, reference_of
from ampbench.bench.launch.options import Options
from ampbench.bench.launch.shown.company import before_run
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.discovery import Boards
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import read_experiment
from ampbench.bench.plan.matrix import Plan, make_plan
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import join
from ampbench.schema.identity import Ending
from ampbench.schema.interference import ADVICE, LOOKS, read_interference
from ampbench.visualize.judge.verdict.interference import interference_of
from tests.support.company import Lawfully


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge is asked without a process of its own, and the rounds are joined for it alone; git is asked nothing."""

    def asked(_: str, folder: Path) -> dict[str, Any]:
        for file in folder.glob("*.toml"):
            plan = make_plan(read_experiment(file))
            join(plan, Folder.of(plan, folder))
        return dataclasses.asdict(interference_of(folder))

    monkeypatch.setattr(checking, "asked", asked)
    monkeypatch.setattr("ampbench.bench.launch.sweep.join", lambda *_: True)
    monkeypatch.setattr("ampbench.bench.launch.sweep.git_state", lambda: (None, None))


@dataclass
class Trial:
    """A plan with a folder, and what was said of it."""

    plan: Plan
    results: Path
    text: str = ""

    def check(self, conditions: Lawfully, **more: Any) -> int:
        console = Console(file=io.StringIO(), width=200)
        options = Options(launcher=conditions.beside, results=self.results)
        try:
            return check_interference(self.plan, self.plan.cells, options, conditions, console, **more)
        finally:
            self.text = console.file.getvalue()

    @property
    def folder(self) -> Path:
        return self.results / "experiment"


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    file = tmp_path / "experiment.toml"
    file.write_text(
        'question = "?"\n[matrix]\nseed = [3, 4]\nprecision = ["bf16_amp", "fp32"]\n'
        '[fixed]\nmodel = "VGG19"\ndata = "synthetic"\nbatch_size = 64\nepochs = 5\nlearning_rate = 0.1\n'
    )
    return Trial(make_plan(read_experiment(file)), tmp_path / "results")


@pytest.mark.parametrize(
    ("cost", "noise", "verdict", "words"),
    [
        (0.0, 0.001, "same", "runs as fast as alone, within 1 %: "),
        (0.05, 0.005, "slower", f"runs slower than alone: 0.9.*, n = 4: {ADVICE}"),
        (0.5, 0.02, "slower", f"runs slower than alone: 0.[45].*, n = 4: {ADVICE}"),
        (0.01, 0.05, "can't tell", f"may run slower than alone, which n = 12 cannot tell: .*: {ADVICE}"),
    ],
)
def test_what_neighbours_cost_is_found_kept_and_said(
    cost: float, noise: float, verdict: str, words: str, trial: Trial
) -> None:
    assert trial.check(Lawfully(cost=cost, noise=noise)) == 0
    (found,) = read_interference(trial.folder)
    assert found.verdict == verdict
    assert (found.board, found.neighbours, found.machine) == ("GPU-0", ("GPU-1",), "Distant GPU")
    assert "fp32" in found.cell, "the reference of the first group"
    assert pytest.approx(1 - cost, rel=4 * noise) == found.ratio
    assert re.search(f"Beside 1 busy board a cell {words}", trial.text)


def test_rounds_alternate_so_that_a_drift_favours_neither(trial: Trial) -> None:
    conditions = Lawfully()
    trial.check(conditions)
    assert trial.text.count("Distant GPU is far away") == 1, "what is to be read of the boards is said once"
    assert conditions.order[:8] == ["alone", "beside", "beside", "alone"] * 2
    assert all(cell.epochs == 0 and cell.precision.name == "fp32" for cell in conditions.tried)


@pytest.mark.parametrize("moment", [0, 5])
def test_an_interrupted_check_keeps_its_rounds_and_the_same_command_goes_on(
    moment: int, trial: Trial, tmp_path: Path
) -> None:
    whole = Lawfully(cost=0.05, noise=0.005)
    trial.check(whole)
    again = Trial(trial.plan, tmp_path / "second")
    first = dataclasses.replace(whole, interrupt_at=moment, tried=[], order=[])
    assert again.check(first) == 130
    assert again.text.count("To go on: ") == 1
    assert not read_interference(again.folder)
    rest = dataclasses.replace(whole, tried=[], order=[])
    assert again.check(rest) == 0
    assert [c.cell_id for c in first.tried + rest.tried] == [c.cell_id for c in whole.tried]
    (of_whole,), (of_second,) = read_interference(trial.folder), read_interference(again.folder)
    assert of_second.ratio == of_whole.ratio


def test_a_check_that_has_ended_is_not_run_again(trial: Trial) -> None:
    trial.check(Lawfully(cost=0.05))
    more = Lawfully(cost=0.05)
    assert trial.check(more) == 0
    assert more.tried == []


def test_when_the_minutes_are_over_what_is_known_is_said(trial: Trial) -> None:
    conditions = Lawfully(cost=0.0, noise=0.02)
    assert trial.check(conditions, minutes=0.0) == 0
    (found,) = read_interference(trial.folder)
    assert (found.n, len(conditions.tried)) == (2, 4)


def test_a_cell_that_cannot_be_timed_is_one_line_that_says_where(trial: Trial) -> None:
    oom = Ending(status="oom", because="out of memory at batch size 64")
    with pytest.raises(
        RequestError, match=r"fp32 .*cannot be timed alone: oom, out of memory at batch size 64; choose"
    ):
        trial.check(Lawfully(ends=lambda _: oom))
    assert not read_interference(trial.folder)


def test_where_nothing_runs_beside_a_cell_nothing_is_checked(trial: Trial) -> None:
    conditions = Lawfully(num=1)
    assert trial.check(conditions) == 0
    assert "There is nothing to check" in trial.text
    assert conditions.tried == []


def test_a_shard_without_a_cell_has_nothing_to_time_and_says_so(trial: Trial, tmp_path: Path) -> None:
    conditions = Lawfully()
    options = Options(launcher=conditions.beside, results=tmp_path)
    with pytest.raises(
        RequestError, match=r"^--check-interference: no cell is chosen .*; choose with --only or --shard$"
    ):
        check_interference(trial.plan, (), options, conditions, Console(file=io.StringIO()))


def test_checks_of_two_numbers_of_boards_stand_side_by_side(trial: Trial) -> None:
    trial.check(Lawfully(cost=0.0, num=2))
    trial.check(Lawfully(cost=0.3, num=4))
    assert [(len(one.neighbours), one.verdict) for one in read_interference(trial.folder)] == [
        (1, "same"),
        (3, "slower"),
    ]
    trial.check(Lawfully(cost=0.0, num=2))
    assert len(read_interference(trial.folder)) == 2


def test_a_run_beside_others_is_told_of_a_check_that_advises_against_it(trial: Trial) -> None:
    conditions = Lawfully(cost=0.3)
    boards, machine_of = conditions.beside.find_boards(), conditions.beside.machine_of

    def said(boards: Boards) -> list[str]:
        return list(before_run(trial.folder, boards, machine_of))

    assert said(boards) == []
    trial.check(conditions)
    assert [line.endswith(ADVICE) for line in said(boards)] == [True]
    assert said(dataclasses.replace(boards, exclusive=True)) == []
    assert said(Boards(used=boards.used[:1])) == []
    elsewhere = tuple(Board(board_id=f"GPU-{i}", name="Distant GPU", host=f"node{i}") for i in range(2))
    assert said(Boards(used=elsewhere)) == []
    trial.check(dataclasses.replace(conditions, cost=0.0, num=3))
    assert len(said(boards)) == 1, "the check of as many boards counts"


def test_a_damaged_verdict_is_none(trial: Trial) -> None:
    trial.folder.mkdir(parents=True)
    for text in ("", "{", "[1]", json.dumps([{"verdict": "same"}])):
        (trial.folder / "interference.json").write_text(text)
        assert read_interference(trial.folder) == ()


def test_the_reference_is_fp32_else_the_first_recipe_in_the_order_of_tables(trial: Trial) -> None:
    names = [reference_of(trial.plan.cells).precision.name]
    names.append(reference_of([c for c in trial.plan.cells if c.precision.name != "fp32"]).precision.name)
    assert names == ["fp32", "bf16_amp"]
    assert reference_of(trial.plan.cells).seed == trial.plan.cells[0].seed
    assert LOOKS[0] > 2
