"""A few steps under torch's profiler: the time in every kernel or operator, and what a step waits for."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch.profiler import ProfilerActivity

from ampbench.bench.measure.kernels import is_matmul_or_conv
from ampbench.bench.measure.roofline import bound_of
from ampbench.bench.train.step import Step
from ampbench.bench.train.training import Training
from ampbench.schema.speed import Speed
from ampbench.schema.work import Bound, StepPhases

PROFILED_STEPS = 3
"""Steps under the profiler, after one that is not: an idle GPU has a low clock."""


def profile_steps(training: Training) -> dict[str, float]:
    """Take a step, then a few under the profiler; return the median seconds of every kernel or operator per step."""
    steps = training.endless_steps()
    next(steps)
    return typical([profile_step(training, steps) for _ in range(PROFILED_STEPS)])


def profile_step(training: Training, steps: Iterator[Step]) -> dict[str, float]:
    """Take the next step under the profiler; return seconds by CUDA kernel, or by operator alone on a CPU.

    NCCL's kernels are left out: they run beside the others, and spin while they wait for another rank.
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
    """Return the median seconds of every kernel or operator over a few steps: an interruption may outlast a step."""
    names = dict.fromkeys(name for step in steps for name in step)
    return {name: statistics.median(step.get(name, 0.0) for step in steps) for name in names}


def bound_by(times: Mapping[str, float], speed: Speed, phases: StepPhases, *, gpu: bool) -> Bound:
    """Return what a step waits for most.

    Args:
        times: seconds of a step in each kernel (operator on a CPU), by its name.
        speed: of the timed steps.
        phases: of a step; without them the bound is not known either.
        gpu: whether the times are those of kernels.
    """
    total_s = sum(times.values())
    kernel_ms = 1e3 * total_s if gpu and times else None
    if not total_s:
        return Bound(kernel_ms=kernel_ms)
    share = sum(s for name, s in times.items() if is_matmul_or_conv(name)) / total_s
    found = Bound(kernel_ms=kernel_ms, matmul_conv_share=share)
    parts = (phases.data_ms, phases.forward_ms, phases.backward_ms, phases.update_ms)
    known = [part for part in parts if part is not None]
    if speed.step_ms is None or len(known) < len(parts):
        return found
    idle = None if kernel_ms is None else max(0.0, 1 - kernel_ms / speed.step_ms)
    bound = bound_of(data_share=known[0] / sum(known), idle_share=idle, matmul_conv_share=share)
    return replace(bound, kernel_ms=kernel_ms, matmul_conv_share=share)
