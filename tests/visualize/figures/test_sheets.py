"""Sheets and pictures: what every one of them has, what is left out, and what they cost a page."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from PIL import Image

from ampbench.schema.memory import MIB
from ampbench.visualize import figures
from ampbench.visualize.figures import learning_rate, memory, phases, speedup, theme, throughput
from ampbench.visualize.figures.panels import chosen, spread
from ampbench.visualize.figures.shared import bars, memory_kinds
from ampbench.visualize.figures.sheet.sheet import sheet
from ampbench.visualize.judge.runs.replicates import geometric_mean
from ampbench.visualize.judge.verdict.judged import judged
from ampbench.visualize.judge.verdict.verdict import verdicts_of
from ampbench.visualize.read.frame import read
from ampbench.visualize.read.peaks import instrument_of
from ampbench.visualize.show import pictures
from tests.support.big_results import big_results
from tests.support.traced import traced
from tests.visualize.conftest import Folder, cell

OF_A_SEARCH = ("importance", "parallel_coordinates")
"""Drawn of a folder of trials; tests/visualize/show/test_trials.py has one."""
FILLED = tuple(name for name in figures.NAMES if not name.startswith("waterfall") and name not in OF_A_SEARCH)
"""The figures that the folder below has results for; those of the explanation have a test of their own."""
RECIPES = ("fp32", "tf32", "fp16", "bf16_amp", "fp16_amp_scaled")


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Return results for which every figure is drawn: a GPU's, with failures."""
    folder = Folder(tmp_path_factory.mktemp("results") / "x")
    for seed in range(2):
        for size in (64, 256):
            for recipe in RECIPES:
                bad = (
                    "oom"
                    if recipe == "fp32" and size == 256
                    else "diverged"
                    if recipe == "fp16" and size == 64
                    else "ok"
                )
                folder.add(cell(recipe, size, seed), bad)
    return read(traced(folder).write())


@pytest.fixture(scope="module")
def drawn(everything):
    """Return the sheets of every figure, by name."""
    theme.use()
    kinds = {name: figures.load(name) for name in figures.NAMES}
    found = {name: sheet(kind, chosen(kind, everything), kind.title) for name, kind in kinds.items()}
    assert plt.get_fignums() == [], "nobody has to close what pyplot does not hold"
    return found


def test_a_folder_that_holds_everything_has_every_figure(everything):
    assert [name for name in FILLED if not figures.load(name).shown(everything)] == []


@pytest.mark.parametrize("name", FILLED)
def test_every_sheet_names_n_machine_and_method_at_its_foot(drawn, name):
    said = " ".join(text.get_text() for text in drawn[name].texts)
    assert "n = " in said
    assert "Test GPU" in said
    assert "method 1" in said


@pytest.mark.parametrize("name", FILLED)
def test_no_word_leaves_the_sheet_or_covers_another_panel(drawn, name):
    fig = drawn[name]
    fig.draw_without_rendering()
    renderer = FigureCanvasAgg(fig).get_renderer()
    boxes = [ax.get_tightbbox(renderer) for ax in fig.axes if ax.axison]
    for box in boxes:
        assert box.x0 >= -1, "left"
        assert box.x1 <= fig.bbox.width + 1, "right"
        assert box.y0 >= -1, "below"
        assert box.y1 <= fig.bbox.height + 1, "above"
    boxes = [box.padded(-1) for box in boxes]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


@pytest.mark.parametrize("name", FILLED)
def test_a_figure_says_in_words_what_it_shows(everything, name):
    figure = figures.load(name)
    assert all(len(figure.describe(own)) > 20 for own in chosen(figure, everything).shown.values())


def test_panels_of_one_sheet_have_the_same_axes(drawn):
    for name in (name for name in figures.NAMES if figures.load(name).shared):
        axes = [ax for ax in drawn[name].axes if ax.axison]
        for axis in "xy" if figures.load(name).shared == "both" else figures.load(name).shared:
            assert len({getattr(ax, f"get_{axis}lim")() for ax in axes}) == 1, name


def test_the_numbers_behind_bars_are_those_of_the_verdicts_on_the_whole_folder(everything):
    fig, ax = plt.subplots()
    throughput.draw(everything.where(batch_size=64), ax)
    said = {text.get_text().split("  ")[-1] for text in ax.texts}
    for verdict in verdicts_of(everything):
        if verdict.batch_size == 64:
            assert bars.times(verdict.speed) in said, "of the family of all comparisons, not of the panel's"
    plt.close(fig)


def test_a_selection_keeps_the_verdicts_of_the_whole(everything):
    whole = judged(everything)
    assert judged(everything.where(batch_size=64)) == {key: v for key, v in whole.items() if key[1] == 64}


def test_the_map_has_a_line_for_each_batch_size_and_words_for_what_failed(everything):
    fig, ax = plt.subplots()
    speedup.draw(everything, ax)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["batch 64", "batch 256"]
    assert {"oom", "diverged", "1"} <= {text.get_text() for text in ax.texts}
    plt.close(fig)


