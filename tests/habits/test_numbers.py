"""Numbers that are not real or not fp32 keep their dtype, or a recipe that does not support them is `unsupported`."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import pytest
import torch
from torch import nn

from ampbench.bench.plan.recipe import Recipe
from ampbench.bench.train.images.images import load_images
from ampbench.bench.train.precision.dtype_limits import why_not_in_16_bits
from ampbench.bench.train.training import Training
from tests.habits import numbers
from tests.habits.ending import CPU, cell_of, end, end_once
from tests.support.thinned import thinned

ALL = ["fp32", "bf16_amp", "bf16", "fp16_amp_scaled"]


def trained(model: type[nn.Module], recipe: str = "fp32", **fields: Any) -> Any:
    row = end(model, recipe, {"numerics_samples": 2}, **fields)
    assert (row["status"], row["because"]) == ("ok", None)
    assert row.get("passes_failed") is None
    assert row["test_accuracy"] > 0.7
    return row


@pytest.mark.parametrize("recipe", thinned(ALL, kept=3))
def test_a_complex_buffer_keeps_its_imaginary_part(recipe: str) -> None:
    trained(numbers.ComplexBuffer, recipe)
    training = Training(cell_of(numbers.ComplexBuffer, recipe), load_images("digits", 16), CPU)
    assert torch.equal(training.model.phase, torch.full((512,), 1j))


@pytest.mark.parametrize(
    "fields",
    [{}, {"optimizer": "adamw", "learning_rate": 0.003}, {"grad_clip": 1.0, "accumulation": 2, "ema_decay": 0.9}],
)
def test_complex_weights_train_both_parts(fields: dict[str, Any]) -> None:
    row = trained(numbers.ComplexWeights, **fields)
    assert row["optimizer_dtypes"] == "complex64 float32"
    training = Training(cell_of(numbers.ComplexWeights, **fields), load_images("digits", 16), CPU)
    before = training.model.spectral.detach().clone()
    next(training.steps(0))
    moved = training.model.spectral.detach() - before
    assert moved.dtype == torch.complex64
    assert bool((moved.imag != 0).any())


def test_a_norm_counts_both_parts_of_a_complex_gradient() -> None:
    free = Training(cell_of(numbers.ComplexWeights), load_images("digits", 16), CPU)
    next(free.steps(0))
    theirs = float(torch.nn.utils.get_total_norm([p.grad for p in free.model.parameters()]))
    clipped = Training(cell_of(numbers.ComplexWeights, grad_clip=theirs / 2), load_images("digits", 16), CPU)
    next(clipped.steps(0))
    norm = float(torch.nn.utils.get_total_norm([p.grad for p in clipped.model.parameters()]))
    assert norm == pytest.approx(theirs / 2, rel=1e-4)


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("bf16", "bf16 keeps weights in bf16, and the complex weight 'spectral' has no such form"),
        ("fp16_amp_scaled", "fp16_amp_scaled scales the loss, and torch's GradScaler cannot check the gradient of"),
    ],
)
def test_a_recipe_that_cannot_hold_complex_weights_is_unsupported(recipe: str, said: str) -> None:
    row = end(numbers.ComplexWeights, recipe)
    assert row["status"] == "unsupported"
    assert said in row["because"]


@pytest.mark.parametrize(
    ("model", "recipe"), thinned(product([numbers.Float64Island, numbers.Float64ByHand], ALL), kept=4)
)
def test_float64_on_purpose_is_kept_and_no_contradiction(model: type[nn.Module], recipe: str) -> None:
    row = trained(model, recipe)
    assert "float64" in row["dtype_check"]


def test_clipping_and_fp32_copies_know_float64() -> None:
    copies = Recipe(name="copies", weights="bf16", compute="bf16", master_weights=True)
    for recipe in (copies, Recipe(name="random", weights="bf16", compute="bf16", rounding="stochastic")):
        cell = cell_of(numbers.Float64Island, "bf16", grad_clip=1.0)
        training = Training(type(cell)(**vars_of(cell) | {"precision": recipe}), load_images("digits", 16), CPU)
        before = training.model.exact.weight.detach().clone()
        next(training.steps(0))
        assert training.model.exact.weight.dtype == torch.float64
        assert not torch.equal(before, training.model.exact.weight)


def vars_of(cell: Any) -> dict[str, Any]:
    return {name: getattr(cell, name) for name in cell.__dataclass_fields__}


def test_a_model_that_is_float64_throughout_takes_the_recipe_s_dtype() -> None:
    row = trained(numbers.AllFloat64)
    assert row["optimizer_dtypes"] == "float32"
    assert "float64" not in row["dtype_check"]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (numbers.QR, "torch's operator geqrf_cpu does not compute in (bf16|fp16) on cpu"),
        (numbers.Fourier, r"what stands in numbers.py:\d+ does not compute in (bf16|fp16) on cpu \(Unsupported dtype"),
        (numbers.Fp32ByHand, r"the model mixes numbers of its own with weights of (bf16|fp16), in numbers.py:\d+"),
        (numbers.Fp32IntoNorm, r"the model mixes numbers of its own with weights of (bf16|fp16), in numbers.py:\d+"),
    ],
)
@pytest.mark.parametrize("recipe", ["bf16", "fp16"])
def test_what_16_bits_lack_is_unsupported_and_names_the_operator(
    model: type[nn.Module], said: str, recipe: str
) -> None:
    row = end(model, recipe)
    assert row["status"] == "unsupported"
    assert re.match(said, row["because"]), row["because"]
    assert end_once(model)["status"] == "ok"
    assert end_once(model, "bf16_amp")["status"] == ("unsupported" if model is None else "ok")


@pytest.mark.parametrize(
    ("error", "operator"),
    [
        (NotImplementedError("\"orgqr_cpu\" not implemented for 'BFloat16'"), "operator orgqr_cpu"),
        (NotImplementedError("linalg.inv: Low precision dtypes not supported. Got Half"), "operator linalg.inv"),
        (
            RuntimeError("operator(), roi_align_kernel.cpp:336, \"roi_align\" not implemented for 'BFloat16'"),
            "roi_align",
        ),
        (RuntimeError("quantile() input tensor must be either float or double dtype"), "operator quantile"),
        (RuntimeError("cuFFT only supports dimensions whose sizes are powers of two when computing in half"), "an op"),
        (RuntimeError("could not create a primitive descriptor for the LSTM forward propagation"), "an operator"),
        (TypeError("Got unsupported ScalarType BFloat16"), "an operator"),
        (
            NotImplementedError("view_as_complex is only supported for half, float and double tensors, BFloat16"),
            "an op",
        ),
    ],
)
def test_the_ways_in_which_torch_says_that_a_dtype_lacks_an_operator(error: Exception, operator: str) -> None:
    recipe = cell_of("LeNet", "bf16").precision
    said = why_not_in_16_bits(error, recipe, CPU)
    assert said is not None
    assert operator in said
    assert why_not_in_16_bits(error, cell_of("LeNet", "fp32").precision, CPU) is None


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (64x512 and 12x10)"),
        RuntimeError("view size is not compatible with input tensor's size and stride"),
        RuntimeError("CUDA out of memory"),
        KeyError("Half"),
        NotImplementedError('Module [Net] is missing the required "forward" function'),
    ],
)
def test_other_errors_are_the_model_s(error: Exception) -> None:
    assert why_not_in_16_bits(error, cell_of("LeNet", "bf16").precision, CPU) is None
