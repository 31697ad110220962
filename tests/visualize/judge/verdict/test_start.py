"""Which first steps are compared: of two cells of one seed, of each its first round, as many as were asked for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ampbench.visualize.judge.verdict.ladder import evidence_of
from ampbench.visualize.judge.verdict.start import first_steps
from ampbench.visualize.judge.verdict.verdict import verdicts_of
from ampbench.visualize.read.frame import read
from ampbench.visualize.report import write_report
from ampbench.visualize.stats.start import Start
from tests.visualize.conftest import Folder, cell


def starts(path: Path) -> dict[str, Start | None]:
    results = read(path)
    return {verdict.recipe: verdict.start for verdict in verdicts_of(results)}


def harm(folder: Folder, recipe: str, by: float, from_step: int = 1, *, seeds: tuple[int, ...] = (0, 1, 2)) -> None:
    """Raise the loss of a recipe from a step on; NaN breaks it."""
    ids = {row["cell_id"] for row in folder.rows["cells"] if row["precision"] == recipe and row["seed"] in seeds}
    for row in folder.rows["steps"]:
        if row["cell_id"] in ids and row["step"] >= from_step:
            row["loss"] += by


def fill(folder: Folder, seeds: tuple[int, ...] = (0, 1, 2), **over: Any) -> None:
    for seed in seeds:
        for recipe in ("fp32", "bf16", "bf16_amp"):
            folder.add(cell(recipe, seed=seed), **over)
    see_the_same_images(folder)


def see_the_same_images(folder: Folder) -> None:
    """Let a seed's recipes have nearly the losses of its fp32, as paired trainings do."""
    of_cell = {row["cell_id"]: (row["seed"], row["precision"]) for row in folder.rows["cells"]}
    of_fp32 = {
        (of_cell[row["cell_id"]][0], row["step"]): row["loss"]
        for row in folder.rows["steps"]
        if of_cell[row["cell_id"]][1] == "fp32"
    }
    for row in folder.rows["steps"]:
        row["loss"] = 0.9 * of_fp32[of_cell[row["cell_id"]][0], row["step"]] + 0.1 * row["loss"]


def test_any_trainings_of_paired_seeds_have_a_start(folder: Folder) -> None:
    fill(folder)
    harm(folder, "bf16", 0.5, 100)
    found = starts(folder.write())
    assert (str(found["bf16_amp"]), found["bf16_amp"].n) == ("no harm seen in 200 steps", 3)
    assert found["bf16"].verdict == "harmful"
    assert 100 <= found["bf16"].from_step <= 120


def test_the_start_is_a_rung_of_the_ladder(folder: Folder) -> None:
    fill(folder)
    harm(folder, "bf16", 0.5)
    results = read(folder.write())
    rungs = {v.recipe: evidence_of(v).steps for v in verdicts_of(results)}
    of_start = {recipe: step for recipe, steps in rungs.items() for step in steps if step.rung == 3}
    assert (of_start["bf16"].says, of_start["bf16_amp"].says) == ("against", "for")
    assert "no harm seen in 200 steps" in of_start["bf16_amp"].text
    assert [step.rung for step in rungs["bf16"]] == sorted(step.rung for step in rungs["bf16"])


@pytest.mark.parametrize("asked", [80, 150])
def test_as_many_steps_are_compared_as_the_file_asked_for(asked: int, folder: Folder) -> None:
    fill(folder, start_steps=asked)
    harm(folder, "bf16", 5.0, 100)
    found = starts(folder.write())
    assert found["bf16_amp"].num_steps == asked
    assert (found["bf16"].verdict == "harmful") is (asked == 150), "step 100 is beyond the 80th"


def test_rounds_of_one_seed_train_the_same_again_and_are_no_pairs(folder: Folder) -> None:
    for number in range(3):
        for recipe in ("fp32", "bf16_amp"):
            folder.add(cell(recipe, round=number))
    found = starts(folder.write())["bf16_amp"]
    assert (found.n, found.verdict) == (1, "can't tell")


def test_a_seed_without_a_partner_is_in_no_pair(folder: Folder) -> None:
    fill(folder)
    folder.add(cell("bf16_amp", seed=7))
    harm(folder, "bf16_amp", 9.0, seeds=(7,))
    found = starts(folder.write())["bf16_amp"]
    assert (found.n, found.verdict) == (3, "no harm seen")


def test_other_machines_are_not_paired(folder: Folder) -> None:
    fill(folder)
    for row in folder.rows["cells"]:
        row["environment_id"] = row["precision"]
    results = read(folder.write(), mixed=True)
    assert verdicts_of(results) == []
    assert len(results.subjects) == 3, "nothing but their hash tells these apart, and it does"


def test_a_seed_that_diverged_is_harm_from_its_step(folder: Folder) -> None:
    fill(folder)
    ids = [row["cell_id"] for row in folder.rows["cells"] if row["precision"] == "bf16" and row["seed"] == 1]
    folder.rows["steps"] = [r for r in folder.rows["steps"] if r["cell_id"] not in ids or r["step"] <= 37]
    harm(folder, "bf16", math.nan, 37, seeds=(1,))
    for row in folder.rows["cells"]:
        if row["cell_id"] in ids:
            row["status"] = "diverged"
    found = starts(folder.write())["bf16"]
    assert (found.verdict, found.from_step) == ("harmful", 37)
    assert "1 of 3 seeds" in str(found)


def test_a_reference_at_chance_vouches_for_nobody(folder: Folder) -> None:
    """Its loss falls, from a bad first guess to that of chance, and it classifies nothing."""
    fill(folder, num_classes=10)
    for row in folder.rows["steps"]:
        row |= {"train_accuracy": 0.1, "num_images": 128}
    found = starts(folder.write())["bf16_amp"]
    assert (found.verdict, "no better than chance" in found.because) == ("can't tell", True)
    for row in folder.rows["steps"]:
        row["train_accuracy"] = 0.6
    assert starts(folder.write())["bf16_amp"].verdict == "no harm seen"


@pytest.mark.parametrize("odd", [0, None, math.nan, math.inf, -1])
def test_odd_numbers_of_the_learning_are_not_known_and_no_reproach(odd: float | None, folder: Folder) -> None:
    fill(folder, num_classes=odd if odd in (0, -1) else 10)
    for row in folder.rows["steps"]:
        row |= {"train_accuracy": odd, "num_images": odd if odd in (0, -1) else None}
    assert starts(folder.write())["bf16_amp"].verdict == "no harm seen"


def test_results_without_steps_have_no_start(folder: Folder) -> None:
    fill(folder)
    path = folder.write()
    (path / "steps.parquet").unlink()
    assert starts(path) == {"bf16": None, "bf16_amp": None}
    table = pq.read_table(folder.write() / "cells.parquet")
    pq.write_table(table.drop_columns(["start_steps"]), path / "cells.parquet")
    assert starts(path)["bf16_amp"].verdict == "no harm seen"


def test_steps_are_those_of_the_cells_that_are_compared(folder: Folder) -> None:
    fill(folder)
    results = read(folder.write())
    one = first_steps(results.where(recipe="bf16"))
    assert set(one["recipe"]) == {"bf16"}
    assert len(one) == 3 * 200
    assert first_steps(results.where(recipe="fp16")).empty


def test_the_report_knows_of_the_start(folder: Folder) -> None:
    fill(folder)
    harm(folder, "bf16", 0.5, 100)
    write_report(folder.write(), words_only=True)
