"""Each model of the sample is `ok` with the right numbers, or ends with one line that says what to do."""

from __future__ import annotations

import math
import re
from itertools import product

import pytest

from tests.habits import losses, sample
from tests.habits.ending import end
from tests.support import deprecated
from tests.support.thinned import thinned

LEARN = [
    *(sample.Tied, sample.OddParameters, sample.Normed, sample.Checkpointed, sample.OwnBackward, sample.Lazy),
    *(losses.LogProbabilities, losses.SquaredError, losses.DeepSupervision, losses.StoresItsLoss, losses.WideLoss),
    *(sample.DrawsByItself, sample.Locked, sample.LateBuffers, sample.TwoThreads, sample.Rotary, sample.WideStatistics),
    *(sample.CallsItself, sample.OwnState, sample.MoreArguments, sample.scripted, sample.sequential),
]
RECIPES = ["fp16_amp_scaled", "fp32", "bf16_amp", "bf16"]


def name_of(model: object) -> str:
    return f"{model.__module__}:{model.__name__}"  # type: ignore[attr-defined]


@deprecated.script
@pytest.mark.parametrize(
    ("model", "recipe"),
    thinned(product(LEARN, RECIPES), kept=len(LEARN)),  # each model once, each recipe with a quarter of them
    ids=lambda x: getattr(x, "__name__", x),
)
def test_it_trains_and_is_evaluated_on_finite_numbers(model: object, recipe: str) -> None:
    if (model, recipe) == (sample.scripted, "fp16_amp_scaled"):
        pytest.skip("TorchScript remembers the dtype that it ran in before, in this process and not in a cell's own")
    row = end(name_of(model), recipe, learning_rate=0.01 if model is sample.Normed else 0.05)
    assert (row["status"], row["because"]) == ("ok", None)
    threads = "no count of operations: RuntimeError: Conv2d runs in a thread that the network starts"
    passes_failed = row.get("passes_failed")
    assert (passes_failed or "").startswith(threads) if model is sample.TwoThreads else passes_failed is None
    assert row["test_accuracy"] > 0.6
    assert math.isfinite(row["test_loss"])
    assert row["num_skipped"] <= 1


@deprecated.script
@pytest.mark.parametrize("model", thinned(LEARN, kept=6), ids=lambda model: model.__name__)
def test_looks_an_average_and_accumulation_leave_it_trainable(model: object) -> None:
    row = end(name_of(model), "bf16_amp", {"numerics_samples": 2}, ema_decay=0.5, accumulation=2, grad_clip=5.0)
    assert (row["status"], row["because"]) == ("ok", None)
    assert row["test_accuracy"] > 0.6


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (sample.LateLayer, r"LateLayer: its first step made the weight 'linear.weight'"),
        (losses.LossAndLogits, r"LossAndLogits: the model returns tuple of NoneType, Tensor \(64, 10\), and no logits"),
        (losses.LossOfImages, r"LossOfImages: its own loss\(outputs, y_N\) failed with what the model returned"),
        (losses.LossOfThree, r"LossOfThree: its own loss\(outputs, y_N\) failed with what the model returned"),
        (losses.NeedsLabels, r"missing 1 required positional argument: 'y_N'"),
    ],
    ids=lambda x: x if isinstance(x, str) else x.__name__,
)
def test_it_ends_in_a_line_that_says_what_to_do(model: object, said: str) -> None:
    row = end(name_of(model))
    assert row["status"] == "failed"
    assert re.search(said, row["because"]), row["because"]


def test_numpy_has_no_bf16() -> None:
    assert end(name_of(sample.ByNumpy), "bf16_amp")["status"] == "ok"
    row = end(name_of(sample.ByNumpy), "bf16")
    assert row["status"] == "unsupported"
    assert "does not compute in bf16 on cpu (Got unsupported ScalarType BFloat16)" in row["because"]
