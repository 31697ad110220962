"""The moving average of the weights: torch's own, in fp32 whatever the weights are, and what is evaluated."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bench.plan.cell import Cell
from bench.plan.recipe import RECIPES
from bench.train.average import MovingAverage, NoAverage
from bench.train.images import Images, load_images
from bench.train.training import Training
from tests.tiny import Net

CPU = torch.device("cpu")
CELL = Cell(model="tests.tiny:Net", data="digits", precision=RECIPES["fp32"], batch_size=256, image_size=8, epochs=1)


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
    ours = training.average.model().state_dict()
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
    assert isinstance(plain.average, NoAverage)


def test_a_step_that_16_bits_would_lose_moves_the_average() -> None:
    net = Net().to(torch.bfloat16)
    average = MovingAverage(net, decay=0.999)
    before = [x.clone() for x in average.state_dict()]
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(2)
    average.follow()
    weights = list(net.parameters())
    for old, new, weight in zip(before, average.state_dict(), weights, strict=False):
        nonzero = old != 0
        assert new.dtype == torch.float32
        torch.testing.assert_close(new[nonzero], old[nonzero] * 1.001, rtol=1e-6, atol=0)
        assert weight.dtype == torch.bfloat16
