"""How much of the board a training uses: its operations per second over a peak, and what a step waits for.

Model FLOPs utilisation (Chowdhery et al., 2022, "PaLM", appendix B) needs a peak, and there are two: the vendor's
peak, and the peak that this board reaches in one large matrix product or convolution. They are never mixed, and each
belongs to one dtype: a recipe at 40 % of the bf16 peak may be faster than one at 80 % of the fp32 peak.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from ampbench.schema.work import Bound

TERA = 1e12

Stopwatch = Callable[[Callable[[], object]], float]
"""Calls its argument and returns the seconds that it took."""

A100 = {"fp32": 19.5, "tf32": 156.0, "fp16": 312.0, "bf16": 312.0}
V100_SXM2, V100_PCIE = {"fp32": 15.7, "fp16": 125.0}, {"fp32": 14.0, "fp16": 112.0}

VENDOR_PEAKS: dict[str, dict[str, float]] = {
    # Dense TFLOP/s by compute dtype, 16-bit products accumulated in fp32, at the boost clock. Where a data sheet
    # prints "with sparsity" the dense figure is half of it.
    # NVIDIA H200 Tensor Core GPU data sheet, 2024 (SXM).
    "H200": {"fp32": 67.0, "tf32": 494.5, "fp16": 989.5, "bf16": 989.5, "fp8": 1979.0},
    # NVIDIA H100 Tensor Core GPU data sheet, 2023 (SXM, PCIe, NVL for one of its two boards).
    "H100 80GB HBM3": {"fp32": 67.0, "tf32": 494.5, "fp16": 989.5, "bf16": 989.5, "fp8": 1979.0},
    "H100 PCIe": {"fp32": 51.0, "tf32": 378.0, "fp16": 756.5, "bf16": 756.5, "fp8": 1513.0},
    "H100 NVL": {"fp32": 60.0, "tf32": 417.5, "fp16": 835.5, "bf16": 835.5, "fp8": 1670.5},
    # NVIDIA A100 Tensor Core GPU data sheet, 2022.
    "A100-SXM4-40GB": A100,
    "A100-SXM4-80GB": A100,
    "A100-PCIE-40GB": A100,
    "A100 80GB PCIe": A100,
    # NVIDIA A30, A40 and A10 data sheets, 2021-2022.
    "A30": {"fp32": 10.3, "tf32": 82.0, "fp16": 165.0, "bf16": 165.0},
    "A40": {"fp32": 37.4, "tf32": 74.8, "fp16": 149.7, "bf16": 149.7},
    "A10": {"fp32": 31.2, "tf32": 62.5, "fp16": 125.0, "bf16": 125.0},
    # NVIDIA L4 and L40S data sheets, 2023.
    "L4": {"fp32": 30.3, "tf32": 60.0, "fp16": 121.0, "bf16": 121.0, "fp8": 242.5},
    "L40S": {"fp32": 91.6, "tf32": 183.0, "fp16": 362.05, "bf16": 362.05, "fp8": 733.0},
    # NVIDIA V100 data sheet, 2020, and T4 data sheet, 2019: no TF32, no bf16.
    "V100-SXM2-16GB": V100_SXM2,
    "V100-SXM2-32GB": V100_SXM2,
    "V100-PCIE-16GB": V100_PCIE,
    "V100-PCIE-32GB": V100_PCIE,
    "T4": {"fp32": 8.1, "fp16": 65.0},
    # NVIDIA Ampere GA102 GPU architecture white paper, 2021, table 2; Ada GPU architecture white paper, 2023, table 2.
    "GeForce RTX 3090": {"fp32": 35.6, "tf32": 35.6, "fp16": 71.0, "bf16": 71.0},
    "GeForce RTX 4090": {"fp32": 82.6, "tf32": 82.6, "fp16": 165.2, "bf16": 165.2, "fp8": 330.3},
}
"""Product name as NVML says it, without its maker -> dense peaks. A slice of a board (MIG) has none."""

LARGEST_SIDE = 8192
"""Largest side of the square matrix product that measures the peak; larger ones were no faster on any board tried."""
LONGEST_PRODUCT_S = 0.05
RISE = 1.05
"""A larger product is tried as long as it brings at least 5 %."""

CONVOLUTION_FLOPS = 2 * 32 * 32 * 256 * 256 * 9
"""Operations of the convolution for one image; padding at the edges counts like pixels."""

INPUT_SHARE = 0.25
"""Share of a step's time: if the batch takes this much, no precision can make that part faster."""
IDLE_SHARE = 0.25
"""Share of a step's time: if the GPU is idle for this long, its kernels are launched too slowly."""
MATMUL_CONV_SHARE = 0.5
"""Share of the time in kernels: which kind takes more than half."""


