"""Precision is what it says: TF32 switches, kernels for fp16, and scales of the loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.loss_scale import LossScale
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.optimizer import require_working_fused
from ampbench.bench.train.precision.precision import fp32_precision, set_fp32_precision, set_up_precision, wants_onednn
from ampbench.bench.train.precision.scaler import Scaler
from ampbench.bench.train.statuses import Unsupported
from tests.bench.train.test_optimizer import optimizer_of, scaled_step

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def torchs_own_switches() -> Iterator[None]:
    matmul, conv = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, conv
    torch.backends.mkldnn.enabled = True


@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_is_off_everywhere_or_on_everywhere(tf32: bool) -> None:
    """torch's default is neither: convolutions in TF32, products in IEEE."""
    set_fp32_precision(tf32=not tf32)
    set_fp32_precision(tf32=tf32)
    seen = fp32_precision()
    cuda = {name: value for name, value in seen.items() if name.startswith("cud")}
    assert set(cuda) == {"cuda.matmul", "cudnn.conv", "cudnn.rnn"}
    assert all((value == "tf32") is tf32 for value in cuda.values()), cuda
    assert torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is tf32


@pytest.mark.parametrize("amx_fp16", [False, True])
def test_onednn_computes_fp16_only_where_it_has_the_kernels(amx_fp16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_fp16_supported", lambda: amx_fp16)
    for name, recipe in RECIPES.items():
        cell = Cell(model="LeNet", data="digits", precision=recipe, batch_size=1)
        assert wants_onednn(cell) is ("fp16" not in name or amx_fp16), name
        assert wants_onednn(dataclasses.replace(cell, onednn="on"))
        assert not wants_onednn(dataclasses.replace(cell, onednn="off"))
        for onednn in ("off", "on"):
            set_up_precision(dataclasses.replace(cell, precision=RECIPES["bf16"], onednn=onednn), CPU)
            assert torch.backends.mkldnn.enabled is (onednn == "on")


def test_a_static_scale_stays_and_its_skips_are_counted() -> None:
    weight = nn.Parameter(torch.ones(4))
    optimizer = optimizer_of(weight, momentum=0.0)
    scaler = Scaler(LossScale.parse("static:1024"), CPU)
    scaled_step(weight, float("inf"), scaler, optimizer)
    assert torch.equal(weight.detach(), torch.ones(4))
    scaled_step(weight, 1.0, scaler, optimizer)
    assert torch.equal(weight.detach(), torch.full((4,), 0.5))
    assert scaler.factor == 1024
    assert float(scaler.num_skipped) == 1


def test_a_dynamic_scale_backs_off_and_counts() -> None:
    weight = nn.Parameter(torch.ones(4))
    optimizer = optimizer_of(weight)
    scaler = Scaler(LossScale.parse("dynamic"), CPU)
    for gradient in (float("inf"), float("nan"), 1.0):
        scaled_step(weight, gradient, scaler, optimizer)
    assert scaler.factor == 2**14
    assert float(scaler.num_skipped) == 2


def test_a_disabled_scaler_does_nothing_and_has_no_factor() -> None:
    scaler = Scaler(LossScale.parse("none"), CPU)
    weight = nn.Parameter(torch.ones(4))
    scaled_step(weight, 1.0, scaler, optimizer_of(weight, momentum=0.0))
    assert torch.equal(weight.detach(), torch.full((4,), 0.5))
    assert scaler.factor is None


def test_a_scaled_fp16_gradient_is_divided_in_fp32() -> None:
    """2^-20 underflows to a subnormal of few bits in fp16; scaled by 1024 and divided in fp32 it arrives whole."""
    small = 2.0**-24 * 1.75
    weight = nn.Parameter(torch.zeros(4, dtype=torch.float16))
    optimizer = optimizer_of(weight, momentum=0.0, learning_rate=2.0**14)
    scaler = Scaler(LossScale.parse("static:1024"), CPU)
    try:
        require_working_fused([weight], Cell(model="m", data="d", precision=RECIPES["fp16"], batch_size=1))
    except Unsupported as e:
        pytest.skip(str(e))
    scaled_step(weight, small, scaler, optimizer)
    assert torch.equal(weight.detach().float(), torch.full((4,), -small * 2**14))
