"""Tables for a terminal: at every width, every word of every cell is complete."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from ampbench.visualize import report
from ampbench.visualize.judge.compare import side
from ampbench.visualize.judge.compare.comparison import compare
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.verdict import verdict
from ampbench.visualize.read import frame
from ampbench.visualize.show import formats, table
from ampbench.visualize.show.text_table import WORD, draw
from tests.fuzz.conftest import drawn
from tests.support.thinned import thinned
from tests.visualize.conftest import Folder, matrix_in

WORDS = st.sampled_from(
    ["11,852 ±0.5%", "1.18x [1.06, 1.31]", "can't tell", "–", "fp16_amp_scaled", "96.67 ± 0.28", "日本語"]
)


def words_of(lines: str) -> list[str]:
    return sorted(word for line in lines.splitlines() for word in WORD.findall(line))


@drawn(2000, 200)
@given(data=st.data(), width=st.integers(20, 200), columns=st.integers(1, 9), count=st.integers(1, 4))
def test_no_word_is_ever_cut_or_lost(data: st.DataObject, width: int, columns: int, count: int) -> None:
    rows = [{f"head {i}": data.draw(WORDS) for i in range(columns)} for _ in range(count)]
    keys = [f"head {i}" for i in range(data.draw(st.integers(0, min(3, columns))))]
    drawn_table = draw(rows, width, keys=keys, title="A title")
    there = words_of(drawn_table)
    for row in rows:
        for text in row.values():
            assert all(word in there for word in WORD.findall(text)), text
    assert max(map(cell_len, drawn_table.splitlines())) <= max(width, 30)


def test_a_title_is_as_wide_as_the_terminal_and_not_as_its_table() -> None:
    title = "What was learned: LeNet, 62,006 parameters"
    assert draw([{"batch": "64", "F1 %": "15.22"}], 80, title=title).splitlines()[0] == title
    assert max(map(len, draw([{"batch": "64"}], 30, title=title).splitlines())) <= 30


@pytest.fixture(scope="module")
def folder_of_two(tmp_path_factory):
    """Return a folder of two recipes."""
    return matrix_in(Folder(tmp_path_factory.mktemp("results")))(recipes=("fp32", "fp16_amp_scaled"), batch_sizes=(64,))


@pytest.fixture(scope="module")
def compared(folder_of_two):
    """Return the comparisons of one with the other."""
    results = frame.read(folder_of_two)
    sides = side.choose("A", results, ["precision=fp32"]), side.choose("B", results, ["precision=fp16_amp_scaled"])
    return compare(*sides).comparisons


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 200])
def test_compare_holds_the_same_numbers_at_every_width(compared, width):
    wide, narrow = formats.grid(compared, 400), formats.grid(compared, width)
    assert "…" not in narrow
    assert set(words_of(wide)) - {"─" * 200} <= set(words_of(narrow)) | {w for w in words_of(wide) if "─" in w}
    if width >= 40:
        assert max(map(len, narrow.splitlines())) <= width


@pytest.fixture(scope="module")
def rows(folder_of_two):
    """Return where both stand."""
    results = frame.read(folder_of_two)
    return standings(results, verdict.judge(results.cells))


@pytest.mark.parametrize("width", thinned([60, 80, 100, 160], kept=3))
def test_the_summary_is_as_wide_as_asked_for_and_says_the_same(folder_of_two, rows, width):
    path = folder_of_two
    report.write_report(path, width=width, words_only=True)
    assert not (path / "report.html").exists()
    name = "summary.txt" if width == 100 else f"summary-{width}.txt"
    said = (path / name).read_text(encoding="utf-8")
    assert max(map(len, said.splitlines())) <= width
    for head in table.heads_of(rows):
        assert all(number in said for number in WORD.findall(table.shown(rows[1])[head])), head
    assert (path / "summary.txt").exists()
