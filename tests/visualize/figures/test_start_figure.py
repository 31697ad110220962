"""The figure of the first steps: the loss as the verdict averages it, and the margin above the reference."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from ampbench.visualize.figures import start
from ampbench.visualize.judge.verdict.start import first_steps
from ampbench.visualize.judge.verdict.verdict import verdicts_of
from ampbench.visualize.read.frame import read


@pytest.mark.parametrize("asked", [None, 200])
def test_it_is_shown_where_a_file_asked_for_the_start(asked, matrix):
    assert start.FIGURE.shown(read(matrix(over={"start_steps": asked}))) is (asked is not None)


def test_lines_end_at_the_loss_that_is_judged_and_the_margin_lies_above_the_reference(matrix):
    results = read(matrix(recipes=("fp32", "bf16", "bf16_amp"), over={"start_steps": 200}))
    fig, ax = plt.subplots()
    assert start.draw(results, ax) is ax
    fig.canvas.draw()
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    judged = {v.recipe: v.start for v in verdicts_of(results)}
    for recipe, found in judged.items():
        assert lines[recipe][-1] - lines["fp32"][-1] == pytest.approx(found.estimate)
    np.testing.assert_allclose(lines["_margin"] - lines["fp32"], judged["bf16"].margin)
    for recipe, found in judged.items():
        assert f"{recipe}: {found}" in " ".join(ax.get_xlabel().split()), "in the words of the table"
        assert f"{recipe}: {found}." in start.describe(results)
    plt.close(fig)


def test_without_steps_it_is_a_sentence(matrix):
    path = matrix(over={"start_steps": 200})
    (path / "steps.parquet").unlink()
    fig, ax = plt.subplots()
    start.draw(read(path), ax)
    assert ax.texts[0].get_text() == "No loss of first steps was recorded, so there is nothing to draw."
    plt.close(fig)


def test_a_loss_that_is_not_finite_leaves_a_gap_and_a_single_recipe_is_drawn_alone(matrix, folder):
    path = matrix(recipes=("bf16",), over={"start_steps": 200})
    for row in folder.rows["steps"]:
        row["loss"] = float("nan") if row["step"] > 150 else row["loss"]
    folder.write()
    results = read(path)
    assert start.smoothed(first_steps(results))["y"].isna().any()
    fig, ax = plt.subplots()
    start.draw(results, ax)
    fig.canvas.draw()
    plt.close(fig)
