"""Figures: what is drawn, what is named instead, and odd results that every figure must handle."""

from __future__ import annotations

import dataclasses

import matplotlib
import numpy as np
import pandas as pd
import pytest

from tests.visualize.conftest import cell

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.colors import to_hex

from ampbench.visualize.figures import accuracy, loss, memory, theme, throughput
from ampbench.visualize.figures.loss import windows
from ampbench.visualize.figures.panels import chosen
from ampbench.visualize.figures.shared import batch_sizes, curves
from ampbench.visualize.figures.sheet.sheet import sheet
from ampbench.visualize.read.frame import read

pytestmark = pytest.mark.whole

DRAWN = (throughput.draw, memory.draw, accuracy.draw, loss.draw)


@pytest.fixture
def ax():
    """Return axes, and close them after the test."""
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def words(ax):
    """Return all text in the axes, the label of the x axis included."""
    return " | ".join([*(t.get_text() for t in ax.texts), ax.get_xlabel(), ax.get_ylabel()])


@pytest.mark.parametrize("draw", DRAWN)
def test_a_figure_returns_the_axes_it_was_given(matrix, ax, draw):
    assert draw(read(matrix(seeds=(0, 1))), ax) is ax
    ax.figure.canvas.draw()
    named = ax.get_yticklabels() if draw in DRAWN[:2] else ax.get_legend().get_texts()
    assert [t.get_text() for t in named][:2] == ["fp32", "bf16_amp"], "rows have names, lines a legend"


@pytest.mark.parametrize("draw", DRAWN)
def test_when_all_cells_failed_a_figure_is_a_sentence(matrix, ax, draw):
    draw(read(matrix(ends={"fp32": "crashed", "bf16_amp": "crashed"})), ax)
    assert not ax.axison
    assert len(ax.texts) == 1
    assert ax.texts[0].get_text().startswith("No ")


@pytest.mark.parametrize("draw", DRAWN)
def test_one_recipe_and_one_seed_are_enough(matrix, ax, draw):
    draw(read(matrix(recipes=("bf16",), seeds=(0,))), ax)
    ax.figure.canvas.draw()
    assert ax.axison


@pytest.mark.parametrize("draw", DRAWN[2:])
def test_a_timing_has_no_curves(matrix, ax, draw):
    draw(read(matrix(epochs=0)), ax)
    assert not ax.axison


@pytest.mark.parametrize("draw", DRAWN[2:])
def test_a_curve_refuses_two_batch_sizes(matrix, ax, draw):
    with pytest.raises(
        ValueError, match=r"drawn for one batch_size, and there are 2: use results.where\(batch_size=64"
    ):
        draw(read(matrix(batch_sizes=(64, 128))), ax)


@pytest.mark.parametrize("draw", DRAWN[:2])
def test_a_missing_bar_says_why(matrix, ax, draw):
    draw(read(matrix(("fp32", "tf32", "fp16"), ends={"tf32": "unsupported", "fp16": "excluded"})), ax)
    rows = {tick.get_text(): y for tick, y in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True)}
    said = {text.get_text(): text.xy[1] for text in ax.texts}
    assert said["unsupported"] == rows["tf32"]
    assert said["excluded"] == rows["fp16"]


@pytest.mark.parametrize("draw", DRAWN[2:])
def test_a_diverged_run_is_in_no_curve_and_is_named(folder, ax, draw):
    for seed in range(2):
        folder.add(cell("fp32", seed=seed))
        folder.add(cell("fp16", seed=seed), "diverged")
        folder.add(cell("fp16_amp", seed=seed), "diverged" if seed else "ok")
    draw(read(folder.write()), ax)
    assert "Left out: fp16 (diverged); fp16_amp seed 1 (diverged)." in words(ax)
    assert [line.get_label() for line in ax.lines] == ["fp32", "fp16_amp"]


@pytest.mark.parametrize("draw", DRAWN[:2])
def test_bars_start_at_zero(matrix, ax, draw):
    draw(read(matrix(recipes=("fp32", "bf16", "fp16_amp"), batch_sizes=(64, 128))), ax)
    assert ax.get_xlim()[0] == 0


