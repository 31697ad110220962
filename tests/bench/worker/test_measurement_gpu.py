"""A whole measurement on a virtual GPU: its speed, energy and dtypes against the true values of that GPU."""

from __future__ import annotations

from typing import Any

import pytest

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.statuses import Unsupported
from ampbench.bench.worker.ending import ending_of
from tests.support.measuring import row_of
from tests.support.thinned import thinned
from tests.support.virtual_gpu import BUSY_W, IDLE_W, VirtualGpu, measurement_on

BATCH = 64

# As cuBLASLt 13, cuDNN 9 and torch 2.11 name them on Hopper.
NORM = "void cudnn::batchnorm_fwtr_nhwc_semiPersist<__half, 512, 1, 2, 20>(cudnnTensorStruct)"
RELU = "void at::native::vectorized_elementwise_kernel<4, at::native::launch_clamp_scalar(float)>(int)"
ATTENTION = "cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7_64x128x128_4x1x1_kernel0_0"
BF16 = "nvjet_sm90_tst_192x192_64x3_2x1_v_bz_coopB_NTN"
FP16 = "nvjet_sm90_hsh_128x256_64x4_2x1_v_bz_coopA_TNN"
FP32 = "sm80_xmma_gemm_f32f32_f32f32_f32_tn_n_tilesize128x128x8_stage3_warpsize2x2x1_ffma_aligna4_alignc4_kernel"
BF16_CONV = "sm90_xmma_wgrad_indexed_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize128x128x64"


def measured(
    gpu: VirtualGpu,
    monkeypatch: pytest.MonkeyPatch,
    *kernels: str,
    recipe: str = "bf16_amp",
    passes: tuple[Any, ...] = (),
    max_timing_s: float = 6,
    **fields: Any,
) -> tuple[str, str | None, dict[str, Any]]:
    """Measure a cell; return its status, the reason, and its row."""
    cell = Cell(
        model="tests.support.tiny:Net",
        data="synthetic",
        image_size=8,
        precision=RECIPES[recipe],
        batch_size=BATCH,
        augment=(),
        **fields,
    )
    named = kernels or ((FP32,) if recipe == "fp32" else (BF16,))
    measure = MeasurementProtocol(max_timing_s=max_timing_s, target_ci=1e-9, passes=passes)
    kernels_ms = dict.fromkeys((*named, RELU), 1e3 * gpu.step_s / (len(named) + 1))
    measurement = measurement_on(gpu, cell, measure, kernels_ms, monkeypatch)
    ending = ending_of(measurement)
    status, because = ending.status, ending.because
    if "does not update" in str(because):
        raise Unsupported(because)  # of torch's optimizers on the CPU that computes here: a skip (tests/conftest.py)
    return status, because, row_of(measurement)


@pytest.mark.parametrize(
    ("step_s", "launch_s", "num_ahead"),
    [
        pytest.param(0.05, 0.002, 1000, id="an endless queue"),
        pytest.param(0.05, 0.002, 4, id="a short queue", marks=pytest.mark.whole),
        pytest.param(0.3, 0.01, 1, id="a step a block", marks=pytest.mark.whole),
        pytest.param(0.02, 0.04, 4, id="launch-bound"),
    ],
)
def test_speed_and_energy_of_a_timing_are_the_devices_however_far_the_cpu_queues_ahead(
    step_s: float, launch_s: float, num_ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = VirtualGpu(step_s, launch_s, num_ahead)
    status, because, row = measured(gpu, monkeypatch)
    assert (status, because) == ("ok", None)
    cycle_s = max(step_s, launch_s)
    true_j = (BUSY_W * step_s + IDLE_W * (cycle_s - step_s)) / BATCH
    assert row["images_per_s"] == pytest.approx(BATCH / cycle_s, rel=0.005)
    assert row["step_ms"] == pytest.approx(1e3 * cycle_s, rel=0.005)
    assert row["joules_per_image"] == pytest.approx(true_j, rel=0.01)
    assert row["joules_per_image"] == pytest.approx(row["power_w"] * row["step_ms"] / 1e3 / BATCH, rel=0.01)
    assert 0 <= row["gap_share"] < 0.01
    assert row["idle_share"] == pytest.approx(IDLE_W / row["power_w"], rel=0.01)
    assert row["energy_instrument"] == "energy_counter"
    assert row["num_invalid_blocks"] == 0
    assert row["sm_clock_mhz"] == 1980


def test_a_trainings_energy_is_that_of_its_steps_and_not_of_its_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = VirtualGpu(step_s=0.05, launch_s=0.002)
    status, because, row = measured(gpu, monkeypatch, epochs=6)
    assert (status, because) == ("ok", None)
    assert row["images_per_s"] == pytest.approx(BATCH / gpu.step_s, rel=0.005)
    assert row["joules_per_image"] == pytest.approx(BUSY_W * gpu.step_s / BATCH, rel=0.02)
    assert 0 <= row["gap_share"] < 0.01
    assert row["train_s"] == pytest.approx(len(gpu.begins) * gpu.step_s, rel=0.05)


def test_the_phases_and_the_bound_are_of_the_devices_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a step of 40 ms in two kernels is matrix products; the GPU is never idle."""
    gpu = VirtualGpu(step_s=0.04, launch_s=0.001)
    status, _, row = measured(gpu, monkeypatch, passes=("phases",), max_timing_s=1)
    assert status == "ok"
    assert row["kernel_ms"] == pytest.approx(40.0)
    assert row["matmul_conv_share"] == pytest.approx(0.5)
    assert sum(row[f"{phase}_ms"] for phase in ("data", "forward", "backward", "update")) == pytest.approx(40, rel=0.2)
    assert row["bound"] is not None
    assert row["vendor_peak_tflops"] == 989.5
    assert row["mfu_vendor"] == pytest.approx(row["tflops"] / 989.5)


@pytest.mark.parametrize(
    ("recipe", "kernels", "because"),
    thinned(
        [
            ("bf16_amp", (BF16, BF16_CONV, ATTENTION, NORM), None),
            ("bf16", (BF16, ATTENTION), None),
            ("fp16_amp", (FP16, ATTENTION, NORM), None),
            ("fp32", (FP32, NORM), None),
            ("bf16_amp", (FP16, ATTENTION), FP16),
            ("fp16_amp", (BF16,), BF16),
            ("fp32", (BF16,), BF16),
            ("fp32", (ATTENTION,), ATTENTION),
        ],
        kept=3,
    ),
)
def test_the_names_of_kernels_decide_whether_a_cell_is_what_its_label_says(
    recipe: str, kernels: tuple[str, ...], because: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = VirtualGpu(step_s=0.2, launch_s=0.002)
    status, said, row = measured(gpu, monkeypatch, *kernels, recipe=recipe, max_timing_s=1)
    if because is None:
        assert (status, said) == ("ok", None)
        assert kernels[0] in row["kernels"]
        assert "batchnorm" not in row["kernels"], "it multiplies nothing"
    else:
        assert status == "failed"
        assert "dtype check: a kernel of" in str(said)
        assert because in str(said)
    assert row["images_per_s"] > 0, "what was measured stays"
