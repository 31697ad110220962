"""fp8 products in Linear layers: which layers take them, what they round, and that the proof sees them.

The products are emulated: the same numbers as on a GPU, without its speed.
"""

from __future__ import annotations

import sys
from functools import partial

import pytest
import torch
from torch import nn

from ampbench.bench.measure.dtypes import DtypeCheck
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.images.images import load_images
from ampbench.bench.train.precision import precision
from ampbench.bench.train.precision.fp8 import with_fp8_products, without_fp8_products
from ampbench.bench.train.statuses import Unsupported
from ampbench.bench.train.training import Training
from ampbench.bench.worker.numerics_probe.sample import LayerSampler
from tests.support import tiny

CPU = torch.device("cpu")


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine pass for one that has fp8."""
    monkeypatch.setattr(precision, "require_support", lambda *_: None)
    monkeypatch.setattr(precision, "with_fp8_products", partial(with_fp8_products, emulate=True))


def training(recipe: str, batch_size: int = 64) -> Training:
    cell = Cell(
        model="tests.support.tiny:Wide",
        data="digits",
        precision=RECIPES[recipe],
        batch_size=batch_size,
        epochs=1,
        learning_rate=0.05,
    )
    return Training(cell, load_images("digits", 32), CPU)


def e4m3(x: torch.Tensor) -> torch.Tensor:
    """Round as torchao does: scaled so that the largest entry becomes 448, the largest number of E4M3."""
    scale = 448 / x.abs().max().double()
    return ((x * scale).float().to(torch.float8_e4m3fn).double() / scale).float()


def test_a_layer_multiplies_what_rounding_to_8_bits_leaves_of_both_sides() -> None:
    plain = nn.Linear(32, 16, bias=False)
    x_NC = torch.randn(64, 32)
    expected = e4m3(x_NC) @ e4m3(plain.weight.detach()).T
    y_NK = with_fp8_products(plain, emulate=True)(x_NC)
    torch.testing.assert_close(y_NK.detach(), expected, rtol=1e-4, atol=1e-4)
    assert (y_NK - x_NC @ plain.weight.T).abs().max() > 1e-3


def test_only_layers_of_sixteens_are_changed_and_their_weights_stay() -> None:
    model = nn.Sequential(nn.Linear(32, 16), nn.Linear(16, 10), nn.Linear(20, 16), nn.MultiheadAttention(32, 2))
    weights = dict(model.named_parameters())
    kinds = [type(layer).__name__ for layer in with_fp8_products(model, emulate=True)]  # type: ignore[attr-defined]
    assert kinds == ["Float8Linear", "Linear", "Linear", "MultiheadAttention"]
    assert type(model[3].out_proj).__name__ == "NonDynamicallyQuantizableLinear"
    assert all(weights[name] is p for name, p in model.named_parameters())


def test_undone_they_are_the_layers_that_they_were() -> None:
    plain = nn.Sequential(nn.Linear(32, 16))
    x_NC = torch.randn(8, 32)
    expected = plain(x_NC)
    assert torch.equal(without_fp8_products(with_fp8_products(plain, emulate=True))(x_NC), expected)


def test_a_model_without_such_a_layer_and_a_machine_without_torchao_are_unsupported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(Unsupported, match="no Linear layer whose sizes are both multiples of 16"):
        with_fp8_products(tiny.Net(), emulate=True)
    monkeypatch.setitem(sys.modules, "torchao.float8", None)
    with pytest.raises(Unsupported, match="pip install torchao"):
        with_fp8_products(tiny.Wide(), emulate=True)


@pytest.mark.usefixtures("emulated")
def test_the_recipe_trains_through_the_one_step_whatever_the_batch() -> None:
    trained = training("fp8", batch_size=50)
    losses = [float(step.loss) for _, step in zip(range(24), trained.steps(0), strict=False)]
    assert losses[-1] < losses[0]
    assert {p.dtype for p in trained.model.parameters()} == {torch.float32}


@pytest.mark.usefixtures("emulated")
def test_the_proof_sees_8_bits_in_the_products_and_their_absence() -> None:
    for recipe, seen in (("fp8", True), ("bf16_amp", False)):
        trained = training(recipe)
        with DtypeCheck(trained.model) as proof:
            next(trained.steps(0))
        assert ("float8_e4m3fn" in str(proof)) is ("float8_e5m2" in str(proof)) is seen
        assert (proof.contradicts(torch.bfloat16, fp8=True) is None) is seen
        assert (proof.contradicts(torch.bfloat16) is None) is not seen
    assert "the recipe multiplies in fp8, but matrix products and convolutions ran in bfloat16" in str(
        proof.contradicts(torch.bfloat16, fp8=True)
    )


@pytest.mark.usefixtures("emulated")
def test_a_look_compares_with_strict_fp32_and_finds_fp8_farther_from_it_than_bf16() -> None:
    distances = {}
    for recipe in ("bf16_amp", "fp8"):
        sample = LayerSampler(training(recipe), activations=False).sample(0)
        (distances[recipe],) = (
            row.value for row in sample.layers if (row.layer, row.quantity) == ("hidden", "distance")
        )
    assert 0 < 2 * distances["bf16_amp"] < distances["fp8"] < 1
