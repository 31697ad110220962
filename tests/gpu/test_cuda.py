"""What only a CUDA GPU can show: no step waits, TF32 is what its switch says, peaks and times are the device's.

`make gpu` runs these; without a GPU they fail, since a green run there must mean that a GPU was asked.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from ampbench.bench.measure.clock import BlockClock, Mark
from ampbench.bench.measure.memory import CudaMemory
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.loss_scale import LossScale
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.images.images import Images, load_images
from ampbench.bench.train.optimizer import build_optimizer
from ampbench.bench.train.precision.precision import set_fp32_precision
from ampbench.bench.train.precision.scaler import Scaler
from ampbench.bench.train.training import Training
from ampbench.bench.worker.measurement import Measurement
from tests.conftest import ROOT
from tests.support.measuring import plain, row_of

pytestmark = pytest.mark.gpu

MIB = 2**20


@pytest.fixture(scope="module")
def device() -> torch.device:
    assert torch.cuda.is_available(), "no CUDA GPU is visible; these tests need one"
    return torch.device("cuda", 0)


@pytest.fixture(scope="module")
def images() -> Images:
    return load_images("synthetic", 32)


@pytest.fixture
def loud_waits() -> Iterator[Callable[[], None]]:
    """Return a function after which every wait for the GPU raises."""
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode("default")


def cell(recipe: str, **fields: object) -> Cell:
    model = "tests.support.tiny:Wide" if RECIPES[recipe].fp8 else "LeNet"
    given = {"model": model, "data": "synthetic", "precision": RECIPES[recipe], "batch_size": 128, "epochs": 1}
    return Cell(**given | fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("recipe", RECIPES)
def test_no_step_and_no_block_border_waits_for_the_gpu(
    recipe: str, device: torch.device, images: Images, loud_waits: Callable[[], None]
) -> None:
    """Fused optimizers skip on the device, so recipes with a scaler wait no more than those without."""
    training = Training(cell(recipe, epochs=0), images, device)
    skipped = training.precision.scaler.num_skipped
    clock = BlockClock(device, block_s=1e9)
    steps = itertools.chain(training.steps(0), training.steps(1))
    for _ in range(3):
        next(steps)
    clock.warming_up = False
    clock.open(0)
    loud_waits()
    for _ in range(training.steps_per_epoch):  # over the border between two epochs
        step = next(steps)
        clock.count(step.loss, step.num_images, skipped, steps_left=9)


def test_the_planted_wait_is_caught(device: torch.device, loud_waits: Callable[[], None]) -> None:
    loss = torch.ones((), device=device)
    loud_waits()
    with pytest.raises(RuntimeError, match="synchronizing"):
        loss.item()


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_trains_in_the_dtype_it_says(recipe: str, device: torch.device) -> None:
    measurement = Measurement(
        cell(recipe, epochs=2, learning_rate=0.05, augment=()), MeasurementProtocol(), device, lambda **_: None
    )
    measurement.take()
    seen = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}[RECIPES[recipe].compute]
    assert seen in row_of(measurement)["dtype_check"]
    assert (
        ("float8" in row_of(measurement)["dtype_check"])
        is ("fp8" in row_of(measurement)["kernels"])
        is RECIPES[recipe].fp8
    )
    assert (
        plain(measurement.outcome.traces.epochs)[-1]["train_loss"]
        < plain(measurement.outcome.traces.epochs)[0]["train_loss"]
    )
    assert ("tf32" in row_of(measurement)["fp32_precision"]) is RECIPES[recipe].tf32
    assert row_of(measurement)["memory_instrument"] == "cuda_allocator"
    assert row_of(measurement)["images_per_s"] > 0


def relative_error(device: torch.device, compute: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> float:
    generator = torch.Generator(device).manual_seed(0)
    x, weight = (torch.randn(256, 256, device=device, generator=generator) for _ in range(2))
    exact = compute(x.double(), weight.double())
    return float((compute(x, weight) - exact).norm() / exact.norm())


def convolve(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return nn.functional.conv2d(x.view(16, 16, 16, 16), weight.view(-1, 16, 4, 4))


@pytest.mark.parametrize("compute", [torch.matmul, convolve])
def test_fp32_products_and_convolutions_are_ieee_and_tf32_ones_are_not(
    compute: Callable[..., torch.Tensor], device: torch.device
) -> None:
    """TF32 has 10 fraction bits, fp32 has 23: their errors differ by orders of magnitude."""
    errors = {}
    for tf32 in (False, True):
        set_fp32_precision(tf32=tf32)
        errors[tf32] = relative_error(device, compute)
    set_fp32_precision(tf32=False)
    assert errors[False] < 2e-6
    assert errors[True] > 5e-5


def test_a_block_lasts_as_long_as_the_stream_was_busy(device: torch.device) -> None:
    """Queueing 20 long kernels takes the CPU no time; the block must still last as long as they run."""
    cycles = 50_000_000
    torch.cuda._sleep(cycles)
    torch.cuda.synchronize()
    begun = time.perf_counter()
    torch.cuda._sleep(20 * cycles)
    torch.cuda.synchronize()
    busy_s = time.perf_counter() - begun
    clock = BlockClock(device, block_s=1e-9)
    clock.open(0)
    begun = time.perf_counter()
    for _ in range(20):
        torch.cuda._sleep(cycles)
    end = Mark.now(device)
    assert time.perf_counter() - begun < busy_s / 2, "queueing waited"
    assert clock._start.device_s_until(end) == pytest.approx(busy_s, rel=0.1)


def test_the_peak_is_the_allocators_and_can_be_reset(device: torch.device) -> None:
    memory = CudaMemory(device)
    memory.reset_peak()
    before = memory.peak_bytes()
    held = torch.empty(64 * MIB, dtype=torch.uint8, device=device)
    trial = torch.empty(256 * MIB, dtype=torch.uint8, device=device)
    del trial
    assert memory.peak_bytes() - before == 320 * MIB
    memory.reset_peak()
    assert memory.peak_bytes() - before == 64 * MIB
    del held


def test_a_skipped_fused_step_leaves_the_weights_and_is_counted_without_waiting(
    device: torch.device, loud_waits: Callable[[], None]
) -> None:
    weight = nn.Parameter(torch.ones(64, device=device))
    model = nn.Module()
    model.weight = weight
    optimizer = build_optimizer(model.parameters(), cell("fp16_amp_scaled", learning_rate=0.5, weight_decay=0.0))
    scaler = Scaler(LossScale.parse("dynamic"), device)
    infinity = torch.full((), float("inf"), device=device)

    def step(factor: torch.Tensor) -> None:
        optimizer.zero_grad()
        scaler.scale((weight * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()

    step(infinity)
    loud_waits()
    step(infinity)
    torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(weight.detach(), torch.ones_like(weight))
    assert float(scaler.num_skipped) == 2
    step(torch.ones((), device=device))
    assert torch.equal(weight.detach(), torch.full_like(weight, 0.5))


def test_a_real_out_of_memory_is_a_row_and_the_matrix_goes_on(tmp_path: Path, device: torch.device) -> None:
    free_bytes, _ = torch.cuda.mem_get_info(device)
    batch = 2 ** (free_bytes // 2**30).bit_length()  # images of one GiB each
    file = tmp_path / "oom.toml"
    file.write_text(
        f"""
question = "What fits?"
[fixed]
data = "synthetic"
precision = "fp32"
augment = []
[matrix]
case = [
    {{model = "tests.support.failing:Hungry", batch_size = {batch}}},
    {{model = "tests.support.failing:Hungry", batch_size = {2 * batch}}},
    {{model = "tests.support.failing:Tiny", batch_size = 32}},
]
[measure]
max_timing_s = 1
[budget]
minutes_per_cell = 2
"""
    )
    command = [sys.executable, "bench/run_matrix.py", str(file), "--results", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = pq.read_table(tmp_path / "oom" / "cells.parquet").to_pylist()
    observed, implied, fine = sorted(
        rows, key=lambda row: (row["model"] == "tests.support.failing:Tiny", row["batch_size"])
    )
    assert (observed["status"], implied["status"], fine["status"]) == ("oom", "oom", "ok")
    assert "CUDA out of memory" in observed["because"]
    assert implied["because"].startswith("not tried")
    assert fine["board"].startswith("GPU-")
    assert fine["driver"]
    assert fine["cudnn"]
