"""`ok` means trained, updated, and evaluated on finite numbers."""

from __future__ import annotations

import re

import pytest

from tests.habits import breaking
from tests.habits.ending import Net, end, end_once


def test_a_training_that_updated_nothing_is_none_and_names_step_and_layer() -> None:
    row = end(breaking.NoFiniteGradient, "fp16_amp_scaled")
    assert row["status"] == "diverged"
    assert "the loss scaler skipped every one of the 22 steps, so no weight was updated" in row["because"]
    assert "penalty was the first to be non-finite: its gradient at step 22" in row["because"]
    assert (row["diverged_step"], row["diverged_layer"], row["diverged_in"]) == (22, "penalty", "backward")
    assert row["test_accuracy"] is None


def test_a_timing_in_which_every_step_was_skipped_is_none_either() -> None:
    row = end(breaking.NoFiniteGradient, "fp16_amp_scaled", {"max_timing_s": 0.2, "max_warmup_s": 0.2}, epochs=0)
    assert row["status"] == "diverged"
    assert "the loss scale" in row["because"]
    assert row["images_per_s"] is None
    assert row["no_speed_because"]


def test_a_loss_scale_that_collapsed_ends_the_training_there() -> None:
    row = end(breaking.NoFiniteGradient, "fp16_amp_scaled", epochs=3, loss_scale="dynamic:backoff=0.03125")
    assert row["status"] == "diverged"
    assert "the loss scale collapsed to 1.47e-39 at step 30 (epoch 2): gradients are not finite" in row["because"]
    assert (row["diverged_step"], row["diverged_layer"]) == (30, "penalty")
    assert [e["epoch"] for e in row["epochs"]] == [1]


@pytest.mark.parametrize(("model", "num_nan"), [(breaking.NanInEvaluation, 360), (breaking.NanForOneImage, 3)])
def test_nan_in_evaluation_is_no_accuracy(model: type[Net], num_nan: int) -> None:
    row = end_once(model)
    assert row["status"] == "diverged"
    assert f"in the evaluation after epoch 1 the outputs of {num_nan} of 360 test images are NaN" in row["because"]
    assert row["test_accuracy"] is None
    assert row["best_test_accuracy"] is None
    where = "evaluation input" if model is breaking.NanInEvaluation else "evaluation"
    assert (row["diverged_step"], row["diverged_in"]) == (22, where)
    assert row["epochs"][0]["train_loss"] > 0
    assert row["epochs"][0]["macro_f1"] is None


def test_the_layer_that_went_first_in_evaluation_is_named() -> None:
    row = end_once(breaking.NanInEvaluation)
    assert row["diverged_layer"] == "scale"
    assert "the input of scale was the first to be non-finite, and no layer's output: look at the" in row["because"]


def test_an_overflow_in_code_between_layers_is_not_said_of_the_layer_after_it() -> None:
    row = end(breaking.OverflowsBetween)
    assert (row["status"], row["diverged_step"]) == ("diverged", 1)
    assert (row["diverged_layer"], row["diverged_in"]) == ("linear", "input")
    assert "the input of linear was the first to be non-finite" in row["because"]


def test_skips_that_leave_no_throughput_say_so() -> None:
    row = end(breaking.NoFiniteGradientAtTimes, "fp16_amp_scaled")
    assert (row["status"], row["because"]) == ("ok", None)
    assert row.get("images_per_s") is None
    assert re.fullmatch(
        r"the scaler skipped \d+ of \d+ steps after warm-up, and (\d+) of \1 blocks have one: .*",
        row["no_speed_because"],
    )
    assert end(Net, "fp16_amp_scaled")["no_speed_because"] is None
