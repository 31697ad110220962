"""A waterfall in plain characters: of any width from 60 on, each bar where the one above it ended."""

from __future__ import annotations

import pytest

from ampbench.visualize.findings.explanation import Bar, Waterfall
from ampbench.visualize.show.waterfall_text import waterfall_text

FOUND = Waterfall(
    title="A step by kind of work",
    unit="ms",
    a="fp32",
    b="bf16_amp_scaled",
    bars=(
        Bar(label="matrix products and convolutions", a=1000, b=250),
        Bar(label="casts", a=0, b=250),
        Bar(label="idle", a=0, b=0),
    ),
)


@pytest.mark.parametrize("width", [60, 61, 80, 83, 84, 100, 160, 500])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(width: int) -> None:
    lines = waterfall_text(FOUND, width).splitlines()
    assert max(map(len, lines)) <= width
    assert any("-750" in line for line in lines)
    assert any("+250" in line for line in lines)


def test_each_bar_begins_where_the_one_above_it_ends() -> None:
    first, fell, rose, last = (
        line for line in waterfall_text(FOUND, 160).splitlines() if line.endswith(("=", "-", "+"))
    )
    assert len(fell) == len(first), "the first change begins at the end of the first total"
    assert len(rose.rstrip("+")) == len(fell.rstrip("-")), "the next one where that ends"
    assert len(last) == len(rose), "and the last total ends where the last change does"


def test_layers_do_not_sum_and_keep_the_end_of_a_long_name() -> None:
    name = "encoder.blocks." * 20 + "norm"
    found = Waterfall(title="Flushed", unit="%", a="fp32", b="fp16", bars=(Bar(label=name, a=0, b=40),), sums=False)
    text = waterfall_text(found, 60)
    assert max(map(len, text.splitlines())) <= 60
    assert "norm" in text
    assert "change" in text
