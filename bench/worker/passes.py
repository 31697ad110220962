"""What is looked at once the clock has stopped: a few steps more, which are neither timed nor trained for.

The proof of the kernels' dtypes can fail a cell. Nothing else here can: what does not work stays null, and the column
`passes_failed` says why.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity

from ampbench.bench.measure.flops import count_flops
from ampbench.bench.measure.kernels import is_matmul_or_conv
from ampbench.bench.measure.roofline import TERA, bound_of, measured_peak_tflops, utilisation, vendor_peak_tflops
from ampbench.bench.measure.shapes import on_shapes
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.train.criterion import Criterion
from ampbench.bench.train.loss import LossFunction
from ampbench.bench.train.network import build_model
from ampbench.bench.train.outputs import in_fp32
from ampbench.bench.train.precision import DTYPES, cast_real
from ampbench.bench.train.step import Step
from ampbench.bench.train.training import Training
from ampbench.bench.worker.dtype_check import check_kernels
from ampbench.bench.worker.failures import attempt
from ampbench.bench.worker.memory_breakdown import split, trace_memory
from ampbench.bench.worker.phases import PHASES, device_seconds, time_phases
from ampbench.bench.worker.traces import Traces

Row = dict[str, Any]

PROFILED_STEPS = 3
"""Taken under the profiler, after one that is not: a GPU that has idled has a low clock."""

NO_SNAPSHOT = (
    "No memory.pickle: torch keeps that history for the memory of a GPU only; on a CPU the same steps are in "
    "memory.parquet, by the profiler"
)


def take_passes(
    training: Training, protocol: MeasurementProtocol, row: Row, traces: Traces, folder: Path | None
) -> None:
    """Take the untimed passes of a cell and write what they find into `row` and `traces`.

    Args:
        training: whose timed steps are over.
        measure_by: names the passes.
        row: has the throughput.
        traces: get the allocations.
        folder: of the run, for what is no table; None where there is none.

    Raises:
        RuntimeError: a kernel ran in another dtype than the recipe says.
    """
    begun = time.perf_counter()
    passes = protocol.passes
    attempt(row, "count of operations", partial(_count, training, row))
    if "roofline" in passes:
        attempt(row, "peak", partial(_measure_peak, training, row))
    attempt(row, "share of the peak", partial(_utilise, training, row))
    attempt(row, "split of the memory", partial(split, training, row))
    if "memory" in passes or "snapshot" in passes:
        path = folder / "memory.pickle" if folder and "snapshot" in passes else None
        if "snapshot" in passes and training.device.type != "cuda":
            row["memory_note"] = NO_SNAPSHOT
            print(NO_SNAPSHOT, file=sys.stderr)
        attempt(row, "history of the memory", partial(trace_memory, training, row, traces, path))
        attempt(row, "prediction of the memory", partial(_predict, training, row))
    if "phases" in passes:
        attempt(row, "phases", lambda: row.update(time_phases(training)))
    # Last, because CUPTI stays in the process.
    if training.device.type == "cuda":
        times: dict[str, float] = {}
        attempt(row, "profile of the kernels", lambda: times.update(profile_steps(training)))
        check_kernels(training.cell.precision, times, row)
        row["kernel_ms"] = 1e3 * sum(times.values()) if times else None
        attempt(row, "bound", partial(_bind, row, times))
    elif "phases" in passes:
        attempt(row, "operators", lambda: _bind(row, profile_steps(training)))
    row["passes_s"] = time.perf_counter() - begun


def profile_steps(training: Training) -> dict[str, float]:
    """Take a step, then a few under the profiler; return the median seconds of every kernel or operator in one."""
    steps = training.endless_steps()
    next(steps)
    return typical([profile_step(training, steps) for _ in range(PROFILED_STEPS)])


def profile_step(training: Training, steps: Iterator[Step]) -> dict[str, float]:
    """Take the next step under the profiler; return seconds by CUDA kernel, or by operator itself on a CPU.

    Without NCCL's kernels: they run beside the others, and spin while they wait for another rank.
    """
    cuda = training.device.type == "cuda"
    with torch.profiler.profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as profile:
        next(steps)
        if cuda:
            torch.cuda.synchronize(training.device)
    events = profile.key_averages()
    seconds = {e.key: 1e-6 * (e.self_device_time_total if cuda else e.self_cpu_time_total) for e in events}
    return {name: s for name, s in seconds.items() if not name.startswith("nccl")}


def typical(steps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median seconds of every kernel or operator over a few steps: one interruption may outlast a step."""
    names = dict.fromkeys(name for step in steps for name in step)
    return {name: statistics.median(step.get(name, 0.0) for step in steps) for name in names}


def _count(training: Training, row: Row) -> None:
    cell = training.cell

    def build() -> nn.Module:
        model = build_model(cell, training.images.num_classes)
        cast_real(model, torch.float32)
        return model

    loss_of, shape = partial(_loss_of, training), (3, cell.input_size, cell.input_size)
    try:
        flops = count_flops(build, loss_of, shape)
    except Exception:  # it may only have to see its first images
        with on_shapes(build, lambda model: model(torch.rand(2, *shape))) as (model, _):
            flops = count_flops(lambda: model, loss_of, shape, device="cpu")
    row |= {"forward_flops": flops.forward, "backward_flops": flops.backward}


def _loss_of(training: Training, model: nn.Module) -> LossFunction:
    criterion = Criterion(model, replace(training.cell, accumulation=1), training.images.num_classes)
    return lambda output, y_N: criterion(in_fp32(output), y_N)


def _predict(training: Training, row: Row) -> None:
    from ampbench.bench.worker.prediction import predict_peak_bytes  # brings torch.distributed

    row["predicted_peak_bytes"] = predict_peak_bytes(training.cell, training.images.num_classes)


def _measure_peak(training: Training, row: Row) -> None:
    recipe, device = training.cell.precision, training.device
    if recipe.fp8:
        return  # its products are in two dtypes, and no one of them is its peak
    seconds = partial(device_seconds, device=device)
    row["measured_peak_tflops"] = measured_peak_tflops(device, DTYPES[recipe.compute], seconds)


def _utilise(training: Training, row: Row) -> None:
    recipe = training.cell.precision
    gpu = torch.cuda.get_device_name(training.device) if training.device.type == "cuda" else None
    if not recipe.fp8:
        row["vendor_peak_tflops"] = vendor_peak_tflops(gpu, "tf32" if recipe.tf32 else recipe.compute)
    if row.get("images_per_s") is None or row.get("forward_flops") is None:
        return
    flops, rate = row["forward_flops"] + row["backward_flops"], row["images_per_s"] / training.cell.gpus
    row["tflops"] = flops * rate / TERA
    for peak in ("vendor", "measured"):
        row[f"mfu_{peak}"] = utilisation(flops, rate, row.get(f"{peak}_peak_tflops"))


def _bind(row: Row, times: Mapping[str, float]) -> None:
    """Label what the step waits for, from the time in its kernels or operators."""
    total_s = sum(times.values())
    if not total_s:
        return
    row["matmul_conv_share"] = sum(s for name, s in times.items() if is_matmul_or_conv(name)) / total_s
    if row.get("step_ms") is None or row.get("data_ms") is None:
        return
    idle = None if row.get("kernel_ms") is None else max(0.0, 1 - row["kernel_ms"] / row["step_ms"])
    data = row["data_ms"] / sum(row[phase] for phase in PHASES)
    bound = bound_of(data_share=data, idle_share=idle, matmul_conv_share=row["matmul_conv_share"])
    row |= {"bound": bound.label, "bound_because": bound.because}