def test_a_bar_of_the_speed_has_its_recipes_colour_and_hatch(matrix, ax):
    recipes = ("fp32", "bf16", "fp16_amp")
    throughput.draw(read(matrix(recipes=recipes, batch_sizes=(64, 128))), ax)
    looks = {(to_hex(p.get_facecolor()), p.get_hatch() or "") for p in ax.patches}
    assert looks == {(theme.BUILT_IN[r].colour, theme.BUILT_IN[r].hatch) for r in recipes}


def test_every_process_is_a_dot(matrix, ax):
    results = read(matrix(batch_sizes=(64, 128)))
    throughput.draw(results, ax)
    dots = np.concatenate([c.get_offsets()[:, 0] for c in ax.collections if len(c.get_offsets()) == 3])
    assert sorted(dots) == pytest.approx(sorted(results.cells["images_per_s"]))


def test_the_memory_axis_names_the_instrument(matrix, ax):
    memory.draw(read(matrix(over={"memory_instrument": "rss"})), ax)
    assert "of the process's resident set, libraries included" in ax.get_xlabel()


def test_bars_of_memory_are_medians_in_mib(matrix, ax):
    results = read(matrix(recipes=("fp32",)))
    memory.draw(results, ax)
    [outline] = [p for p in ax.patches if not p.get_fill()]
    assert outline.get_width() == pytest.approx(results.cells["steady_peak_bytes"].median() / 2**20)


def test_a_line_is_the_mean_and_its_band_the_extremes_of_the_seeds(matrix, ax):
    results = read(matrix(recipes=("fp32",)))
    accuracy.draw(results, ax)
    by_epoch = 100 * results.epochs.groupby("epoch")["test_accuracy"].agg(["mean", "min", "max"])
    assert ax.lines[0].get_ydata() == pytest.approx(by_epoch["mean"].to_numpy())
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((by_epoch["min"].min(), by_epoch["max"].max()))


def test_the_last_quarter_of_a_curve_is_enlarged_and_never_two_points(matrix, folder, ax):
    accuracy.draw(read(matrix(recipes=("fp32",))), ax)
    (zoom,) = ax.child_axes
    assert zoom.get_xlim() == (16, 20)
    folder.rows = {name: [] for name in folder.rows}
    accuracy.draw(read(matrix(recipes=("fp32",), epochs=10)), other := plt.subplots()[1])
    plt.close(other.figure)
    assert not other.child_axes


def test_a_collapsed_recipe_does_not_flatten_the_enlargement(folder, ax):
    for recipe in ("fp32", "bf16_amp", "fp16_amp"):
        folder.add(cell(recipe))
    folder.add(cell("fp16"))
    fp16 = folder.rows["cells"][-1]["cell_id"]
    for row in folder.rows["epochs"]:
        row["test_accuracy"] = 0.1 if row["cell_id"] == fp16 else row["test_accuracy"]
    accuracy.draw(read(folder.write()), ax)
    assert ax.child_axes[0].get_ylim()[0] > 80


def test_stretches_count_every_step_once(matrix):
    steps = read(matrix(recipes=("fp32", "bf16"), seeds=(0, 1))).steps
    points, length = windows(steps, most=30)
    assert length == 7  # 200 steps in at most 30 windows
    first = steps[(steps["recipe"] == "fp32") & (steps["seed"] == 0) & (steps["step"] <= length)]
    fp32 = points[(points["recipe"] == "fp32") & (points["x"] == length)]
    assert len(fp32) == 2
    assert fp32["y"].iloc[0] == pytest.approx(first["loss"].mean())
    last = points[
        points["x"] > 200
    ]  # 4 steps remain for the last window: its value is their mean, not their sum over 7
    assert last["y"].max() < 0.2
    assert len(points) == 4 * 29


def test_smoothing_is_said_on_the_axis(matrix, ax):
    loss.draw(read(matrix()), ax)
    assert ax.get_xlabel() == "step (each point the mean of 2 steps)"


