"""Figures of memory: the peak of each recipe is marked, and the numbers are the difference of two recipes."""

from __future__ import annotations

import matplotlib
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.colors import to_hex

from ampbench.schema.memory import MIB
from ampbench.schema.memory_history import CATEGORIES
from ampbench.visualize.figures import memory_by_purpose, memory_timeline, theme
from ampbench.visualize.figures.memory_diff import by_category, describe_composition, draw_composition
from ampbench.visualize.figures.memory_timeline import describe_levels, draw_levels
from ampbench.visualize.read.frame import read
from tests.support.traced import traced
from tests.visualize.conftest import cell

HELD = {
    "fp32": {"weights": 76, "gradients": 76, "optimizer state": 76, "activations": 400, "other": 1},
    "bf16_amp": {"weights": 76, "gradients": 76, "optimizer state": 76, "autocast cache": 38, "activations": 210},
}


@pytest.fixture
def ax():
    """Return axes, and close them after the test."""
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


@pytest.fixture
def line():
    """Memory of two recipes: bf16_amp records twice as many events and peaks at 300 MiB, fp32 at 500."""
    levels = {"fp32": [100, 500, 300, 100], "bf16_amp": [100, 150, 300, 200, 250, 150, 100]}
    rows = [(recipe, i, 5.0 * i, mib * MIB) for recipe, line in levels.items() for i, mib in enumerate(line)]
    return pd.DataFrame(rows, columns=["recipe", "event", "time_ms", "allocated_bytes"])


@pytest.fixture
def held():
    """What two recipes hold at their peaks; activations come from two call sites."""
    rows = [
        (recipe, category, site, mib * MIB / 2)
        for recipe, sizes in HELD.items()
        for category, mib in sizes.items()
        for site in ("models/vgg.py:38 forward", "train/step.py:39 train_step")
    ]
    return pd.DataFrame(rows, columns=["recipe", "category", "call_site", "allocated_bytes"])


def test_each_recipe_s_peak_is_marked_where_it_is_and_named(line, ax):
    assert draw_levels(line, ax) is ax
    marks = {mark.get_label(): mark for mark in ax.get_lines() if mark.get_marker() not in ("None", None)}
    assert list(marks) == ["fp32", "bf16_amp"]
    assert [text.get_text() for text in ax.texts] == ["peaks (MiB): fp32 500, bf16_amp 300"]
    fp32, bf16 = marks.values()
    assert (fp32.get_xdata()[0], fp32.get_ydata()[0]) == (pytest.approx(1 / 3), 500)
    assert (bf16.get_xdata()[0], bf16.get_ydata()[0]) == (pytest.approx(2 / 6), 300)
    assert [to_hex(mark.get_color()) for mark in marks.values()] == [
        theme.BUILT_IN[recipe].colour for recipe in ("fp32", "bf16_amp")
    ]


@pytest.mark.parametrize("num_recipes", [1, 9])
def test_the_words_on_the_peaks_lie_on_no_line(num_recipes, line, ax):
    fp32 = line[line["recipe"] == "fp32"]
    draw_levels(pd.concat([fp32.assign(recipe=recipe) for recipe in [*theme.BUILT_IN][:num_recipes]]), ax)
    ax.figure.set_size_inches(5, 2.1)
    ax.figure.canvas.draw()
    [words] = ax.texts
    lowest = words.get_window_extent().y0
    assert ax.transData.transform((0, 500))[1] < lowest


def test_the_lines_share_an_axis_that_starts_at_zero(line, ax):
    draw_levels(line, ax)
    assert ax.get_ylim()[0] == 0
    lines = [drawn for drawn in ax.get_lines() if len(drawn.get_xdata()) > 1]
    assert {(drawn.get_xdata()[0], drawn.get_xdata()[-1]) for drawn in lines} == {(0, 1)}
    assert "MiB" in ax.get_ylabel()


def test_a_row_out_of_order_changes_no_line(line, ax):
    draw_levels(line.sample(frac=1, random_state=0), ax)
    first = ax.get_lines()[0]
    assert list(first.get_ydata()) == [100, 500, 300, 100]


def test_the_line_is_described_in_words(line):
    assert describe_levels(line) == "peak in MiB: fp32 500, bf16_amp 300"


