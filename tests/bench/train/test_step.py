"""What a step may do beside its update: clip its gradients, smooth its labels, take its batch in parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.loss_scale import LossScale
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.clip import Clip, no_clip
from ampbench.bench.train.loss.loss import loss_of
from ampbench.bench.train.optimizer import build_optimizer, require_working_fused
from ampbench.bench.train.precision.scaler import Scaler
from ampbench.bench.train.step import Clipping, train_step, train_step_in_parts

CPU = torch.device("cpu")
OFF = torch.autocast("cpu", enabled=False)
CELL = Cell(model="LeNet", data="synthetic", precision=RECIPES["fp32"], batch_size=12)


def setting(dtype: torch.dtype = torch.float32) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).to(dtype)
    return model, torch.randn(12, 6).to(dtype), torch.arange(12) % 3


def moved(clip: Clipping, scale: str = "none", dtype: torch.dtype = torch.float32, **options: Any) -> Tensor:
    """The update that a step of SGD at learning rate 1 makes."""
    model, x, y = setting(dtype)
    before = nn.utils.parameters_to_vector(model.parameters()).detach().double()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, fused=True)
    require_working_fused(model.parameters(), CELL)
    scaler = Scaler(LossScale.parse(scale), CPU)
    step = train_step_in_parts if options else train_step
    step(model, x, y, loss_fn=F.cross_entropy, optimizer=optimizer, autocast=OFF, scaler=scaler, clip=clip, **options)
    return nn.utils.parameters_to_vector(model.parameters()).detach().double() - before


@pytest.mark.parametrize("scale", ["none", "static:1024", "dynamic"])
def test_a_clipped_update_has_the_norm_asked_for_whatever_the_loss_scale(scale: str) -> None:
    free = moved(no_clip)
    clipped = moved(Clip(0.25), scale)
    assert float(free.norm()) > 0.3
    assert float(clipped.norm()) == pytest.approx(0.25, rel=1e-4)
    assert torch.allclose(clipped / clipped.norm(), free / free.norm(), atol=1e-5)


def test_clipping_is_torch_s_own() -> None:
    model, x, y = setting()
    F.cross_entropy(model(x), y).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.25)
    theirs = -torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).double()
    assert torch.allclose(moved(Clip(0.25)), theirs, atol=1e-6)


def test_a_gradient_within_the_norm_is_left_alone() -> None:
    assert torch.equal(moved(Clip(100.0)), moved(no_clip))


def test_a_scaled_16_bit_gradient_is_held_against_the_scaled_norm() -> None:
    """unscale_ refuses fp16 gradients; the fused optimizer divides the scale out in fp32."""
    assert float(moved(Clip(0.25), "static:64", torch.float16).norm()) == pytest.approx(0.25, rel=0.01)


def test_an_overflow_is_still_skipped() -> None:
    model, x, y = setting()
    scaler = Scaler(LossScale.parse("dynamic"), CPU)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, fused=True)
    before = [p.detach().clone() for p in model.parameters()]
    options: dict[str, Any] = {"optimizer": optimizer, "autocast": OFF, "scaler": scaler, "clip": Clip(0.25)}
    train_step(model, x, y, loss_fn=lambda logits, _: logits.sum() * float("inf"), **options)
    assert float(scaler.num_skipped) == 1
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("num_parts", [2, 5])
@pytest.mark.parametrize("scale", ["none", "dynamic"])
def test_parts_of_any_size_add_up_to_the_update_of_the_batch(num_parts: int, scale: str) -> None:
    parts = moved(Clip(0.25), scale, num_parts=num_parts)
    assert torch.allclose(parts, moved(Clip(0.25), scale), atol=1e-6)


def test_ranks_average_in_the_last_part_where_there_are_fewer_than_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """12 images in 5 parts are 4 of 3: a fifth, in which the ranks would have met, does not come."""
    unsynced: list[nn.Module] = []

    @contextmanager
    def alone(model: nn.Module) -> Iterator[None]:
        unsynced.append(model)
        yield

    monkeypatch.setattr("ampbench.bench.train.step._unsynced", alone)
    moved(no_clip, num_parts=5)
    assert len(unsynced) == 3


def test_the_loss_of_a_batch_in_parts_is_the_batch_s() -> None:
    model, x, y = setting()
    expected = F.cross_entropy(model(x), y).item()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, fused=True)
    off = Scaler(LossScale.parse("none"), CPU)
    options: dict[str, Any] = {"loss_fn": F.cross_entropy, "optimizer": optimizer, "autocast": OFF, "scaler": off}
    assert float(train_step_in_parts(model, x, y, num_parts=4, **options)) == pytest.approx(expected)


def test_smoothing_is_torch_s_and_for_the_training_loss_alone() -> None:
    model, x, y = setting()
    logits = model(x)
    assert torch.equal(loss_of(model, 0.1)(logits, y), F.cross_entropy(logits, y, label_smoothing=0.1))
    assert loss_of(model) is F.cross_entropy


def test_a_model_s_own_loss_is_not_smoothed_in_silence() -> None:
    model, *_ = setting()
    model.loss = lambda logits, _: logits.sum()
    with pytest.raises(ValueError, match=r"label_smoothing = 0\.1 is for cross-entropy"):
        loss_of(model, 0.1)


def by_hand(kind: str, w: float, gradients: tuple[float, ...]) -> float:
    """Two updates of one weight at learning rate 0.1 and weight decay 0.5, as their papers write them."""
    lr, decay, momentum, m, v = 0.1, 0.5, 0.9, 0.0, 0.0
    for t, given in enumerate(gradients, start=1):
        g = given if kind == "adamw" else given + decay * w
        if kind in ("sgd", "nesterov"):
            m = momentum * m + g
            w -= lr * (g + momentum * m if kind == "nesterov" else m)
        else:
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            w -= lr * decay * w if kind == "adamw" else 0.0
            w -= lr * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)) ** 0.5 + 1e-8)
    return w


@pytest.mark.parametrize("impl", ["fused", "foreach"])
@pytest.mark.parametrize("kind", ["sgd", "nesterov", "adam", "adamw"])
def test_every_optimizer_makes_the_update_of_its_name(kind: str, impl: str) -> None:
    weight = nn.Parameter(torch.full((1003,), 2.0))
    fields = {"optimizer": kind, "optimizer_impl": impl, "learning_rate": 0.1, "weight_decay": 0.5}
    optimizer = build_optimizer([weight], replace(CELL, **fields))  # type: ignore[arg-type]
    for gradient in (1.0, -3.0):
        weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
    assert weight.tolist() == pytest.approx([by_hand(kind, 2.0, (1.0, -3.0))] * 1003, rel=1e-5)