def test_a_sheet_has_one_legend_for_all_panels(matrix):
    results = read(matrix(batch_sizes=(64, 128)))
    fig = sheet(accuracy.FIGURE, chosen(accuracy.FIGURE, results))
    drawn = [ax for ax in fig.axes if ax.axison]
    assert [ax.get_title(loc="left") or ax.get_title() for ax in drawn] == ["VGG19, batch 64", "VGG19, batch 128"]
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["fp32", "bf16_amp"]
    assert len(fig.legends) == 1
    assert not any(ax.get_legend() for ax in drawn)


def of_one_recipe(matrix, **given):
    return read(matrix(recipes=("bf16",), **given))


@pytest.mark.parametrize("column", ["test_accuracy", "train_loss"])
def test_lines_by_batch_size_are_told_apart_and_in_order(matrix, ax, column):
    batch_sizes.draw(of_one_recipe(matrix, batch_sizes=(128, 8, 16), seeds=(0, 1)), ax, column=column)
    ax.figure.canvas.draw()
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["batch 8", "batch 16", "batch 128"]
    assert len({to_hex(line.get_color()) for line in ax.get_lines()}) == 3


def test_a_line_by_batch_size_is_the_mean_over_the_seeds(matrix, ax):
    results = of_one_recipe(matrix, batch_sizes=(8,), seeds=(0, 1))
    batch_sizes.draw(results, ax, column="test_accuracy")
    wanted = 100 * results.epochs.groupby("epoch")["test_accuracy"].mean()
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), wanted)


def test_a_batch_size_that_diverged_is_left_out_and_named(matrix, ax):
    folder = matrix(recipes=("bf16",), batch_sizes=(8, 16, 32), seeds=(0,))
    results = read(folder)
    bad = results.cells["batch_size"].isin([8, 16])
    results = dataclasses.replace(results, cells=results.cells.assign(status=np.where(bad, "diverged", "ok")))
    batch_sizes.draw(results, ax, column="train_loss")
    assert "Left out: batch 8, 16 (diverged)." in ax.get_xlabel()
    assert len(ax.get_lines()) == 1
    assert batch_sizes.describe(results, column="train_loss").startswith("training loss at the end: batch 32 ")


def test_a_seed_that_diverged_at_a_batch_size_that_is_drawn_is_named(matrix, ax):
    results = of_one_recipe(matrix, batch_sizes=(8, 16), seeds=(0, 1))
    bad = (results.cells["batch_size"] == 16) & (results.cells["seed"] == 1)
    results = dataclasses.replace(results, cells=results.cells.assign(status=np.where(bad, "diverged", "ok")))
    batch_sizes.draw(results, ax, column="train_loss")
    assert "Left out: batch 16 seed 1 (diverged)." in ax.get_xlabel()


def test_lines_by_batch_size_refuse_two_recipes(matrix, ax):
    with pytest.raises(ValueError, match=r"use results.where\(recipe='fp32'\)"):
        batch_sizes.draw(read(matrix()), ax, column="train_loss")


def test_the_inset_of_a_loss_that_ends_high_covers_none_of_it(ax):
    """The y axis starts at zero, so the curves end higher in the axes than with limits from the data alone."""
    steps = np.arange(1, 101)
    loss = 2 + 3 * np.exp(-steps / 8)
    points = pd.DataFrame({"recipe": "fp32", "x": steps, "y": loss})
    curves.draw_curves(ax, points, theme.styles(["fp32"]), enlarged=0.25, from_zero=True)
    ax.figure.canvas.draw()
    box = ax.child_axes[0].get_window_extent()
    at = ax.transData.transform(np.column_stack([steps, loss]))
    assert not any(box.contains(*point) for point in at)


def test_no_axis_holds_an_infinite_loss(ax):
    points = pd.DataFrame({"recipe": "fp32", "x": range(1, 21), "y": [2.3 - x / 10 for x in range(17)] + [np.inf] * 3})
    curves.draw_curves(ax, points, theme.styles(["fp32"]), enlarged=0.25, from_zero=True)
    assert np.isfinite(ax.get_ylim()).all()
    points["y"] = np.inf
    curves.draw_curves(ax, points, theme.styles(["fp32"]), enlarged=0.25, from_zero=True)
