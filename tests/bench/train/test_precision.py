"""Precision is what it says: TF32 switches, loss scales, and the defects of fused optimizers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from ampbench.bench.measure.dtypes import DtypeCheck, errors_contradict, fp32_errors
from ampbench.bench.measure.kernels import kernel_dtypes, kernels_contradict
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.loss_scale import LossScale
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.optimizer import build_optimizer, require_working_fused, zero_momentum
from ampbench.bench.train.precision import Scaler, fp32_precision, set_fp32_precision, set_up_precision, wants_onednn
from ampbench.bench.train.statuses import Unsupported
from tests.support import tiny

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


def optimizer_of(weight: nn.Parameter, **fields: object) -> torch.optim.Optimizer:
    given = {"model": "LeNet", "data": "digits", "precision": RECIPES["fp32"], "batch_size": 1, "learning_rate": 0.5}
    return build_optimizer([weight], Cell(**given | {"weight_decay": 0.0} | fields))  # type: ignore[arg-type]


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


def conv_step(recipe: str, *, drop_autocast: bool = False) -> DtypeCheck:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 6, 2))
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[RECIPES[recipe].weights]
    model, x_NCHW = model.to(dtype), torch.randn(2, 3, 8, 8).to(dtype)
    enabled = RECIPES[recipe].autocast and not drop_autocast
    with DtypeCheck(model) as proof, torch.autocast("cpu", torch.bfloat16, enabled=enabled):
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


def proof_of(model: nn.Module) -> DtypeCheck:
    with DtypeCheck(model) as proof, torch.autocast("cpu", torch.bfloat16):
        model(torch.randn(2, 3, 8, 8)).float().sum().backward()
    return proof


def test_an_autocast_lost_in_a_thread_is_caught_though_other_layers_have_it() -> None:
    assert proof_of(tiny.Net()).contradicts(torch.bfloat16) is None
    proof = proof_of(tiny.Threaded())
    assert proof.layers == {"conv": "float32", "linear": "bfloat16"}
    assert "conv ran in float32 and not in the recipe's bfloat16, in a thread" in str(proof.contradicts(torch.bfloat16))


def test_a_region_that_a_model_keeps_in_fp32_is_recorded_and_no_contradiction() -> None:
    class Careful(tiny.Net):
        def features(self, x_NCHW: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", enabled=False):
                return super().features(x_NCHW)

    proof = proof_of(Careful())
    assert proof.contradicts(torch.bfloat16) is None
    assert "layers:bfloat16x1 layers:float32x1" in str(proof)


def test_fp32_products_are_ieee_and_a_switch_that_changes_them_is_caught() -> None:
    """Planted: oneDNN may run fp32 products of a CPU in bf16, as cuBLAS may in TF32."""
    honest = fp32_errors(CPU)
    assert max(honest.values()) < 2.0**-20
    assert errors_contradict(honest, tf32=False) is None
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    try:
        switched = fp32_errors(CPU)
        # bf16 has no 1 + 2^-12. With AMX oneDNN makes use of the leave; avx512_bf16 alone stayed in fp32 (oneDNN 3.13).
        rounded = bool((torch.full((256, 256), 1 + 2.0**-12) @ torch.eye(256) == 1).all())
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = before
    assert ("matmul" in str(errors_contradict(switched, tf32=False))) == rounded
    assert "2" in str(errors_contradict({"conv": 2.0**-11}, tf32=False))
    assert errors_contradict({"conv": 2.0**-11}, tf32=True) is None


def test_kernels_tell_their_dtype_by_their_names() -> None:
    names = {
        "sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize128x128x64": "bf16",
        "sm80_xmma_dgrad_implicit_gemm_indexed_tf32f32_tf32f32_f32_nhwckrsc_nhwc": "tf32",
        "sm80_xmma_wgrad_implicit_gemm_indexed_f16f16_f16f32_f32_nhwckrsc_nhwc": "fp16",
        "ampere_fp16_s16816gemm_fp16_128x64_ldg8_f2f_stages_32x6_nn": "fp16",
        "ampere_bf16_s16816gemm_bf16_128x64_ldg8_f2f_stages_32x6_tn": "bf16",
        "ampere_sgemm_128x64_nn": "fp32",
        "cutlass_80_tensorop_s1688gemm_128x128_16x4_nn_align4": "tf32",
        "implicit_convolve_sgemm": "fp32",
        "turing_fp16_s1688gemm_fp16_128x128_ldg8_f2f_tn": "fp16",
        "nvjet_hsh_128x256_64x4_2x1_v_bz_coopA_TNN": "fp16",
        "nvjet_tst_128x256_64x4_2x1_v_bz_coopA_TNN": "bf16",
        "nvjet_qqtst_128x128_128x6_1x1_h_bz_TNT": "fp8",
        "sm89_xmma_gemm_e4m3bf16_e4m3f32_f32_tn_n_tilesize64x64x64": "fp8",
        "cudnn_mystery_kernel": "unknown",
    }
    assert kernel_dtypes([*names, "vectorized_elementwise_kernel", "Memcpy HtoD"]) == names
    assert kernels_contradict({"a": "bf16", "b": "fp32", "c": "unknown"}, "bf16") is None
    assert kernels_contradict({"c": "unknown"}, "fp16") is None
    assert kernels_contradict({"a": "bf16", "b": "fp8"}, "bf16", fp8=True) is None
    assert "a kernel of fp8" in str(kernels_contradict({"a": "bf16", "b": "fp8"}, "bf16"))
    assert "a kernel of tf32 ran under a recipe of fp32: x" in str(kernels_contradict({"x": "tf32"}, "fp32"))
    assert kernels_contradict({"x": "fp32"}, "tf32") is None