def test_the_parts_of_a_peak_sum_to_it(everything):
    cells = everything.ok[everything.ok["recipe"] == "bf16_amp"]
    parts = memory_kinds.parts_of(cells, instrument_of(cells))
    assert sum(parts.values()) == pytest.approx(geometric_mean(cells["steady_peak_bytes"]) / MIB)
    assert parts["cast copies"] == 40


def test_the_parts_of_an_allocators_peak_hold_no_libraries(folder):
    for recipe in ("fp32", "bf16"):
        folder.add(cell(recipe), memory_instrument="rss", allocator_peak_bytes=5 * MIB, weights_bytes=MIB)
    results = read(folder.write())
    assert memory_kinds.parts_of(results.ok, instrument_of(results.ok)) == {
        "weights": 1,
        memory_kinds.REST: 4,
    }


def test_recipes_with_the_same_learning_rates_share_lines_that_are_steps(everything):
    fig, ax = plt.subplots()
    learning_rate.draw(everything, ax)
    assert [line.get_label() for line in ax.get_lines()] == ["batch 64", "batch 256"]
    assert {line.get_drawstyle() for line in ax.get_lines()} == {"steps-post"}
    plt.close(fig)


def test_recipes_with_other_learning_rates_have_lines_of_their_own(folder):
    for recipe in ("fp32", "bf16"):
        folder.add(cell(recipe))
    traced(folder)
    slow = folder.rows["cells"][-1]["cell_id"]
    for row in folder.rows["epochs"]:
        row["learning_rate"] *= 0.5 if row["cell_id"] == slow else 1
    fig, ax = plt.subplots()
    learning_rate.draw(read(folder.write()), ax)
    assert [line.get_label() for line in ax.get_lines()] == ["fp32, batch 128", "bf16, batch 128"]
    plt.close(fig)


def test_numbers_on_phases_have_a_contrast_of_four_and_a_half(everything):
    fig, ax = plt.subplots()
    phases.draw(everything.where(batch_size=64), ax)
    for text in ax.texts:
        if text.get_bbox_patch():
            on, ink = (np.array(to_rgb(c)) for c in (text.get_bbox_patch().get_facecolor()[:3], text.get_color()))
            light = [
                np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
                for c in (on, ink)
            ]
            assert (max(light) + 0.05) / (min(light) + 0.05) >= 4.5
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"data", "forward", "backward", "update"}
    plt.close(fig)


def test_a_picture_is_opaque_white_at_its_edges_so_that_a_dark_page_can_show_it(everything, monkeypatch):
    monkeypatch.setattr(figures, "NAMES", ("throughput",))
    [picture] = pictures.draw(everything)
    image = Image.open(io.BytesIO(picture.png)).convert("RGBA")
    assert {image.getpixel((x, y)) for x in (0, image.width - 1) for y in (0, image.height - 1)} == {(255,) * 4}
    assert picture.key


def test_equal_results_give_equal_files(everything, monkeypatch):
    monkeypatch.setattr(figures, "NAMES", ("speed_and_memory",))
    first, second = pictures.draw(everything), pictures.draw(everything)
    assert first == second


@pytest.mark.parametrize(("count", "most", "places"), [(3, 6, [0, 1, 2]), (11, 3, [0, 5, 10]), (5, 1, [0]), (0, 3, [])])
def test_representatives_are_evenly_spread(count, most, places):
    assert spread(count, most) == places


def test_the_number_of_panels_and_bars_is_bounded(tmp_path: Path):
    results = read(big_results(tmp_path / "big", 495, epochs=3))
    for name in figures.NAMES:
        figure = figures.load(name)
        if figure.shown(results):
            assert len(chosen(figure, results).shown) <= 6
    assert len(list(bars.rows(results))) <= bars.MOST_BARS
    assert len(speedup.lines(results)) == 11
    assert memory.FIGURE.height_in(results) < 9


def test_of_many_subjects_some_have_figures_and_the_others_are_named(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(figures, "NAMES", ("speedup", "throughput"))
    folder = Folder(tmp_path / "many")
    for number, size, recipe in itertools.product(range(pictures.MOST_SUBJECTS + 2), (64, 128), ("fp32", "bf16")):
        folder.add(cell(recipe, size, model=f"net{number}", epochs=0))
    results = read(folder.write())
    found = pictures.draw(results)
    assert len(found) == 1 + pictures.MOST_SUBJECTS
    [sentence] = pictures.not_drawn(results)
    assert "--only model=NAME" in sentence


def test_a_long_or_odd_name_does_not_widen_a_sheet(tmp_path: Path):
    folder = Folder(tmp_path / "x")
    for model in ("<b>" * 100, "net"):
        for size in (1, 2):
            for recipe in ("fp32", "bf16"):
                for seed in (0, 1):
                    folder.add(cell(recipe, size, seed, model=model, epochs=0))
    results = read(folder.write())
    fig = sheet(speedup.FIGURE, chosen(speedup.FIGURE, results))
    assert fig.get_figwidth() == 6.4
    FigureCanvasAgg(fig).draw()
    assert fig.axes[0].get_window_extent().width > 0.3 * fig.bbox.width
