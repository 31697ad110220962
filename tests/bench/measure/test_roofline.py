"""Peaks, shares of them, and what limits a step."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
import torch

from ampbench.bench.measure.roofline import (
    CONVOLUTION_FLOPS,
    VENDOR_PEAKS,
    bound_of,
    convolution_tflops,
    measured_peak_tflops,
    product_tflops,
    utilisation,
    vendor_peak_tflops,
)

CPU = torch.device("cpu")


def test_a_vendor_s_peak_is_dense_and_null_where_unknown() -> None:
    assert vendor_peak_tflops("NVIDIA H200", "bf16") == 989.5
    assert vendor_peak_tflops("Tesla T4", "fp16") == 65.0
    assert vendor_peak_tflops("Tesla T4", "bf16") is None
    assert vendor_peak_tflops("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "bf16") is None, "a slice has no peak of its own"
    assert vendor_peak_tflops(None, "bf16") is None


def test_no_peak_is_a_sparse_one() -> None:
    """Sparse figures are twice the dense ones: then 16 bit would be more than 2 to 16 times as fast as TF32 or fp32."""
    for name, peaks in VENDOR_PEAKS.items():
        assert peaks["fp16"] == peaks.get("bf16", peaks["fp16"]), name
        if "tf32" in peaks:
            assert peaks["fp16"] == pytest.approx(2 * peaks["tf32"], rel=0.02), name
        if "fp8" in peaks:
            assert peaks["fp8"] == pytest.approx(2 * peaks["fp16"], rel=0.02), name


def clock(rates: list[float]) -> Callable[[Callable[[], object]], float]:
    """A device that multiplies at one of these FLOP/s, by the size of the product."""
    calls = count()

    def seconds(work: Callable[[], object]) -> float:
        work()
        step = next(calls) // 5
        return 2 * (256 * 2**step) ** 3 / rates[step]

    return seconds


def test_the_measured_peak_is_of_the_size_beyond_which_nothing_is_gained() -> None:
    peak = product_tflops(CPU, torch.float32, clock([1e12, 4e12, 4.1e12]))
    assert peak == pytest.approx(4.1)


def test_a_slow_product_is_not_made_larger() -> None:
    assert product_tflops(CPU, torch.float32, clock([1e9])) == pytest.approx(1e-3)


def test_a_convolution_counts_its_operations_and_the_faster_of_both_is_the_peak() -> None:
    def convolving(work: Callable[[], object]) -> float:
        work()
        return 2 * CONVOLUTION_FLOPS / 3e12

    assert convolution_tflops(CPU, torch.float32, convolving, num_images=2) == pytest.approx(3)

    def ten_ms(work: Callable[[], object]) -> float:
        """A device that needs the same time for everything: a small product is slow on it, and a convolution fast."""
        work()
        return 0.01

    assert measured_peak_tflops(CPU, torch.float32, ten_ms) == pytest.approx(CONVOLUTION_FLOPS / 0.01 / 1e12)
    assert product_tflops(CPU, torch.float32, ten_ms) == pytest.approx(2 * 256**3 / 0.01 / 1e12)


def test_utilisation_is_operations_a_second_over_the_peak() -> None:
    assert utilisation(2_000_000_000, 100_000, 989.5) == pytest.approx(200 / 989.5)
    assert utilisation(2_000_000_000, 100_000, None) is None


def test_a_step_that_waits_for_its_batch_is_called_input_bound_whatever_its_kernels_do() -> None:
    """With two PIL workers as its input, every precision is equally fast."""
    for idle_share in (0.9, 0.0, None):
        bound = bound_of(data_share=0.9, idle_share=idle_share, matmul_conv_share=0.9)
        assert (bound.bound, bound.bound_because) == ("input", "the batch takes 90% of a step")


@pytest.mark.parametrize(
    ("data_share", "idle_share", "matmul_conv_share", "label"),
    [
        (0.3, 0.1, 0.9, "input"),
        (0.05, 0.3, 0.9, "launch"),
        (0.05, 0.1, 0.6, "compute"),
        (0.05, 0.1, 0.4, "memory"),
        (0.05, None, 0.4, "memory"),
    ],
)
def test_a_step_is_bound_by_what_a_faster_arithmetic_would_wait_for(
    data_share: float, idle_share: float | None, matmul_conv_share: float, label: str
) -> None:
    bound = bound_of(data_share=data_share, idle_share=idle_share, matmul_conv_share=matmul_conv_share)
    assert bound.bound == label
    assert "%" in bound.bound_because
