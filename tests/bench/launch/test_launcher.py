"""A sweep knows its launcher by what it promises: cells may run where this machine has no board, lock or process."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from ampbench.bench.launch.launcher import Launcher
from ampbench.bench.launch.options import Options
from ampbench.bench.launch.sweep import _of_one_machine, sweep
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.discovery import Boards
from ampbench.bench.machine.provenance import Machine
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import Plan, make_plan
from tests.support.distant import BOARD, LAUNCHERS, MACHINE, Distant

TWO_CELLS = """
question = "Q?"
[matrix]
seed = [0, 1]
[fixed]
model = "LeNet"
data = "synthetic"
batch_size = 64
precision = "fp32"
"""

ENDINGS = {0: ("unsupported", "no such kernel there"), 1: ("crashed", "its node was switched off, it never started")}

LOCAL_PARTS = (
    "bench.launch.local.fork_server.start_fork_server",
    "bench.launch.local.local.start_fork_server",
    "bench.launch.local.local.find_boards",
    "bench.launch.refusals.foreign_processes",
    "bench.machine.locks.lock_folder",
    "bench.machine.provenance.machine_of",
)
"""What only a launcher on this machine may call."""

Sweep = Callable[..., str]


@pytest.fixture
def swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """Return a function that sweeps two cells and returns what was printed; nothing of this machine is asked."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("this machine was asked")

    for name in LOCAL_PARTS:
        monkeypatch.setattr(f"ampbench.{name}", forbidden)
    monkeypatch.setattr("ampbench.bench.launch.sweep.print_report", lambda *_, **__: None)

    def run(launcher: Launcher, text: str = TWO_CELLS, **options: Any) -> str:
        plan = plan_of(tmp_path, text)
        out = io.StringIO()
        code = sweep(
            plan, plan.cells, Options(launcher=launcher, results=tmp_path, **options), Console(file=out, width=200)
        )
        assert code == 0
        return out.getvalue()

    return run


def plan_of(tmp_path: Path, text: str = TWO_CELLS) -> Plan:
    return make_plan(parse_experiment(tmp_path / "two.toml", text))


def rows(tmp_path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(tmp_path / "two" / "cells.parquet").to_pylist()
    return found


def test_cells_may_run_where_this_machine_has_no_part(swept: Sweep, tmp_path: Path) -> None:
    launcher = Distant(endings=ENDINGS)
    said = swept(launcher)
    assert launcher.calls == ["find_boards", "notes", "require_ready", "refuse", "prepare", "run"]
    assert "Distant GPU is far away" in said
    assert "2/2 LeNet fp32 b64 s1" in said
    assert [(row["status"], row["because"]) for row in rows(tmp_path)] == list(ENDINGS.values())
    assert [row["order"] for row in rows(tmp_path)] == [1, 2]


def test_a_row_has_the_provenance_of_the_launchers_machine_also_of_a_cell_that_was_never_started(
    swept: Sweep, tmp_path: Path
) -> None:
    swept(Distant(endings=ENDINGS))
    for row in rows(tmp_path):
        assert (row["machine"], row["torch"], row["num_cores"], row["board"]) == ("Distant GPU", "9.9", 64, "GPU-0000")


def test_what_is_finished_is_not_run_again_and_a_launcher_is_not_made_ready_for_nothing(swept: Sweep) -> None:
    swept(Distant(endings=ENDINGS))
    again = Distant(endings={})
    assert "Kept from earlier: 1 crashed" in swept(again)
    assert again.calls == ["find_boards", "notes"]
    retried = Distant(endings={1: ("unsupported", "again")})
    assert "1/1 LeNet fp32 b64 s1" in swept(retried, again=["crashed"])


def test_a_shard_without_cells_says_so_and_makes_no_report_of_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ampbench.bench.launch.sweep.print_report", lambda *_, **__: pytest.fail("of no cell"))
    out, options = io.StringIO(), Options(launcher=Distant(endings=ENDINGS), results=tmp_path)
    assert sweep(plan_of(tmp_path), (), options, Console(file=out, width=200)) == 0
    assert out.getvalue().splitlines()[-2:] == [
        "This shard has no cells: shards have whole groups, and the plan has 2 of them",
        f"No cell has a record in {tmp_path / 'two'} yet, so there is nothing to report",
    ]


def test_machines_are_mixed_by_what_the_launcher_says_of_its_own(swept: Sweep) -> None:
    first = Distant(endings={0: ("ok", None)})
    swept(first, TWO_CELLS.replace("[0, 1]", "[0]"))
    other = Distant(endings=ENDINGS, machine=replace(first.machine, machine="Other GPU"))
    with pytest.raises(RequestError, match=r"holds rows of Distant GPU with torch 9\.9.*; here are Other GPU"):
        swept(other)
    assert other.calls == ["find_boards", "notes", "require_ready"]
    swept(other, mixed=True)
    assert other.calls[3:] == ["find_boards", "notes", "require_ready", "refuse", "prepare", "run"]


def test_what_a_launcher_refuses_ends_the_sweep_before_the_first_cell(swept: Sweep, tmp_path: Path) -> None:
    launcher = Distant(endings=ENDINGS, refused="the queue is closed")
    with pytest.raises(RequestError, match="the queue is closed"):
        swept(launcher)
    assert launcher.calls[-1] == "refuse"
    assert not (tmp_path / "two" / "plan.json").exists()


def test_trials_that_are_ranked_together_run_on_one_kind_of_board() -> None:
    boards = [replace(BOARD, board_id=f"GPU-{i}") for i in range(3)]

    @dataclass(frozen=True)
    class OfTwoKinds(Distant):
        def machine_of(self, board: Board) -> Machine:
            return replace(MACHINE, machine="small" if board == boards[0] else "large")

    found = _of_one_machine(Boards(used=tuple(boards)), OfTwoKinds(endings={}))
    assert found.used == tuple(boards[1:])
    assert found.ignored == (boards[0],)


def test_every_launcher_has_the_signatures_of_the_protocol() -> None:
    names = [name for name in vars(Launcher) if not name.startswith("_")]
    assert names == ["find_boards", "notes", "machine_of", "require_ready", "refuse", "prepare", "run"]
    for launcher in LAUNCHERS:
        for name in names:
            asked, has = (inspect.signature(getattr(each, name)) for each in (Launcher, type(launcher)))
            assert has.parameters == asked.parameters


def test_a_sweep_imports_the_protocol_and_no_launcher() -> None:
    import ampbench.bench.launch.sweep as module

    text = inspect.getsource(module)
    assert not [word for word in ("launch.local", "launch.ray", "launch.slurm", "fork_server") if word in text]


def test_a_probe_is_joined_and_no_report_is_drawn_of_it(
    swept: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[object] = []
    monkeypatch.setattr("ampbench.bench.launch.sweep.print_report", lambda *asked, **_: drawn.append(asked))
    swept(Distant(endings=ENDINGS), report=False)
    assert len(rows(tmp_path)) == 2
    assert not drawn
    swept(Distant(endings=ENDINGS))
    assert drawn
