"""The list of figures: every figure on it is on the page, and every file with a figure is on the list."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ampbench.visualize import figures
from ampbench.visualize.read.frame import read
from ampbench.visualize.show import pictures
from tests.conftest import ROOT

FOLDER = ROOT / "visualize" / "figures"
SHARED = {"__init__", "figure", "panels", "theme"}
"""Files without a figure, which every figure uses."""

PLANTED = """
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared import bars

def draw(results, ax):
    return bars.say(ax, f"{results.subjects[0]} {results.batch_sizes} {results.recipes}")

FIGURE = Figure(
    name="planted_name", title="Planted title", caption="Planted caption.", draw=draw,
    describe=lambda results: f"in words {results.batch_sizes}", by_batch_size=True, shown=lambda results: SHOWN,
)
"""


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Add a file with a figure, and its name to the list."""

    def plant(text: str) -> None:
        (tmp_path / "planted.py").write_text(text)
        monkeypatch.setattr(figures, "__path__", [*figures.__path__, str(tmp_path)])
        monkeypatch.setattr(figures, "NAMES", ("planted",))
        monkeypatch.delitem(sys.modules, f"{figures.__name__}.planted", raising=False)

    return plant


def test_every_file_that_draws_has_its_figure_on_the_list() -> None:
    texts = {path.stem: path.read_text() for path in FOLDER.glob("*.py")}
    assert texts.keys() == {*figures.NAMES, *SHARED}
    assert {name for name, text in texts.items() if "\nFIGURE = " in text} == set(figures.NAMES)
    assert len(set(figures.NAMES)) == len(figures.NAMES)


def test_no_two_figures_share_a_name_or_a_title() -> None:
    found = [figures.load(name) for name in figures.NAMES]
    assert len({figure.name for figure in found}) == len({figure.title for figure in found}) == len(found)
    assert all(figure.caption.endswith(".") for figure in found)


def test_a_planted_figure_is_on_the_page(matrix: Callable[..., Path], plant: Callable[[str], None]) -> None:
    plant(PLANTED.replace("SHOWN", "True"))
    [picture] = pictures.draw(read(matrix(batch_sizes=(64, 128), seeds=(0,))))
    assert (picture.stem, picture.title) == ("planted_name", "Planted title of VGG19")
    assert picture.caption == "Planted caption."


def test_a_planted_figure_that_draws_has_a_picture_and_words(
    matrix: Callable[..., Path], plant: Callable[[str], None]
) -> None:
    plant(PLANTED.replace("SHOWN", "True").replace("bars.say(", "(lambda ax, words: ax)("))
    [picture] = pictures.draw(read(matrix(batch_sizes=(64, 128), seeds=(0,))))
    assert picture.png.startswith(b"\x89PNG")
    assert b"<svg" in picture.svg
    assert picture.words == "VGG19, batch 64: in words [64]; VGG19, batch 128: in words [128]"


def test_a_figure_that_these_results_do_not_ask_for_is_on_no_page(
    matrix: Callable[..., Path], plant: Callable[[str], None]
) -> None:
    plant(PLANTED.replace("SHOWN", "False"))
    results = read(matrix(seeds=(0,)))
    assert pictures.draw(results) == []
    assert pictures.not_drawn(results) == ["Not drawn, as these results hold nothing for it: planted title."]


def test_panels_are_of_one_batch_size_and_one_recipe_where_the_figure_says_so(matrix: Callable[..., Path]) -> None:
    results = read(matrix(batch_sizes=(64, 128), seeds=(0,)))
    assert list(figures.load("throughput").panels(results)) == ["VGG19"]
    assert list(figures.load("loss").panels(results)) == ["VGG19, batch 64", "VGG19, batch 128"]
    assert list(figures.load("loss_by_batch_size").panels(results)) == ["VGG19, fp32", "VGG19, bf16_amp"]
    assert len(figures.load("underflow").panels(results)) == 4


def test_the_list_is_read_without_a_library_that_draws() -> None:
    code = "import sys, ampbench.visualize.figures as f; sys.exit(bool({'matplotlib', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.filterwarnings("error:Glyph")
def test_a_name_in_letters_that_the_font_lacks_is_drawn_without_a_warning(
    matrix: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "DPI", 30)
    monkeypatch.setattr(pictures.figures, "NAMES", ("throughput",), raising=False)
    assert pictures.draw(read(matrix(seeds=(0,), model="数据:网络")))
