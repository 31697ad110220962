"""What is set for the process is ours after a model was built, and the record says what it had changed."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from ampbench.bench.measure.dtypes import fp32_errors
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.settings import SETTINGS, read_settings, restore_settings
from ampbench.bench.train.statuses import Unsupported
from ampbench.bench.worker.measurement import Measurement
from tests.support import meddling
from tests.support.measuring import plain, row_of
from tests.support.thinned import thinned

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def ours() -> Iterator[None]:
    before = read_settings()
    yield
    restore_settings(before)


def measured(model: str, recipe: str = "fp32", **fields: Any) -> Measurement:
    values: dict[str, Any] = {"data": "digits", "image_size": 8, "batch_size": 512, "epochs": 2, "num_threads": 1}
    cell = Cell(model=model, precision=RECIPES[recipe], learning_rate=0.05, **values | fields)
    measurement = Measurement(cell, MeasurementProtocol(passes=()), CPU, lambda **_: None)
    measurement.take()
    return measurement


def losses(measurement: Measurement) -> list[float]:
    return [row["loss"] for row in plain(measurement.outcome.traces.steps)]


@pytest.mark.parametrize(
    ("factory", "recipe"),
    thinned(itertools.product(("wide", "narrow", "everything"), ("fp32", "bf16", "bf16_amp")), kept=3),
)
def test_a_factory_leaves_the_process_as_it_was_and_the_record_says_what_it_set(factory: str, recipe: str) -> None:
    plain = measured("tests.support.tiny:Net", recipe)
    before = read_settings()
    changed = measured(f"tests.support.meddling:{factory}", recipe)
    assert read_settings() == before
    assert row_of(plain)["model_changed"] is None
    expected = {"wide": "default dtype torch.float64", "narrow": "default dtype torch.bfloat16"}
    assert expected.get(factory, "threads 3; gradients False") in row_of(changed)["model_changed"]
    assert row_of(changed).get("fp32_errors") == row_of(plain).get("fp32_errors")
    assert row_of(changed)["fp32_precision"] == row_of(plain)["fp32_precision"]
    if factory == "everything":
        assert losses(changed) == losses(plain)
        words = ("autocast on a CPU", "oneDNN", "flushing of denormals", "fp32 precision tf32", "NumPy's errors")
        assert all(word in row_of(changed)["model_changed"] for word in words)


def test_every_setting_comes_back_from_whatever_it_is_set_to() -> None:
    before = read_settings()
    assert before.keys() <= SETTINGS.keys()
    for precision in ("high", "medium"):
        torch.set_float32_matmul_precision(precision)
        assert restore_settings(before)
        assert read_settings() == before
    for name in [name for name in before if name.startswith("fp32 precision")]:
        SETTINGS[name].write("tf32")
        restore_settings(before)
        assert read_settings() == before, name
    meddling.everything()
    restore_settings(before)
    assert read_settings() == before


def test_our_witnesses_do_not_ask_what_the_default_dtype_is() -> None:
    expected = fp32_errors(CPU)
    for dtype in (torch.float64, torch.bfloat16):
        torch.set_default_dtype(dtype)
        assert fp32_errors(CPU) == expected
    assert all(0 < error < 2**-16 for error in expected.values())


def test_a_factory_that_seeds_gives_its_weights_and_no_more() -> None:
    first, second = (measured("tests.support.meddling:seeded", seed=seed) for seed in (0, 1))
    assert row_of(first)["model_changed"] == "torch's seed 1234"
    assert losses(first) != losses(second), "order and dropout are the cell's"


def test_what_a_forward_pass_sets_is_set_back_after_the_first_step() -> None:
    measurement = measured("tests.support.meddling:InForward")
    assert row_of(measurement)["model_changed"] == "in its first step default dtype torch.float64"


def test_a_switch_that_a_factory_sets_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with pytest.raises(Unsupported, match="NVIDIA_TF32_OVERRIDE"):
        measured("tests.support.meddling:switching")


@pytest.mark.parametrize("recipe", ["fp32", "bf16"])
def test_lazy_layers_have_their_shapes_before_the_optimizer_asks(recipe: str) -> None:
    lazy = measured("tests.support.meddling:Lazy", recipe, ema_decay=0.9)
    assert row_of(lazy)["num_parameters"] == row_of(measured("tests.support.tiny:Net", recipe))["num_parameters"]
    assert row_of(lazy)["forward_flops"] == row_of(measured("tests.support.tiny:Net", recipe))["forward_flops"]
    assert losses(lazy)[-1] < losses(lazy)[0]


@pytest.mark.parametrize(("model", "weight"), [("LateWeight", "scale"), ("ReplacedWeight", "linear.weight")])
def test_a_weight_that_no_optimizer_would_update_is_said_before_the_second_step(model: str, weight: str) -> None:
    with pytest.raises(ValueError, match=f"its first step made the weight '{weight}'.*make it in __init__"):
        measured(f"tests.support.meddling:{model}")