def test_the_difference_is_the_second_minus_the_first_by_category_and_in_total(held, ax):
    assert draw_composition(held, ax) is ax
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    assert names == ["weights", "gradients", "optimizer state", "autocast cache", "activations", "other"]
    assert [text.get_text() for text in ax.texts] == ["0", "0", "0", "+38", "−190", "−1.0"]
    assert ax.get_xlabel().endswith("fp32 629, bf16_amp 476: −153, −24%")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["fp32", "bf16_amp"]


def test_bars_are_as_long_as_what_is_held_and_start_at_zero(held, ax):
    draw_composition(held, ax)
    for container, recipe in zip(ax.containers, HELD, strict=True):
        lengths = [bar.get_width() for bar in container]
        assert lengths == [HELD[recipe].get(category, 0) for category in by_category(held).index]
        assert {to_hex(bar.get_facecolor()) for bar in container} == {theme.BUILT_IN[recipe].colour}
    assert ax.get_xlim()[0] == 0


@pytest.mark.parametrize("recipes", [("fp32",), ("fp32", "bf16_amp", "tf32")])
def test_only_two_recipes_are_compared(held, recipes, ax):
    frame = pd.concat([held[held["recipe"] == "fp32"].assign(recipe=recipe) for recipe in recipes])
    with pytest.raises(ValueError, match=rf"two recipes are compared, and there are {len(recipes)} .*: choose two"):
        draw_composition(frame, ax)


def test_a_category_that_this_code_does_not_know_comes_last(held):
    held.loc[held["category"] == "weights", "category"] = "new kind"
    assert list(by_category(held).index)[-1] == "new kind"


def test_a_category_of_a_column_read_from_parquet_is_no_row_of_its_own(held):
    frame = held.astype({"recipe": "category", "category": "category"})
    chosen = frame[frame["category"] != "other"]
    assert list(by_category(chosen).index) == [c for c in CATEGORIES if c in set(chosen["category"])]


def test_the_difference_is_described_in_words(held):
    words = describe_composition(held)
    assert words.startswith("memory at the peak in MiB, bf16_amp minus fp32: −153; ")
    assert "autocast cache +38" in words


@pytest.mark.parametrize("draw", [draw_levels, draw_composition])
def test_without_a_history_a_figure_is_a_sentence(draw, held, line, ax):
    frame = (line if draw is draw_levels else held).iloc[:0]
    draw(frame, ax)
    assert not ax.axison
    assert ax.texts[0].get_text().startswith("No history of the memory was recorded")


def test_every_category_of_the_file_has_its_row_in_the_order_of_the_schema(ax):
    rows = [(recipe, category, 1.0) for recipe in ("fp32", "bf16") for category in sorted(CATEGORIES)]
    draw_composition(pd.DataFrame(rows, columns=["recipe", "category", "allocated_bytes"]), ax)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(CATEGORIES)


@pytest.fixture
def recorded(folder):
    """Write a folder in which a GPU's allocator was recorded, with categories over time."""
    for recipe in ("fp32", "bf16_amp"):
        folder.add(cell(recipe))
    return read(traced(folder).write())


def test_the_categories_are_stacked_to_the_line_of_the_recipe(recorded, ax):
    own = recorded.where(recipe="bf16_amp")
    held, line = memory_by_purpose.parts_of(own), memory_timeline.levels_of(own)
    assert list(held) == ["weights", "gradients", "optimizer state", "activations"]
    assert held.sum(axis=1).to_numpy() == pytest.approx(line.sort_values("event")["allocated_bytes"].to_numpy() / MIB)
    memory_by_purpose.draw(own, ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(held)
    assert ax.get_ylim()[0] == 0
    assert "activations" in memory_by_purpose.describe(own)


def test_the_line_over_steps_counts_nothing_twice(recorded, ax):
    memory_timeline.draw(recorded, ax)
    peaks = recorded.rows_of("memory").groupby("recipe", observed=True)["allocated_bytes"].max() / MIB
    assert [text.get_text() for text in ax.texts] == [
        f"peaks (MiB): fp32 {peaks['fp32']:,.0f}, bf16_amp {peaks['bf16_amp']:,.0f}"
    ]


def test_older_results_without_categories_have_the_line_and_no_areas(recorded, ax):
    path = recorded.folder / "memory.parquet"
    table = pq.read_table(path)
    pq.write_table(table.filter(pc.is_null(table["category"])).drop_columns("category"), path)
    older = read(recorded.folder)
    assert not memory_by_purpose.FIGURE.shown(older)
    assert memory_timeline.FIGURE.shown(older)
    memory_by_purpose.draw(older.where(recipe="fp32"), ax)
    assert not ax.axison
