"""Precision is what it says: TF32 switches, loss scales, and the defects of fused optimizers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from bench.measure.dtypes import DtypeProof
from bench.plan.cell import Cell
from bench.plan.recipe import RECIPES, LossScale
from bench.train.optimizer import build_optimizer, require_working_fused, zero_momentum
from bench.train.precision import Scaler, fp32_precision, set_fp32_precision
from bench.train.statuses import Unsupported

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def torchs_own_switches() -> Iterator[None]:
    matmul, conv = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, conv


@pytest.mark.parametrize("tf32", [False, True])
def test_trap_1_tf32_is_off_everywhere_or_on_everywhere(tf32: bool) -> None:
    """torch's default is neither: convolutions in TF32, products in IEEE."""
    set_fp32_precision(tf32=not tf32)
    set_fp32_precision(tf32=tf32)
    seen = fp32_precision()
    cuda = {name: value for name, value in seen.items() if name.startswith("cud")}
    assert set(cuda) == {"cuda.matmul", "cudnn.conv", "cudnn.rnn"}
    assert all((value == "tf32") is tf32 for value in cuda.values()), cuda
    assert torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is tf32


def optimizer_of(weight: nn.Parameter, **fields: object) -> torch.optim.Optimizer:
    given = {"model": "LeNet", "data": "digits", "precision": RECIPES["fp32"], "batch_size": 1, "learning_rate": 0.5}
    model = nn.Module()
    model.weight = weight
    return build_optimizer(model, Cell(**given | {"weight_decay": 0.0} | fields))  # type: ignore[arg-type]


def scaled_step(weight: nn.Parameter, gradient: float, scaler: Scaler, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    scaler.scale((weight.float() * gradient).sum()).backward()
    scaler.step(optimizer)
    scaler.update()


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


@pytest.mark.parametrize("momentum", [0.9])
def test_fused_sgd_survives_a_skip_of_its_very_first_step(momentum: float) -> None:
    """Defect 1: its momentum buffers are allocated uninitialised, and filled in a step that the scaler skips."""
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
    """Fused SGD as torch up to 2.13 has it on the CPU: 16-bit weights stay as they are."""

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            if group["params"][0].dtype == torch.float32:
                super().step()


def test_an_optimizer_that_silently_updates_nothing_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defect 2, planted: whether this torch has it or not, the probe must see it."""
    monkeypatch.setattr("bench.train.optimizer.SGD", Idle)
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
    """Defect 3: eps = 1e-8 is 0 in fp16, so a gradient whose square underflows divides 0 by 0."""
    finite = {}
    for impl in ("foreach", "fused"):
        weight = nn.Parameter(torch.ones(64, dtype=torch.float16))
        optimizer = optimizer_of(weight, optimizer="adam", optimizer_impl=impl, learning_rate=1e-3)
        for _ in range(3):
            weight.grad = torch.full_like(weight, 1e-5)
            optimizer.step()
        finite[impl] = bool(weight.isfinite().all()) and bool((weight - 1).abs().max() < 0.1)
    assert finite == {"foreach": False, "fused": True}


def conv_step(recipe: str, *, drop_autocast: bool = False) -> DtypeProof:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 6, 2))
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[RECIPES[recipe].weights]
    model, x_NCHW = model.to(dtype), torch.randn(2, 3, 8, 8).to(dtype)
    enabled = RECIPES[recipe].autocast and not drop_autocast
    with DtypeProof() as proof, torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        model(x_NCHW).float().sum().backward()
    return proof


def test_the_proof_names_the_dtypes_that_products_really_ran_in() -> None:
    assert conv_step("fp32").contradicts(torch.float32) is None
    assert conv_step("bf16").contradicts(torch.bfloat16) is None
    proof = conv_step("bf16_amp")
    assert proof.contradicts(torch.bfloat16) is None
    assert "convolution:bfloat16x1" in str(proof)


def test_a_dropped_autocast_is_caught() -> None:
    assert "ran in float32" in str(conv_step("bf16_amp", drop_autocast=True).contradicts(torch.bfloat16))
    assert "float16" not in str(conv_step("fp32").contradicts(torch.float32))
