"""Which processes form a pair, which do not, and that both are said."""

from __future__ import annotations

import math

import pytest

from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.runs.pairs import numbered
from ampbench.visualize.judge.runs.replicates import replicates_of
from ampbench.visualize.judge.verdict.verdict import judge, verdicts_of
from ampbench.visualize.read.frame import read
from ampbench.visualize.show.table import shown
from tests.visualize.conftest import cell


def only(path):
    """Return the only verdict."""
    (found,) = judge(read(path, mixed=True).cells)
    return found


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"switches": '{"OMP_WAIT_POLICY": "ACTIVE"}'}, "environment switches"),
        ({"power_cap_w": 300.0}, "power cap (300 for bf16_amp, 350 for fp32)"),
        ({"cuda": "12.4"}, "CUDA version"),
        ({"driver": "535.1"}, "driver"),
        ({"exclusive": True}, "setting of --exclusive (True for bf16_amp, False for fp32)"),
    ],
)
def test_cells_that_ran_under_other_conditions_are_no_pair_and_it_is_said(folder, over, words):
    same = {"switches": "{}", "power_cap_w": 350.0, "cuda": "13.0", "driver": "580.1", "exclusive": False}
    for number in range(3):
        folder.add(cell("fp32", epochs=0, round=number), **same)
        folder.add(cell("bf16_amp", epochs=0, round=number), **(same | over))
    found = only(folder.write())
    assert (found.speed.n, found.speed.verdict) == (0, "can't tell")
    assert (found.unpaired.num_recipe, found.unpaired.num_reference) == (3, 3)
    assert words in found.unpaired.because


def test_older_records_without_these_columns_are_paired(matrix):
    cells = read(matrix()).cells.drop(columns=["switches", "power_cap_w", "cuda"])
    assert numbered(cells)["pair"].nunique() == 3
    (found,) = judge(cells)
    assert found.speed.n == 3
    assert found.unpaired is None


def test_a_record_that_does_not_know_whether_it_was_exclusive_is_paired_with_one_that_does(folder):
    for number in range(3):
        folder.add(cell("fp32", epochs=0, round=number))
        folder.add(cell("bf16_amp", epochs=0, round=number), exclusive=False)
    assert only(folder.write()).speed.n == 3


def test_collapsed_trainings_without_a_partner_are_named(folder):
    for seed in range(10):
        if seed < 3:
            folder.add(cell("fp32", seed=seed), images_per_s=1000.0 + seed)
        over = {"test_accuracy": 0.85} if seed > 2 else {}
        folder.add(cell("bf16_amp", seed=seed), images_per_s=1800.0 + seed, **over)
    found = only(folder.write())
    assert found.accuracy.n == 3
    assert (found.unpaired.num_recipe, found.unpaired.num_reference) == (7, 0)
    assert found.unpaired.because == "no cell of fp32 with the same seed and round ran to its end"
    (said,) = found.unpaired.differs
    assert said.startswith("the unpaired ones of bf16_amp reach 85.00 % test accuracy, the others 93.")
    assert str(found.unpaired).startswith("7 processes of bf16_amp have no partner, because no cell of fp32")


@pytest.mark.parametrize("collapsed", [1, 7])
def test_one_collapsed_training_among_many_without_a_partner_is_seen(folder, collapsed):
    for seed in range(10):
        if seed < 3:
            folder.add(cell("fp32", seed=seed), test_accuracy=0.93 + 0.001 * seed)
        folder.add(cell("bf16_amp", seed=seed), test_accuracy=0.85 if 3 <= seed < 3 + collapsed else 0.931)
    assert only(folder.write()).unpaired.differs


def test_unpaired_processes_that_agree_with_the_others_stop_nothing(folder):
    for seed in range(10):
        if seed < 3:
            folder.add(cell("fp32", seed=seed), test_accuracy=0.93, images_per_s=1000.0 + seed)
        folder.add(cell("bf16_amp", seed=seed), test_accuracy=0.93 + 0.0002 * (seed % 3), images_per_s=1800.0 + seed)
    found = only(folder.write())
    assert found.unpaired.num_recipe == 7
    assert found.unpaired.differs == ()


def test_slow_processes_without_a_partner_are_seen(folder):
    for number in range(6):
        if number < 3:
            folder.add(cell("fp32", epochs=0, round=number), images_per_s=1000.0 + number)
        folder.add(cell("bf16_amp", epochs=0, round=number), images_per_s=(1800.0 if number < 3 else 900.0) + number)
    (said,) = only(folder.write()).unpaired.differs
    assert said == "the unpaired ones of bf16_amp run 0.50 times as fast as the others"


@pytest.mark.parametrize("bad", [0.0, -3.0, math.nan, math.inf, None])
def test_a_speed_that_is_no_speed_is_no_replicate(folder, bad):
    for number in range(3):
        folder.add(cell("fp32", epochs=0, round=number), **({"images_per_s": bad} if number == 1 else {}))
        folder.add(cell("bf16_amp", epochs=0, round=number))
    path = folder.write()
    found = only(path)
    assert found.speed.n == 2
    assert math.isfinite(found.speed.estimate)
    results = read(path)
    rows = standings(results, verdicts_of(results))
    assert (rows[0].measured.n, rows[0].measured.num_timed) == (3, 2)
    assert "nan" not in " ".join(" ".join(shown(row).values()) for row in rows)


def test_speeds_of_nothing_but_zero_are_no_verdict_and_no_error(folder):
    for number in range(3):
        for recipe in ("fp32", "bf16_amp"):
            folder.add(
                cell(recipe, epochs=0, round=number), images_per_s=0.0, steady_peak_bytes=0, joules_per_image=0.0
            )
    path = folder.write()
    found = only(path)
    assert (found.speed.n, found.speed.verdict, found.memory, found.energy) == (0, "can't tell", None, None)
    assert replicates_of(read(path).cells).images_per_s is None


def test_accuracies_that_are_no_share_form_no_pair(folder):
    for seed, share in enumerate((0.93, math.nan, math.inf, -1.0, 0.932)):
        folder.add(cell("fp32", seed=seed), test_accuracy=0.93)
        folder.add(cell("bf16_amp", seed=seed), test_accuracy=share)
    assert only(folder.write()).accuracy.n == 2
