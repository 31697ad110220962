"""The speed-up that is printed is the ratio of the speeds that are printed, and a slow round is named, not dropped."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.verdict.verdict import judge, verdicts_of
from ampbench.visualize.read.frame import read
from tests.visualize.conftest import cell


def write(folder, speeds, batch_size=128):
    """Add rounds with these speeds: recipe -> one a round."""
    for recipe, values in speeds.items():
        for number, value in enumerate(values):
            folder.add(cell(recipe, batch_size, epochs=0, round=number), images_per_s=float(value))


@pytest.mark.parametrize(
    "speeds",
    [
        {"fp32": (998, 1002, 994, 1001, 50), "bf16_amp": (1202, 1199, 1207, 1195, 1203)},  # one round 20 times slow
        {"fp32": (100, 102, 140, 180), "bf16_amp": (204, 230, 270, 440)},  # median 2.04 against mean of logs 2.16
        {"fp32": (1000, 1000), "bf16_amp": (1999, 2001)},
        {"fp32": (500,), "bf16_amp": (900,)},
    ],
)
def test_who_divides_the_speeds_of_the_table_gets_the_speed_up(folder, speeds):
    write(folder, speeds)
    results = read(folder.write())
    fp32, other = standings(results, verdicts_of(results))
    assert other.speedup == pytest.approx(other.measured.images_per_s / fp32.measured.images_per_s, rel=1e-12)
    assert other.verdict.speed.low <= other.speedup <= other.verdict.speed.high or other.verdict.speed.n < 2


def test_memory_and_energy_are_ratios_of_what_the_table_shows_too(folder):
    rng = np.random.default_rng(0)
    for number in range(3):
        for recipe in ("fp32", "bf16_amp"):
            own = {"joules_per_image": float(rng.uniform(1, 2)), "energy_instrument": "energy_counter"}
            folder.add(cell(recipe, epochs=0, round=number), steady_peak_bytes=int(rng.integers(1e8, 2e8)), **own)
    results = read(folder.write())
    fp32, other = standings(results, verdicts_of(results))
    for ratio, name in ((other.verdict.memory, "peak_mib"), (other.verdict.energy, "joules_per_image")):
        assert ratio.estimate == pytest.approx(getattr(other.measured, name) / getattr(fp32.measured, name))
        assert ratio.n == 3


def test_energies_of_two_instruments_are_not_compared(folder):
    for number in range(3):
        for recipe, name in (("fp32", "energy_counter"), ("bf16_amp", "power_integral")):
            folder.add(cell(recipe, epochs=0, round=number), joules_per_image=1.0, energy_instrument=name)
    (found,) = judge(read(folder.write()).cells)
    assert found.energy is None


def test_less_memory_and_less_energy_are_less_and_not_slower(folder):
    for number in range(3):
        for recipe, factor in (("fp32", 1.0), ("bf16_amp", 0.5)):
            own = {"joules_per_image": factor * (1 + 0.01 * number), "energy_instrument": "energy_counter"}
            folder.add(cell(recipe, epochs=0, round=number), steady_peak_bytes=int(1e9 * factor), **own)
    (found,) = judge(read(folder.write()).cells)
    assert (found.memory.verdict, found.energy.verdict) == ("less", "less")
    assert found.memory.estimate == pytest.approx(0.5)


def test_a_round_20_times_slow_is_named_tells_nothing_and_says_how_to_run_it_again(folder):
    write(folder, {"fp32": (998, 1002, 50), "bf16_amp": (1202, 1199, 1203)})
    (found,) = judge(read(folder.write()).cells)
    assert found.speed.verdict == "can't tell"
    assert str(found.speed).endswith("(too noisy to say)")
    (outlier,) = found.outliers
    assert str(outlier) == "fp32 at batch 128, seed 0, round 2, ran 0.05 times as fast as its siblings"
    assert outlier.next_move == (
        "run again: the same command with --again ok --only precision=fp32 --only batch_size=128 --only seed=0 "
        "--only round=2"
    )


def test_a_slow_round_of_one_batch_size_leaves_the_others_told(folder):
    write(folder, {"fp32": (998, 1002, 50), "bf16_amp": (1202, 1199, 1203)})
    for batch_size in (256, 512):
        write(folder, {"fp32": (1098, 1102, 1100), "bf16_amp": (1402, 1399, 1403)}, batch_size)
    found = judge(read(folder.write()).cells)
    assert [v.speed.verdict for v in found] == ["can't tell", "faster", "faster"]
    assert [len(v.outliers) for v in found] == [1, 0, 0]


def test_a_part_is_judged_as_a_part_of_the_whole(matrix):
    path = matrix(("fp32", "bf16_amp", "fp16_amp"), (64, 128))
    results = read(path)
    whole = {(v.batch_size, v.recipe): v for v in verdicts_of(results)}
    for v in verdicts_of(results.where(batch_size=128)):
        assert v is whole[v.batch_size, v.recipe]
    assert len(verdicts_of(results.where(batch_size=128))) == 2
    assert whole[128, "bf16_amp"].family == "all 4 comparisons of this folder on Test GPU by method 1"


def test_machines_and_methods_are_families_of_their_own(folder):
    for number in range(3):
        for recipe in ("fp32", "bf16_amp", "fp16_amp"):
            folder.add(cell(recipe, 64, epochs=0, round=number))
            folder.add(cell(recipe, 128, epochs=0, round=number), machine="Other", environment_id="e2")
    found = judge(read(folder.write(), mixed=True).cells)
    assert {v.family for v in found} == {
        "all 2 comparisons of this folder on Test GPU by method 1",
        "all 2 comparisons of this folder on Other by method 1",
    }


def test_a_reference_that_never_ran_to_its_end_is_named(folder):
    for number in range(3):
        folder.add(cell("fp32", epochs=0, round=number), "throttled")
        for recipe in ("fp16_amp", "bf16_amp"):
            folder.add(cell(recipe, epochs=0, round=number))
    (found,) = judge(read(folder.write()).cells)
    assert found.reference == "fp16_amp"
    assert found.missing_reference == "no cell of fp32 ran to its end (3 throttled)"


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.9, 1.1, "[0.90, 1.10]"),
        (1.0, 2.0, "[1.00, 2.00]"),
        (0.7, 1.5, "(too noisy to say)"),
        (0.0, math.inf, "(too noisy to say)"),
        (0.05, 0.14, "(at most 0.14)"),
        (1.2, 9.0, "(at least 1.20)"),
        (math.nan, math.nan, "(no interval)"),
    ],
)
def test_no_interval_wider_than_a_factor_of_2_is_written_as_numbers(low, high, words):
    from ampbench.visualize.stats.statistics import interval

    assert interval(low, high) == words
