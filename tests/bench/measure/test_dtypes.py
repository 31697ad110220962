"""The dtypes of matrix products and convolutions: of operators, of every layer, and of kernels by their names."""

from __future__ import annotations

import torch
from torch import nn

from ampbench.bench.measure.dtypes import DtypeCheck, errors_contradict, fp32_errors
from ampbench.bench.measure.kernels import kernel_dtypes, kernels_contradict
from ampbench.bench.plan.recipe import RECIPES
from tests.support import tiny

CPU = torch.device("cpu")


def conv_step(recipe: str, *, drop_autocast: bool = False) -> DtypeCheck:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 6, 2))
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[RECIPES[recipe].weights]
    model, x_NCHW = model.to(dtype), torch.randn(2, 3, 8, 8).to(dtype)
    enabled = RECIPES[recipe].autocast and not drop_autocast
    with DtypeCheck(model) as check, torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        model(x_NCHW).float().sum().backward()
    return check


def test_the_check_names_the_dtypes_that_products_really_ran_in() -> None:
    assert conv_step("fp32").contradicts(torch.float32) is None
    assert conv_step("bf16").contradicts(torch.bfloat16) is None
    check = conv_step("bf16_amp")
    assert check.contradicts(torch.bfloat16) is None
    assert "convolution:bfloat16x1" in str(check)


def test_a_dropped_autocast_is_caught() -> None:
    assert "ran in float32" in str(conv_step("bf16_amp", drop_autocast=True).contradicts(torch.bfloat16))
    assert "float16" not in str(conv_step("fp32").contradicts(torch.float32))


def check_of(model: nn.Module) -> DtypeCheck:
    with DtypeCheck(model) as check, torch.autocast("cpu", torch.bfloat16):
        model(torch.randn(2, 3, 8, 8)).float().sum().backward()
    return check


def test_an_autocast_lost_in_a_thread_is_caught_though_other_layers_have_it() -> None:
    assert check_of(tiny.Net()).contradicts(torch.bfloat16) is None
    check = check_of(tiny.Threaded())
    assert check.layers == {"conv": "float32", "linear": "bfloat16"}
    assert "conv ran in float32 and not in the recipe's bfloat16, in a thread" in str(check.contradicts(torch.bfloat16))


def test_a_region_that_a_model_keeps_in_fp32_is_recorded_and_no_contradiction() -> None:
    class Careful(tiny.Net):
        def features(self, x_NCHW: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", enabled=False):
                return super().features(x_NCHW)

    check = check_of(Careful())
    assert check.contradicts(torch.bfloat16) is None
    assert "layers:bfloat16x1 layers:float32x1" in str(check)


def test_fp32_products_are_ieee_and_a_switch_that_changes_them_is_caught() -> None:
    """Planted: oneDNN may run fp32 matrix products of a CPU in bf16, as cuBLAS may in TF32."""
    honest = fp32_errors(CPU)
    assert max(honest.values()) < 2.0**-20
    assert errors_contradict(honest, tf32=False) is None
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    try:
        switched = fp32_errors(CPU)
        # bf16 has no 1 + 2^-12. With AMX oneDNN uses bf16 where it may; avx512_bf16 alone stayed in fp32 (oneDNN 3.13).
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
