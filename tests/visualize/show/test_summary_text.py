"""What a user reads at the end of a run: the answer first, in any width, nothing twice, a large matrix on a screen."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from ampbench.visualize.judge.answer import answer
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.health.health import Concern
from ampbench.visualize.judge.verdict import verdict
from ampbench.visualize.read import frame
from ampbench.visualize.show import table
from ampbench.visualize.show.contenders import MOST, contenders
from ampbench.visualize.show.summary_text import summary_text
from tests.fuzz.conftest import drawn
from tests.visualize.conftest import Folder, cell, matrix_in, record

WIDTHS = (60, 80, 100, 160)
NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=300) | st.sampled_from(
    ["x" * 300, "日本語" * 100, "[bold]a[/bold]", "a b " * 75, "\x1b[31mred", "a\nb", "<b>", "­" * 50]
)


def parts_of(path):
    results = frame.read(path)
    rows = standings(results, verdict.judge(results.cells))
    return results, rows, answer.answers(results, rows)


def said(path, width=80):
    return summary_text(*parts_of(path), width)


def test_the_answer_comes_first(matrix):
    results, rows, advice = parts_of(matrix())
    assert " ".join(summary_text(results, rows, advice, 400).splitlines()[0].split()) == advice[0].headline


@drawn(300, 4)
@given(name=NAMES, reason=NAMES, question=NAMES)
def test_no_line_is_wider_than_the_terminal(tmp_path_factory, name, reason, question):
    folder = Folder(tmp_path_factory.mktemp("odd") / "x")
    folder.plan = {"question": question, "cells": []}
    for seed in range(2):
        folder.add(cell("fp32", seed=seed, model=name, epochs=2), **record())
        folder.add(cell("bf16_amp", seed=seed, model=name, epochs=2), machine=name, model_note=reason)
        folder.add(cell("fp16", seed=seed, model=name, epochs=2), "crashed", because=reason)
    parts = parts_of(folder.write())
    for width in WIDTHS:
        text = summary_text(*parts, width)
        widest = max(text.split("\n"), key=cell_len)
        assert cell_len(widest) <= width, widest
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text), "a name moves no cursor"


@pytest.fixture(scope="module")
def parts_with_failures(tmp_path_factory):
    """Return what is said of four recipes, of which two failed."""
    folder = matrix_in(Folder(tmp_path_factory.mktemp("failures")))
    return parts_of(
        folder(("fp32", "bf16_amp", "fp16", "tf32"), (64, 128), ends={"fp16": "diverged", "tf32": "unsupported"})
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_said_twice(parts_with_failures, width):
    text = summary_text(*parts_with_failures, width)
    sentences = [s for s in re.split(r"\n\n|\. ", text) if len(s) > 30]
    assert len(sentences) == len(set(sentences))


def test_a_number_after_a_plus_minus_is_a_standard_deviation_in_every_column(folder):
    for seed, (speed, accuracy) in enumerate([(1000.0, 0.90), (1010.0, 0.91), (1020.0, 0.92)]):
        folder.add(cell("fp32", seed=seed), images_per_s=speed, test_accuracy=accuracy)
    shown = table.shown(parts_of(folder.write())[1][0])
    assert (shown["images/s"], shown["test %"]) == ("1,010 ± 10", "91.00 ± 1.00")


@pytest.mark.parametrize("value", [0.0, math.nan, -1.0, 1e-9, 1e12])
def test_zero_and_nan_everywhere_are_shown_and_divide_nothing(folder, value):
    names = (
        "images_per_s",
        "steady_peak_bytes",
        "test_accuracy",
        "joules_per_image",
        "step_ms",
        "kernel_ms",
        "mfu_vendor",
    )
    for seed in range(2):
        for recipe in ("fp32", "bf16_amp"):
            over = {name: value for name in names if name != "steady_peak_bytes"}
            folder.add(cell(recipe, seed=seed), steady_peak_bytes=0, **over)
    text = said(folder.write())
    assert "fp32" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_large_matrix_takes_two_screens_and_says_how_to_see_the_rest(folder):
    recipes = ("fp32", "tf32", "bf16", "bf16_amp", "fp16_amp", "fp16_amp_scaled")
    for seed in range(2):
        for batch in range(16, 176, 16):
            for recipe in recipes:
                folder.add(
                    cell(recipe, batch, seed, epochs=1), **record(learned=False, learning_note="learned nothing")
                )
    path = folder.write()
    text = said(path, 100)
    assert len(text.splitlines()) <= 100
    assert f"python -m ampbench export {path} --table summary" in " ".join(text.split())
    assert f"{60 - MOST} further rows" in text


def test_the_contenders_hold_what_is_advised_and_its_reference(matrix):
    _, rows, advice = parts_of(
        matrix(("fp32", "tf32", "bf16", "bf16_amp", "fp16_amp"), (16, 32, 64, 128, 256), epochs=0)
    )
    first = contenders(rows, advice, most=6)
    assert len(first) == 6
    kept = {(row.recipe, row.batch_size) for row in first}
    assert (advice[0].recipe, advice[0].batch_size) in kept
    assert ("fp32", advice[0].batch_size) in kept
    assert first == [row for row in rows if row in first], "in the order of the table"


def test_every_subject_has_a_row_of_its_own_among_the_contenders(matrix, folder):
    for model in ("VGG11", "VGG13", "VGG16"):
        for batch in (16, 32, 64):
            folder.add(cell("fp32", batch, model=model, epochs=0))
    _, rows, advice = parts_of(folder.write())
    assert {row.subject for row in contenders(rows, advice, most=6)} == {"VGG11", "VGG13", "VGG16"}


def test_a_concern_is_a_letter_in_the_table_and_a_line_below(matrix):
    _, rows, _ = parts_of(matrix(batch_sizes=(64, 128)))
    hot = Concern(
        text="60 % of the time at the thermal limit", next_move="run again: python bench/run_matrix.py x.toml"
    )
    rows = [dataclasses.replace(row, concerns=(hot,)) if row.recipe == "bf16_amp" else row for row in rows]
    lines = table.text(rows, 160).splitlines()
    assert [line.split()[-1] for line in lines if "bf16_amp" in line] == ["a", "a"]
    assert [line.split()[-1] for line in lines if "fp32" in line] == ["ok", "ok"]
    assert table.health(rows, 200) == f"Health:\na: {hot.text}; {hot.next_move}"
    assert table.health([dataclasses.replace(row, concerns=()) for row in rows]) == ""


def test_what_is_equal_in_all_rows_is_in_the_title_and_no_column(matrix):
    lines = table.text(parts_of(matrix(batch_sizes=(64,), seeds=(0, 1, 2)))[1], 160).splitlines()
    assert lines[0] == "VGG19, batch 64, 3 runs each"
    assert "batch" not in lines[1]
    assert " n " not in lines[1]
