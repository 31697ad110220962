"""How long a cell will take, judged by those that have ended."""

from __future__ import annotations

from dataclasses import replace

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.cell_times import MOST_REMEMBERED, CellTimes
from ampbench.bench.plan.recipe import RECIPES

TIMING = Cell(model="LeNet", data="digits", precision=RECIPES["fp32"], batch_size=64)
TRAINING = replace(TIMING, epochs=10)


def known(*told: tuple[Cell, float]) -> CellTimes:
    times = CellTimes()
    for cell, seconds in told:
        times.learn(cell, seconds)
    return times


def test_nothing_known_expects_nothing() -> None:
    assert CellTimes().expected_s(TIMING) is None


def test_cells_that_differ_by_their_seed_are_judged_by_their_median() -> None:
    times = known(*((replace(TIMING, seed=i), seconds) for i, seconds in enumerate([10, 11, 500])))
    assert times.expected_s(replace(TIMING, seed=9)) == 11
    assert times.num_known == 3


def test_another_recipe_is_judged_by_the_same_model_and_a_training_by_its_epochs() -> None:
    times = known((TRAINING, 100.0), (replace(TRAINING, model="VGG19"), 9000.0), (TIMING, 7.0))
    assert times.expected_s(replace(TRAINING, precision=RECIPES["bf16"], epochs=30)) == 300
    assert times.expected_s(replace(TIMING, batch_size=8)) == 7
    assert times.expected_s(replace(TRAINING, model="other")) == 4550, "the median epoch of any training"
    assert known((TRAINING, 100.0)).expected_s(TIMING) == 10


def test_of_a_kind_the_latest_count() -> None:
    times = known(*((TIMING, 1.0) for _ in range(2 * MOST_REMEMBERED)), *((TIMING, 5.0) for _ in range(50)))
    assert times.expected_s(TIMING) == 5


def test_what_was_supposed_gives_way_to_what_was_seen() -> None:
    times = CellTimes()
    times.suppose(TIMING, 60.0)
    times.learn(TIMING, 1.0)
    times.learn(TIMING, 1.0)
    times.suppose(replace(TIMING, seed=5), 60.0)
    assert times.expected_s(TIMING) == 1
