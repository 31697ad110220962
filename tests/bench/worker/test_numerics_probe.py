"""A numerics sample changes no training and finds what was planted; the replay names the layer that diverged."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES, Recipe
from ampbench.bench.train.images.images import Images, load_images
from ampbench.bench.train.statuses import Diverged
from ampbench.bench.train.training import Training
from ampbench.bench.worker.cell import find_divergence
from ampbench.bench.worker.divergence.replay import first_non_finite
from ampbench.bench.worker.measurement import Measurement
from ampbench.bench.worker.numerics_probe.sample import LayerSampler, layers_of
from tests.support.measuring import row_of
from tests.support.thinned import thinned
from tests.support.tiny import SHARED

CPU = torch.device("cpu")
OWN = {
    "bf16_kahan": Recipe(name="bf16_kahan", weights="bf16", compute="bf16", rounding="kahan"),
    "bf16_stochastic": Recipe(name="bf16_stochastic", weights="bf16", compute="bf16", rounding="stochastic"),
    "fp16_kept": Recipe(
        name="fp16_kept",
        weights="fp16",
        compute="fp16",
        master_weights=True,
        loss_scale="dynamic:init=1024",
        keep_fp32=("norm",),
    ),
}
ALL = {name: recipe for name, recipe in RECIPES.items() if not recipe.needs_gpu} | OWN


def training(recipe: str, images: Images, **fields: object) -> Training:
    given = {"model": "tests.support.tiny:Net", "data": "digits", "image_size": 8, "batch_size": 512, "epochs": 3}
    cell = Cell(**given | {"precision": ALL[recipe], "learning_rate": 0.05} | fields)  # type: ignore[arg-type]
    return Training(cell, images, CPU)


@pytest.fixture(scope="module")
def images() -> Images:
    return load_images("digits", 8)


def values(sample: object, quantity: str) -> dict[str, float]:
    rows = sample.layers  # type: ignore[attr-defined]
    return {row.layer: row.value for row in rows if (row.quantity, row.tensor) == (quantity, "gradient")}


CASES = [(recipe, "sgd") for recipe in ALL] + [(recipe, "adam") for recipe in ("bf16", "bf16_amp_scaled", "bf16_kahan")]


@pytest.mark.parametrize(("recipe", "optimizer"), thinned(CASES, kept=5))
def test_a_look_changes_no_bit_of_the_training(recipe: str, optimizer: str, images: Images) -> None:
    untouched = training(recipe, images, optimizer=optimizer)
    expected = [float(step.loss) for epoch in (0, 1) for step in untouched.steps(epoch)]
    torch.manual_seed(0)
    looked_at = training(recipe, images, optimizer=optimizer)
    probe, losses = LayerSampler(looked_at, activations=True), []
    for epoch in (0, 1):
        probe.sample(epoch)
        probe.warm_up()
        losses += [float(step.loss) for step in looked_at.steps(epoch)]
    assert losses == expected
    for key, value in untouched.model.state_dict().items():
        assert torch.equal(value, looked_at.model.state_dict()[key]), key


def test_fp32_has_no_distance_from_itself_and_16_bit_has_one(images: Images) -> None:
    distances = {
        name: values(LayerSampler(training(name, images), activations=False).sample(0), "distance") for name in ALL
    }
    assert set(distances["fp32"]) == {"conv", "norm", "linear"}
    assert set(distances["fp32"].values()) == {0.0}
    for name in ("bf16", "bf16_amp", "fp16_amp"):
        assert all(0 < d < 0.5 for d in distances[name].values()), name
    assert max(distances["fp16_amp"].values()) < max(distances["bf16_amp"].values())


def test_a_small_gradient_is_flushed_in_fp16_and_saved_by_a_loss_scale(images: Images) -> None:
    """A head with tiny weights passes on a tiny gradient."""
    found = {}
    for name in ("fp16_amp", "fp16_amp_scaled", "bf16_amp"):
        trained = training(name, images)
        with torch.no_grad():
            trained.model.linear.weight.mul_(1e-7)  # type: ignore[union-attr, operator]
        found[name] = values(LayerSampler(trained, activations=False).sample(0), "flushed_share")
    assert found["fp16_amp"]["conv"] > 0.8
    assert found["fp16_amp_scaled"]["conv"] < 0.05
    assert found["bf16_amp"]["conv"] == 0


def test_pure_bf16_loses_updates_that_a_kahan_term_keeps(images: Images) -> None:
    plain = LayerSampler(training("bf16", images, learning_rate=1e-4, weight_decay=0.0), activations=False).sample(0)
    kahan = LayerSampler(
        training("bf16_kahan", images, learning_rate=1e-4, weight_decay=0.0), activations=False
    ).sample(0)
    assert values(plain, "lost_update_share")["linear"] > 0.9
    assert values(plain, "unmoved_share")["linear"] > 0.9
    assert values(kahan, "unmoved_share")["linear"] < 0.6
    assert values(kahan, "lost_update_share") == {}


def test_activations_are_looked_at_on_request(images: Images) -> None:
    sample = LayerSampler(training("bf16_amp", images), activations=True).sample(0)
    kinds = {(row.layer, row.tensor) for row in sample.exponents}
    assert {("conv", "gradient"), ("conv", "activation"), ("conv", "activation gradient")} <= kinds
    without = LayerSampler(training("bf16_amp", images), activations=False).sample(0)
    assert {row.tensor for row in without.exponents} == {"gradient"}


def test_a_net_without_gradients_has_rows_and_no_shares(images: Images) -> None:
    sample = LayerSampler(training("fp16_amp", images, model="tests.support.tiny:NoGradient"), activations=True).sample(
        0
    )
    assert values(sample, "flushed_share") == {}
    assert values(sample, "norm") == {"conv": 0.0, "norm": 0.0, "linear": 0.0}
    assert sample.headroom_bits is None


def test_layers_are_modules_in_the_models_order() -> None:
    names = ["stem.conv.weight", "stem.conv.bias", "token", "head.weight"]
    assert layers_of(names) == {"stem.conv": names[:2], "token": ["token"], "head": ["head.weight"]}


@pytest.mark.parametrize(
    ("model", "layer", "where"),
    [
        ("BreaksForward", "conv", "input"),
        ("BreaksBackward", "norm", "backward"),
        ("Tupled", "lstm", "forward"),
        ("Attending", "attention", "input"),
        ("BreaksLoss", "the loss", "forward"),
    ],
)
@pytest.mark.parametrize("from_checkpoint", [False, True])
def test_a_replay_names_step_layer_and_direction(
    model: str, layer: str, where: str, from_checkpoint: bool, images: Images
) -> None:
    broken = training("fp32", images, model=f"tests.support.tiny:{model}")
    saved = None
    if from_checkpoint:
        for _ in broken.steps(0):
            pass
        saved = {"training": broken.state_dict(), "epoch": 1}
    finding = first_non_finite(broken.cell, images, CPU, saved, last_step=20, max_s=600)
    assert finding is not None
    assert finding.step == 6  # the count of calls is part of a checkpoint
    assert (finding.layer, finding.where) == (layer, where)
    assert f"{layer} was the first to be non-finite" in str(finding)


@pytest.mark.parametrize("recipe", ["fp32", "bf16", "bf16_stochastic"])
def test_a_factory_that_returns_one_network_is_replayed_from_where_it_began(recipe: str, images: Images) -> None:
    SHARED.clear()
    broken = training(recipe, images, model="tests.support.tiny:shared")
    assert training(recipe, images, model="tests.support.tiny:BreaksForward").start is None
    for _ in range(8):
        next(broken.endless_steps())
    assert not broken.model.conv.weight.isfinite().all()  # type: ignore[operator, union-attr]
    finding = first_non_finite(broken.cell, images, CPU, None, last_step=20, max_s=600, start=broken.start)
    assert finding is not None
    assert (finding.step, finding.layer, finding.where) == (6, "conv", "input")


def test_a_session_that_diverged_names_the_layer_of_a_shared_network(images: Images) -> None:
    SHARED.clear()
    cell = dataclasses.replace(training("fp32", images).cell, model="tests.support.tiny:shared")
    measurement = Measurement(cell, MeasurementProtocol(passes=()), CPU, lambda **_: None)
    with pytest.raises(Diverged):
        measurement.take()
    said = find_divergence(measurement, max_s=600)
    assert "the input of conv was the first to be non-finite, and no layer's output" in said
    assert said.endswith(", at step 6")
    assert (row_of(measurement)["diverged_layer"], row_of(measurement)["diverged_in"]) == ("conv", "input")


def test_a_huge_learning_rate_breaks_in_the_forward_of_the_next_steps(images: Images) -> None:
    cell = dataclasses.replace(training("fp32", images).cell, learning_rate=1e20)
    finding = first_non_finite(cell, images, CPU, None, last_step=5, max_s=600)
    assert finding is not None
    assert finding.step <= 3


def test_a_healthy_training_has_no_finding(images: Images) -> None:
    assert first_non_finite(training("bf16_amp", images).cell, images, CPU, None, last_step=4, max_s=600) is None


def test_an_overflow_that_the_scaler_skips_is_no_finding(images: Images) -> None:
    cell = training("fp16_amp", images, loss_scale="dynamic:init=16777216,interval=1000").cell
    assert first_non_finite(cell, images, CPU, None, last_step=4, max_s=600) is None
