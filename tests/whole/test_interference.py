"""Neighbours and exclusive cells as processes: who works beside whom, and that nobody is left behind."""

from __future__ import annotations

import io
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from ampbench.bench.auto.interference.check import check_interference
from ampbench.bench.auto.interference.conditions import OfThisMachine
from ampbench.bench.launch.options import Options
from ampbench.bench.machine.machine_lock import hold_machine
from ampbench.bench.plan.experiment import read_experiment
from ampbench.bench.plan.matrix import make_plan
from ampbench.schema.interference import read_interference
from tests.whole.line import HEAD, records, rows_of, started, survivors, wait_until

Write = Callable[..., Path]

pytestmark = pytest.mark.whole

TINY = HEAD + 'model = "tests.support.failing:Tiny"\nbatch_size = 64\n[matrix]\nprecision = ["fp32", "bf16_amp"]\n'


def test_a_check_times_a_cell_alone_and_beside_a_neighbour_and_leaves_a_verdict_and_no_process(
    experiment_file: Write,
) -> None:
    """In the time of two rounds; which verdict is the machine's affair."""
    file = experiment_file(TINY)
    plan, conditions, results = make_plan(read_experiment(file)), OfThisMachine(), file.parent / "results"
    console = Console(file=io.StringIO(), width=200)
    options = Options(launcher=conditions.beside, results=results)
    assert check_interference(plan, plan.cells, options, conditions, console, minutes=0.0) == 0
    folder = results / file.stem
    (found,) = read_interference(folder)
    assert (found.n, found.board, found.neighbours) == (2, "cpu:0/2", ("cpu:1/2",))
    (rounds,) = (folder / "interference").iterdir()
    for name, exclusive, num_neighbours in (("alone", True, 0), ("beside", False, 1)):
        rows = pq.read_table(rounds / name / "cells.parquet").to_pylist()
        assert [row["status"] for row in rows] == ["ok", "ok"]
        assert {(row["exclusive"], row["num_neighbours"], row["board"]) for row in rows} == {
            (exclusive, num_neighbours, "cpu:0/2")
        }
    assert not (rounds / "beside" / "neighbours").exists()
    wait_until(lambda: not survivors(file), 120)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_check_that_is_stopped_takes_its_neighbours_with_it(number: signal.Signals, experiment_file: Write) -> None:
    file = experiment_file(TINY)
    with started(file, "--check-interference") as check:
        wait_until(lambda: list(file.parent.rglob("neighbours/1/log.txt")))
        check.send_signal(number)
        output, _ = check.communicate(timeout=300)
    assert "Traceback" not in output
    if number is signal.SIGINT:
        assert check.returncode == 130, output
        assert "To go on: python bench/run_matrix.py" in output
    wait_until(lambda: not survivors(file), 120)
    assert not list(file.parent.rglob("interference.json"))
    assert len(records(file)) >= 1, "the round that was finished alone is kept"


@pytest.mark.parametrize(
    ("flags", "holds_alone", "said"),
    [
        ([], True, "waiting for cpu:0/2, held by a long cell (process "),
        (["--exclusive"], False, "waiting for cpu:0/2, held by other cells of this machine, which are to end first"),
    ],
)
def test_an_exclusive_cell_waits_for_all_others_and_all_others_for_it(
    flags: list[str], holds_alone: bool, said: str, experiment_file: Write
) -> None:
    file = experiment_file(TINY)
    with ExitStack() as cell:
        cell.enter_context(hold_machine("a long cell", lambda holder: pytest.fail(holder), exclusive=holds_alone))
        with started(file, "--only", "precision=fp32", *flags, AMPBENCH_CPU_BOARDS="2") as launcher:
            assert launcher.stdout is not None
            assert any(said in line for line in iter(launcher.stdout.readline, ""))
            assert not records(file)
            cell.close()
            output, _ = launcher.communicate(timeout=600)
    assert launcher.returncode == 0, output
    (row,) = rows_of(file)
    assert (row["exclusive"], row["num_neighbours"], row["waited_s"] > 0) == (not holds_alone, 0, True)
