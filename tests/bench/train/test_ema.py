"""The moving average of the weights: torch's own, in fp32 whatever the weights are, and what is evaluated."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.ema import Ema, NoEma
from ampbench.bench.train.images.images import Images, load_images
from ampbench.bench.train.training import Training
from tests.support import deprecated, stateful
from tests.support.thinned import thinned
from tests.support.tiny import Net

CPU = torch.device("cpu")
RESTORED = [kind.__name__ for kind in stateful.RESTORED]
CELL = Cell(
    model="tests.support.tiny:Net", data="digits", precision=RECIPES["fp32"], batch_size=256, image_size=8, epochs=1
)


@pytest.fixture(scope="module")
def images() -> Images:
    return load_images("digits", 8)


def trained(images: Images, **fields: object) -> Training:
    training = Training(replace(CELL, **fields), images, CPU)  # type: ignore[arg-type]
    for _ in training.steps(0):
        pass
    return training


def test_it_is_torchs_own_average_weights_and_statistics_alike(images: Images) -> None:
    training = Training(replace(CELL, ema_decay=0.9), images, CPU)
    theirs = AveragedModel(training.model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    theirs.update_parameters(training.model)  # takes the first weights as they are
    for _ in training.steps(0):
        theirs.update_parameters(training.model)
    with training.ema.evaluated() as averaged:
        ours = {name: x.clone() for name, x in averaged.state_dict().items()}
    for name, expected in theirs.module.state_dict().items():
        if not expected.is_floating_point():
            assert ours[name] == training.model.state_dict()[name]  # batches counted: there is no mean of that
            continue
        torch.testing.assert_close(ours[name].float(), expected.float(), rtol=1e-5, atol=1e-6, msg=name)


def test_the_average_is_what_is_evaluated_and_training_goes_on_as_without(images: Images) -> None:
    averaged, plain = trained(images, ema_decay=0.99, learning_rate=0.1), trained(images, learning_rate=0.1)
    for a, b in zip(averaged.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert averaged.evaluate().test_loss != plain.evaluate().test_loss
    assert averaged.model.training
    assert isinstance(plain.ema, NoEma)


def test_a_step_that_16_bits_would_lose_moves_the_average() -> None:
    net = Net().to(torch.bfloat16)
    average = Ema(net, decay=0.999)
    before = [x.clone() for x in average.state_dict().values()]
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(2)
    average.update()
    weights = list(net.parameters())
    for old, new, weight in zip(before, average.state_dict().values(), weights, strict=False):
        nonzero = old != 0
        assert new.dtype == torch.float32
        torch.testing.assert_close(new[nonzero], old[nonzero] * 1.001, rtol=1e-6, atol=0)
        assert weight.dtype == torch.bfloat16


def stateful_training(images: Images, model: str, **fields: object) -> Training:
    stateful.CALLS = stateful.CountingElsewhere.calls = 0
    return trained(images, model=f"tests.support.stateful:{model}", **fields)


@deprecated.weight_norm
@pytest.mark.parametrize(
    ("model", "recipe"),
    thinned(itertools.product((*RESTORED, "HalfUsedUp"), ("fp32", "bf16")), kept=len(RESTORED) // 2),
)
def test_an_average_that_follows_at_once_is_the_network_itself(images: Images, model: str, recipe: str) -> None:
    """With a decay of nearly 0 nothing is averaged: a stale buffer or a weight of another step would be seen."""
    plain = stateful_training(images, model, precision=RECIPES[recipe]).evaluate()
    averaged = stateful_training(images, model, precision=RECIPES[recipe], ema_decay=1e-30).evaluate()
    assert averaged == plain


@deprecated.weight_norm
@pytest.mark.parametrize("model", thinned(RESTORED, kept=len(RESTORED) // 2))
def test_an_evaluation_of_the_average_leaves_the_training_as_it_is(images: Images, model: str) -> None:
    losses = []
    for ema_decay in (0.0, 0.9):
        training = stateful_training(images, model, ema_decay=ema_decay)
        training.evaluate()
        losses.append([float(step.loss) for step in training.steps(1)])
    assert losses[0] == losses[1]


def test_a_buffer_that_is_replaced_in_every_step_is_averaged(images: Images) -> None:
    training = Training(replace(CELL, model="tests.support.stateful:ReplacedBuffer", ema_decay=0.5), images, CPU)
    expected = training.model.mean.clone()  # type: ignore[operator, union-attr]
    for _ in training.steps(0):
        expected.lerp_(training.model.mean, 0.5)  # type: ignore[arg-type]
    own = training.model.mean
    with training.ema.evaluated() as averaged:
        torch.testing.assert_close(averaged.mean, expected)
    assert training.model.mean is own


class Complex(Net):
    """With a complex weight, a wide buffer and a scripted part."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = torch.nn.Parameter(torch.ones(3, 1, 1, dtype=torch.complex64) * 1j)
        self.register_buffer("wide", torch.full((3,), 1 / 3, dtype=torch.float64))
        self.linear = torch.jit.script(self.linear)


@deprecated.script
def test_complex_wide_and_scripted_numbers_keep_what_they_are() -> None:
    net = Complex()
    average = Ema(net, decay=0.5)
    with torch.no_grad():
        net.turn.mul_(3)
        net.wide.mul_(3)
        net.linear.weight.fill_(1)
    average.update()
    average.update()
    with average.evaluated() as averaged:
        assert averaged.turn[0, 0, 0] == 2.5j
        assert averaged.wide[0] == pytest.approx(2.5 / 3, abs=1e-15)
        assert float(averaged.linear.weight.detach().mean()) == pytest.approx(0.75, abs=0.02)
    assert net.turn[0, 0, 0] == 3j
    assert net.linear.weight[0, 0] == 1
