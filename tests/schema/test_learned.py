"""Trainings that learned nothing, swing or lose what they learned are distinguished from good ones by their curves."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.worker.measurement import Measurement
from ampbench.schema.learned import course_of, is_above_guessing, loss_rose, swing_of
from tests.conftest import ROOT
from tests.support.measuring import row_of

S4 = [45.2, 38.9, 51.3, 33.1]
TO_AND_FRO = [30.0, 9.7, 10.0, 10.0, 12.5, 35.3, 23.1, 10.3]


def note(percents: list[float], losses: list[float] | None = None, *, images: int = 10_000) -> str:
    shares = [percent / 100 for percent in percents]
    return course_of(shares, losses or [], num_classes=10, num_images=images).learning_note or ""


@pytest.mark.parametrize(
    ("percents", "what"),
    [(S4, "swings"), (TO_AND_FRO, "swings"), ([60, 90, 40, 88, 35], "swings"), ([80, 90, 92, 60, 30, 10], "broke down"),
     ([80, 90, 92, 91, 92, 40], "broke down")],
)  # fmt: skip
@pytest.mark.parametrize("images", [360, 10_000])
def test_an_accuracy_that_swings_is_told_from_one_that_breaks_down(
    percents: list[float], what: str, images: int
) -> None:
    assert f"test accuracy {what}: " in note(percents, images=images)


def test_what_a_warm_restart_loses_is_planned_and_not_lost() -> None:
    percents, rates = [60, 80, 88, 92, 70, 85, 90, 93], [0.1, 0.05, 0.02, 0.01, 0.1, 0.08, 0.05, 0.02]
    shares = [percent / 100 for percent in percents[:6]]
    assert swing_of(shares, rates[:6]) == 0
    assert swing_of(shares) == pytest.approx(0.22 / 3)
    assert not loss_rose([2.0, 1.0, 0.2, 1.5], [0.1, 0.05, 0.01, 0.1])
    assert loss_rose([2.0, 1.0, 0.2, 1.5], [0.1, 0.1, 0.1, 0.1])


def test_the_studys_own_example_loses_eight_points_an_evaluation() -> None:
    assert "45.2 38.9 51.3 33.1 %, it loses 8.2 points an evaluation" in note(S4)


@pytest.mark.parametrize(
    "percents",
    [
        [51.3, 77.5, 83.7, 86.9, 89.7, 92.7],
        [60, 55, 68, 62, 70, 75, 73, 78],
        [40, 35, 50],
        [30, 60, 20, 70, 40, 90, 91, 92, 92.5, 92.4, 92.8, 92.7],  # wild at first, calm at last
        [90, 85],
        [92.0] * 50 + [60.0] + [92.0] * 49,  # one bad evaluation of a hundred
    ],
)
def test_a_healthy_course_is_not_scolded(percents: list[float]) -> None:
    assert note(percents) == ""


def test_a_small_test_set_has_noise_of_its_own() -> None:
    jumping = [70, 64, 71, 65, 70, 64]
    assert "swings" not in note(jumping, images=60)
    assert swing_of([0.7, 0.64, 0.71, 0.65, 0.7, 0.64]) == pytest.approx(0.06 * 2 / 3, abs=0.01)


@pytest.mark.parametrize(
    ("percent", "images", "learned"),
    [(10.28, 10_000, False), (10.0, 10_000, False), (9.0, 10_000, False), (11.0, 10_000, True), (10.28, 360, False),
     (14.0, 360, False), (16.0, 360, True), (92.0, 360, True)],
)  # fmt: skip
def test_an_accuracy_within_the_noise_of_guessing_is_no_learning(percent: float, images: int, learned: bool) -> None:
    course = course_of([0.5, percent / 100], [], num_classes=10, num_images=images)
    assert course.learned is learned
    assert ("learned nothing" in (course.learning_note or "")) is not learned


def test_always_naming_the_largest_class_is_no_learning() -> None:
    course = course_of([0.8], [], num_classes=2, num_images=1000, macro_recall=0.5)
    assert course.learned is False


def test_the_words_about_a_constant_answer_do_not_contradict_themselves() -> None:
    said = course_of([0.8], [], num_classes=2, num_images=1000, macro_recall=0.5).learning_note or ""
    assert "80.00 % of the test images, but 50.00 % of a class on average, and guessing among 2 classes" in said


@pytest.mark.parametrize("broken", [math.inf, math.nan])
def test_an_epoch_whose_mean_loss_is_not_finite_leaves_the_others_judged(broken: float) -> None:
    course = course_of([0.9], [broken, 1.0, 0.5, 3.0], num_classes=10, num_images=360)
    assert course.loss_growth == 6
    assert "3 in the last epoch, 0.5 in epoch 3" in (course.learning_note or "")
    assert course_of([0.9], [broken], num_classes=10, num_images=360).loss_growth is None


def test_without_an_evaluation_nothing_is_claimed() -> None:
    assert course_of([], [], num_classes=10, num_images=360).learned is None


@pytest.mark.parametrize(
    ("losses", "rose"),
    [([2.3, 1.0, 0.5, 1.9], True), ([2.3, 2.2, 9.0], True), ([2.1, 0.4, 0.05, 0.5, 0.1, 0.4], False),
     ([2.3026, 2.3020, 2.3030, 2.3024], False), ([2.3, 1.0, 0.5], False), ([-1.0, -2.0, -3.0], False), ([1.0], False)],
)  # fmt: skip
def test_a_loss_that_comes_back_is_told_from_a_restart_and_from_noise(losses: list[float], rose: bool) -> None:
    assert loss_rose(losses) is rose
    assert ("training loss grew" in note([90], losses)) is rose


@given(st.lists(st.floats(0, 1), max_size=30), st.lists(st.floats(-10, 1e6), max_size=30), st.integers(1, 1000))
def test_any_course_can_be_judged(accuracies: list[float], losses: list[float], images: int) -> None:
    course = course_of(accuracies, losses, num_classes=10, num_images=images)
    assert course.accuracy_swing is None or 0 <= course.accuracy_swing <= 1
    assert (course.learned is None) == (not accuracies)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=30))
def test_a_course_that_only_rises_never_swings(accuracies: list[float]) -> None:
    assert swing_of(sorted(accuracies)) == 0


def test_one_class_is_always_right_and_never_learned() -> None:
    assert not is_above_guessing(1.0, 1, 100)


def test_the_committed_trainings_are_judged_as_a_reader_would() -> None:
    """Of the demo all learned and none swings."""
    cells = {row["cell_id"]: row for row in pq.read_table(ROOT / "results/demo/cells.parquet").to_pylist()}
    epochs = pq.read_table(ROOT / "results/demo/epochs.parquet").to_pylist()
    trained = [row for row in cells.values() if row["status"] == "ok"]
    assert trained
    for row in trained:
        own = [e for e in epochs if e["cell_id"] == row["cell_id"]]
        course = course_of(
            [e["test_accuracy"] for e in own], [e["train_loss"] for e in own], num_classes=10, num_images=360
        )
        assert (course.learned, course.learning_note) == (True, None), row["precision"]


@pytest.mark.parametrize(("rate", "learned"), [(0.0, False), (0.1, True)])
def test_the_record_says_whether_anything_was_learned(rate: float, learned: bool, tmp_path: Path) -> None:
    cell = Cell(model="tests.support.tiny:Net", data="digits", image_size=8, batch_size=64, epochs=4, augment=(),
                learning_rate=rate or 1e-12, precision=RECIPES["fp32"])  # fmt: skip
    measurement = Measurement(cell, MeasurementProtocol(passes=()), torch.device("cpu"), lambda **_: None)
    measurement.take()
    assert row_of(measurement)["learned"] is learned
    assert (row_of(measurement)["learning_note"] or "").startswith("learned nothing") is not learned
    assert row_of(measurement)["loss_growth"] >= 1
