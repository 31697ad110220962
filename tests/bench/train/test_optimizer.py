"""The defects of torch's fused optimizers: survived, seen beforehand, or refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.loss_scale import LossScale
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.optimizer import build_optimizer, zero_momentum
from ampbench.bench.train.precision.scaler import Scaler
from ampbench.bench.train.statuses import Unsupported

CPU = torch.device("cpu")


def optimizer_of(weight: nn.Parameter, **fields: object) -> torch.optim.Optimizer:
    given = {"model": "LeNet", "data": "digits", "precision": RECIPES["fp32"], "batch_size": 1, "learning_rate": 0.5}
    return build_optimizer([weight], Cell(**given | {"weight_decay": 0.0} | fields))  # type: ignore[arg-type]


def scaled_step(weight: nn.Parameter, gradient: float, scaler: Scaler, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    scaler.scale((weight.float() * gradient).sum()).backward()
    scaler.step(optimizer)
    scaler.update()


@pytest.mark.parametrize("momentum", [0.9])
def test_fused_sgd_survives_a_skip_of_its_very_first_step(momentum: float) -> None:
    """Its momentum buffers are allocated uninitialised, and filled in a step that the scaler skips."""
    weights = {}
    for start in (float("inf"), None):
        weight = nn.Parameter(torch.ones(1000))
        optimizer = optimizer_of(weight, momentum=momentum)
        scaler = Scaler(LossScale.parse("static:8"), CPU)
        for gradient in [start, 1.0, 2.0] if start else [1.0, 2.0]:
            scaled_step(weight, gradient, scaler, optimizer)
        weights[start] = weight.detach()
    assert torch.equal(weights[float("inf")], weights[None])


def test_zeroed_momentum_leaves_an_unskipped_run_bit_equal() -> None:
    results = []
    for zeroed in (True, False):
        torch.manual_seed(0)
        weight = nn.Parameter(torch.randn(1000))
        optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9, weight_decay=5e-4, fused=True)
        if zeroed:
            zero_momentum(optimizer)
        for _ in range(3):
            weight.grad = torch.randn(1000)
            optimizer.step()
        results.append(weight.detach())
    assert torch.equal(*results)


class Idle(torch.optim.SGD):
    """Fused SGD as torch up to 2.13 has it on the CPU: of 16-bit weights only those move that fill no vector."""

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.dtype == torch.float32:
                    super().step()
                else:
                    with torch.no_grad():
                        p[p.numel() // 32 * 32 :] -= 1


def test_an_optimizer_that_silently_updates_nothing_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The defect is planted: whether this torch has it or not, the probe must see it."""
    monkeypatch.setattr("ampbench.bench.train.optimizer.SGD", Idle)
    optimizer_of(nn.Parameter(torch.ones(4)))
    for dtype in (torch.float16, torch.bfloat16):
        with pytest.raises(Unsupported, match=f"torch {torch.__version__.split('+')[0]}.* does not update {dtype}"):
            optimizer_of(nn.Parameter(torch.ones(4, dtype=dtype)))


def test_the_probe_tells_the_truth_about_this_torch() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        weight = nn.Parameter(torch.ones(64, dtype=dtype))
        plain = torch.optim.SGD([weight], lr=0.5, momentum=0.9, fused=True)
        weight.grad = torch.ones_like(weight)
        plain.step()
        works = bool((weight != 1).all())
        try:
            optimizer_of(nn.Parameter(torch.ones(64, dtype=dtype)))
        except Unsupported:
            assert not works
        else:
            assert works


def test_pure_fp16_adam_collapses_only_unfused() -> None:
    """Its eps = 1e-8 is 0 in fp16, so a gradient whose square underflows divides 0 by 0."""
    finite = {}
    for impl in ("foreach", "fused"):
        weight = nn.Parameter(torch.ones(64, dtype=torch.float16))
        optimizer = optimizer_of(weight, optimizer="adam", optimizer_impl=impl, learning_rate=1e-3)
        for _ in range(3):
            weight.grad = torch.full_like(weight, 1e-5)
            optimizer.step()
        finite[impl] = bool(weight.isfinite().all()) and bool((weight - 1).abs().max() < 0.1)
    assert finite == {"foreach": False, "fused": True}
