"""Updates that 16 bits would round away, and the three ways to keep them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.loss_scale import LossScale
from ampbench.bench.plan.recipe import RECIPES, Rounding
from ampbench.bench.train.optimizer import build_optimizer
from ampbench.bench.train.precision.master_weights import MasterWeights, round_stochastically
from ampbench.bench.train.precision.scaler import Scaler

CPU = torch.device("cpu")
SMALL = 2.0**-12
"""Far below half an ulp of 1 in bf16 (2^-8), and of 1 in fp16 for a sixteenth of it (2^-11)."""


def optimizer_over(parameters: list[nn.Parameter], **fields: object) -> torch.optim.Optimizer:
    given = {"model": "x", "data": "x", "precision": RECIPES["fp32"], "batch_size": 1, "learning_rate": 1.0}
    fields = {"momentum": 0.0, "weight_decay": 0.0} | fields
    return build_optimizer(parameters, Cell(**given | fields))  # type: ignore[arg-type]


def descend(weight: nn.Parameter, optimizer: torch.optim.Optimizer, steps: int, gradient: float = -SMALL) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        (weight * gradient).sum().backward()
        optimizer.step()


def test_plain_bf16_loses_every_small_update() -> None:
    weight = nn.Parameter(torch.ones(8, dtype=torch.bfloat16))
    descend(weight, optimizer_over([weight]), steps=64)
    assert torch.equal(weight.detach(), torch.ones(8, dtype=torch.bfloat16))


@pytest.mark.parametrize("impl", ["fused", "foreach"])
@pytest.mark.parametrize("rounding", ["nearest", "kahan"])
def test_a_master_copy_and_a_kahan_term_keep_them(rounding: Rounding, impl: str) -> None:
    weight = nn.Parameter(torch.ones(8, dtype=torch.bfloat16))
    master = MasterWeights([weight], rounding, CPU, seed=0)
    optimizer = optimizer_over(master.parameters, optimizer_impl=impl)
    master.follow(optimizer)
    descend(weight, optimizer, steps=64)
    assert torch.equal(weight.detach().float(), torch.full((8,), 1 + 64 * SMALL))


def test_stochastic_rounding_keeps_them_on_average() -> None:
    weight = nn.Parameter(torch.ones(4096, dtype=torch.bfloat16))
    master = MasterWeights([weight], "stochastic", CPU, seed=0)
    optimizer = optimizer_over(master.parameters)
    master.follow(optimizer)
    descend(weight, optimizer, steps=64)
    moved = weight.detach().double() - 1
    deviation = math.sqrt(64 * (2.0**-7) * SMALL / 4096)
    assert float(moved.mean()) == pytest.approx(64 * SMALL, abs=5 * deviation)


def test_stochastic_rounding_gives_a_neighbour_with_the_right_probability() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.full((100_000,), 1 + 0.25 * 2.0**-7)
    rounded = round_stochastically(x, generator)
    assert set(rounded.double().tolist()) == {1.0, 1 + 2.0**-7}
    assert float((rounded > 1).double().mean()) == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / 100_000))
    assert float((round_stochastically(-x, generator) < -1).double().mean()) == pytest.approx(0.25, abs=0.01)


def test_stochastic_rounding_leaves_what_bf16_holds() -> None:
    x = torch.tensor([0.0, -0.0, 1.0, -1.5, 2.0**-133, 3.3895e38, math.inf, -math.inf]).to(torch.bfloat16).float()
    for seed in range(20):
        assert torch.equal(round_stochastically(x, torch.Generator().manual_seed(seed)).float(), x)
    assert bool(round_stochastically(torch.tensor([math.nan]), torch.Generator()).isnan())


@pytest.mark.parametrize("rounding", ["nearest", "kahan", "stochastic"])
def test_a_skipped_step_moves_nothing(rounding: Rounding) -> None:
    weight = nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    master = MasterWeights([weight], rounding, CPU, seed=0)
    optimizer = optimizer_over(master.parameters)
    master.follow(optimizer)
    descend(weight, optimizer, steps=3)
    before = weight.detach().clone()
    scaler = Scaler(LossScale.parse("dynamic"), CPU)
    optimizer.zero_grad()
    scaler.scale((weight.float() * math.inf).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert float(scaler.num_skipped) == 1
    assert torch.equal(weight.detach(), before)


def test_a_dynamic_scale_is_divided_out_of_fp32_gradients_of_fp16_weights() -> None:
    weight = nn.Parameter(torch.ones(4, dtype=torch.float16))
    master = MasterWeights([weight], "nearest", CPU, seed=0)
    optimizer = optimizer_over(master.parameters)
    master.follow(optimizer)
    scaler = Scaler(LossScale.parse("dynamic:init=1024"), CPU)
    scaler.scale((weight.float() * 2.0**-26).sum()).backward()
    assert weight.grad is None
    scaler.step(optimizer)
    assert torch.equal(master.parameters[0].detach(), torch.full((4,), 1 - 2.0**-26).float())


def test_gradients_of_several_backward_passes_add_up_in_fp32() -> None:
    weight = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    master = MasterWeights([weight], "nearest", CPU, seed=0)
    for gradient in (1.0, 2.0**-9):
        (weight * gradient).sum().backward()
    assert float(master.parameters[0].grad) == 1 + 2.0**-9  # type: ignore[arg-type]
