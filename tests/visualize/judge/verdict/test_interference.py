"""The verdict on a cell beside its neighbours, where the truth is known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from ampbench.schema.interference import LOOKS
from ampbench.visualize.interference import main
from ampbench.visualize.judge.verdict.interference import interference_of, verdict_on
from ampbench.visualize.read.files import ResultsError
from ampbench.visualize.stats.effect import ALPHA
from ampbench.visualize.stats.statistics import compare_speed
from tests.visualize.conftest import Folder, cell

DRAWS = 200


def outcome(rng: np.random.Generator, cost: float, noise: float) -> str:
    """Look as a check does, round by round, at pairs whose truth is `cost`."""
    logs = np.log(1 - cost) + noise * rng.standard_normal(LOOKS[-1])
    found = (verdict_on(compare_speed(list(logs[:n]), ALPHA / len(LOOKS))) for n in LOOKS)
    return next((verdict for verdict in found if verdict != "can't tell"), "can't tell")


@pytest.mark.parametrize(
    ("cost", "noise", "right", "at_least"),
    [
        (0.0, 0.002, {"same"}, 0.99),
        (0.0, 0.02, {"same", "can't tell"}, 0.95),
        (0.005, 0.002, {"same"}, 0.95),
        (0.005, 0.01, {"same", "can't tell"}, 0.95),
        (0.05, 0.01, {"slower"}, 0.99),
        (0.05, 0.05, {"slower", "can't tell"}, 0.99),
        (0.5, 0.05, {"slower"}, 0.99),
        (0.983, 0.3, {"slower"}, 0.99),
        (-0.05, 0.01, {"faster"}, 0.99),
    ],
)
def test_a_neighbour_that_costs_so_much_is_judged_right(
    cost: float, noise: float, right: set[str], at_least: float
) -> None:
    rng = np.random.default_rng(round(1e4 * (cost + 1) + 1e3 * noise))
    share = np.mean([outcome(rng, cost, noise) in right for _ in range(DRAWS)])
    assert share >= at_least


def test_at_the_margin_itself_the_four_looks_together_err_no_more_often_than_one() -> None:
    """Where the truth is 1 %, both `same` and `slower` are wrong."""
    rng = np.random.default_rng(0)
    wrong = [outcome(rng, 1 - math.exp(-math.log(1.01)), noise) != "can't tell" for noise in (0.003, 0.01)
             for _ in range(DRAWS)]  # fmt: skip
    assert np.mean(wrong) <= ALPHA


def written(place: Path, factors: list[float], **over: object) -> Path:
    for name, is_beside in (("alone", False), ("beside", True)):
        made = Folder(place / name)
        for number, factor in enumerate(factors):
            row = {"images_per_s": 1000 * (1 + number) * (factor if is_beside else 1), "num_neighbours": int(is_beside)}
            made.add(cell(epochs=0, round=number), **{**row, **(over if is_beside else {})})
        made.write()
    return place


def test_the_rounds_are_paired_so_that_a_machine_that_changes_between_them_costs_nothing(tmp_path: Path) -> None:
    found = interference_of(written(tmp_path, [0.9, 0.901, 0.899, 0.9]))
    assert (found.verdict, found.n) == ("slower", 4)
    assert found.ratio == pytest.approx(0.9, abs=1e-3)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.9 < found.high
    assert found.images_per_s_alone == pytest.approx(1000 * 24**0.25)


def test_one_round_has_no_interval(tmp_path: Path) -> None:
    found = interference_of(written(tmp_path, [0.5]))
    assert (found.verdict, found.low, found.high, found.shown) == ("can't tell", None, None, "0.50x (n = 1)")


def test_a_round_without_its_neighbours_at_work_says_nothing(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no round ended well both alone and beside"):
        interference_of(written(tmp_path, [0.5, 0.5], num_neighbours=0))


def test_the_answer_is_json_and_a_refusal_is_one_line(tmp_path: Path) -> None:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    done = CliRunner().invoke(app, [str(written(tmp_path / "made", [0.98, 0.99, 1.0]))])
    assert json.loads(done.stdout)["verdict"] == "can't tell"
    absent = CliRunner().invoke(app, [str(tmp_path / "none")])
    assert (absent.exit_code, absent.stdout) == (2, "")
    assert "no round ended well" in absent.stderr
    assert absent.stderr.count("\n") == 1