def vendor_peak_tflops(gpu: str | None, dtype: str) -> float | None:
    """Return the dense peak that the vendor states, in TFLOP/s; None for a board or a dtype that is not in the table.

    Args:
        gpu: product name, as NVML says it; None for a CPU.
        dtype: fp32, tf32, fp16, bf16 or fp8.
    """
    name = (gpu or "").removeprefix("NVIDIA ").removeprefix("Tesla ")
    return VENDOR_PEAKS.get(name, {}).get(dtype)


def measured_peak_tflops(device: torch.device, dtype: torch.dtype, seconds: Stopwatch) -> float:
    """Return the highest rate of a matrix product or convolution here, in TFLOP/s, under this process's switches.

    Both are measured, since a CPU may use two libraries: on an AMD EPYC convolutions (oneDNN) ran at 2.4 times the
    speed of matrix products (MKL) in fp32. The numbers are random, never zeros: on an H200 zeros are 13 % faster,
    because they draw less power.

    Args:
        device: the board to measure.
        dtype: of both factors.
        seconds: calls its argument and returns how long the device took.
    """
    product = product_tflops(device, dtype, seconds)
    num_images = min(64, max(1, int(LONGEST_PRODUCT_S * product * TERA / CONVOLUTION_FLOPS)))
    return max(product, convolution_tflops(device, dtype, seconds, num_images=num_images))


def convolution_tflops(device: torch.device, dtype: torch.dtype, seconds: Stopwatch, *, num_images: int) -> float:
    """Return the rate of one 3x3 convolution of 256 channels on 32x32 pixels, in TFLOP/s: the fastest of 5."""
    layout = torch.channels_last
    x_NCHW = torch.randn(num_images, 256, 32, 32, device=device).to(dtype, memory_format=layout)
    w_OIHW = torch.randn(256, 256, 3, 3, device=device).to(dtype, memory_format=layout)
    F.conv2d(x_NCHW, w_OIHW, padding=1)
    least_s = min(seconds(lambda: F.conv2d(x_NCHW, w_OIHW, padding=1)) for _ in range(5))
    return num_images * CONVOLUTION_FLOPS / least_s / TERA


def product_tflops(device: torch.device, dtype: torch.dtype, seconds: Stopwatch) -> float:
    """Return the highest rate of one square matrix product, in TFLOP/s.

    The side doubles until that gains less than 5 %; for each size the fastest of 5 counts, after one that is not timed.
    """
    best, side = 0.0, 256
    while side <= LARGEST_SIDE:
        a, b = (torch.randn(side, side, device=device, dtype=torch.float32).to(dtype) for _ in range(2))
        a @ b
        least_s = min(seconds(lambda a=a, b=b: a @ b) for _ in range(5))  # type: ignore[misc]
        rate = 2 * side**3 / least_s
        if rate < RISE * best:
            return max(rate, best) / TERA
        best, side = rate, 2 * side
        if 8 * least_s > LONGEST_PRODUCT_S and device.type == "cpu":
            break
    return best / TERA


def utilisation(flops: int, images_per_s: float, peak_tflops: float | None) -> float | None:
    """Return the share of a peak that a training reaches.

    Args:
        flops: for one image, forward and backward.
        images_per_s: of the training.
        peak_tflops: of the dtype that the training multiplies in.
    """
    return flops * images_per_s / (peak_tflops * TERA) if peak_tflops else None


def bound_of(*, data_share: float, idle_share: float | None, matmul_conv_share: float) -> Bound:
    """Return what limits a step: what faster arithmetic would still have to wait for.

    Args:
        data_share: share of a step's phases until the batch is ready.
        idle_share: share of a timed step in which the device ran no kernel; None on a CPU.
        matmul_conv_share: share of the time in kernels (operators on a CPU) spent in matrix products and convolutions.
    """
    if data_share >= INPUT_SHARE:
        return Bound(bound="input", bound_because=f"the batch takes {data_share:.0%} of a step")
    if idle_share is not None and idle_share >= IDLE_SHARE:
        return Bound(bound="launch", bound_because=f"the device is idle for {idle_share:.0%} of a step")
    kernels = "operators" if idle_share is None else "kernels"
    because = f"{matmul_conv_share:.0%} of the time in {kernels} is matrix products and convolutions"
    return Bound(bound="compute" if matmul_conv_share >= MATMUL_CONV_SHARE else "memory", bound_because=because)
