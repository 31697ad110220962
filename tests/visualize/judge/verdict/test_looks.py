"""Looks share alpha: whoever asks after every further round is not told more in pure noise than who asks once."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import stdtr

from ampbench.visualize import report
from ampbench.visualize.judge.verdict.looks import Looks, read_looks, write_looks
from ampbench.visualize.judge.verdict.verdict import judge, verdicts_of
from ampbench.visualize.read.frame import read
from tests.visualize.conftest import Folder, cell


def rounds(path, num, **over):
    """Write a folder of two recipes that differ by nothing but noise."""
    made = Folder(path)
    for number in range(num):
        for recipe in ("fp32", "bf16_amp"):
            made.add(cell(recipe, epochs=0, round=number), **over)
    return made.write()


def told_in_noise(num_looks_shared: bool) -> float:
    """Return how often `faster` is said of two equal recipes by whoever adds a round at a time until it is told."""
    rng = np.random.default_rng(0)
    d, ever = 0.03 * rng.standard_normal((20_000, 12)), np.zeros(20_000, dtype=bool)
    for n in range(2, 13):
        num = Looks(taken={"x": frozenset(range(2, n + 1))}).num("x", n) if num_looks_shared else 1
        t = d[:, :n].mean(axis=1) / (d[:, :n].std(axis=1, ddof=1) / np.sqrt(n))
        ever |= (t > 0) & (2 * stdtr(n - 1, -np.abs(t)) <= 0.05 / num)
    return float(ever.mean())


def test_adding_a_round_at_a_time_until_it_is_told_gives_no_false_advice_beyond_6_percent():
    assert told_in_noise(num_looks_shared=False) > 0.09
    assert told_in_noise(num_looks_shared=True) <= 0.06


def test_a_look_is_a_number_of_pairs_at_which_it_was_asked(tmp_path):
    path = rounds(tmp_path / "x", 2)
    for _ in range(2):  # an unchanged folder judged again is no new look
        report.write_report(path, words_only=True)
        (taken,) = read_looks(path).taken.values()
        assert taken == {2}
    rounds(path, 3)
    report.write_report(path, words_only=True)
    (verdict,) = verdicts_of(read(path))
    assert verdict.num_looks == 2
    assert verdict.speed.alpha == pytest.approx(0.025)
    (alone,) = judge(read(path).cells)
    assert (alone.num_looks, alone.speed.alpha) == (1, 0.05)
    assert alone.speed.high < verdict.speed.high


def test_one_pair_is_no_look(tmp_path):
    path = rounds(tmp_path / "x", 1)
    report.write_report(path, words_only=True)
    assert read_looks(path).taken == {}


def test_a_part_of_a_folder_takes_no_look_and_knows_those_of_the_whole(tmp_path):
    path = rounds(tmp_path / "x", 3)
    report.write_report(path, words_only=True)
    report.write_report(path, only=["round=0,1"], words_only=True)
    assert [*read_looks(path).taken.values()] == [{3}]
    (part,) = verdicts_of(read(path, only=["round=0,1"]))
    assert part.num_looks == 2


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": 3}', '{"a": ["x"]}', "null"])
def test_a_damaged_file_of_looks_holds_none(tmp_path, text):
    (tmp_path / "looks.json").write_text(text)
    assert read_looks(tmp_path).taken == {}


def test_a_folder_that_cannot_be_written_keeps_no_looks_and_is_no_error(tmp_path):
    write_looks(tmp_path / "missing", Looks(taken={"a": frozenset({2})}))
    write_looks(tmp_path, Looks(taken={"b": frozenset({3, 2})}))
    assert json.loads((tmp_path / "looks.json").read_text()) == {"b": [2, 3]}
    assert [file.name for file in tmp_path.iterdir()] == ["looks.json"]


@pytest.mark.parametrize(("recipes", "alpha"), [(1, 0.05 / 2.5), (2, 0.05)])
def test_a_comparison_that_stands_alone_pays_more_for_planned_looks(tmp_path, recipes, alpha):
    path = rounds(tmp_path / "x", 2)
    looks = Looks(are_planned=True)
    assert looks.shares([1] * recipes) == [0.05 / alpha] * recipes
    assert Looks().shares([1]) == [1.0]
    plan = json.loads((path / "plan.json").read_text())
    (fixed,) = verdicts_of(read(path))
    (path / "plan.json").write_text(json.dumps(plan | {"toml": '[measure]\nrounds = "adaptive"'}))
    (adaptive,) = verdicts_of(read(path))
    assert (fixed.speed.alpha, adaptive.speed.alpha) == (0.05, pytest.approx(0.02))
