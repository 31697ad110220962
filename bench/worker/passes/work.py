"""What a profile of a few steps says of a timed step: its time by kind of work, and what it waits for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ampbench.bench.measure.kernels import is_matmul_or_conv
from ampbench.bench.measure.roofline import bound_of
from ampbench.bench.worker.passes.profile import DATA, NETWORK, UPDATE, ProfiledStep
from ampbench.schema.speed import Speed
from ampbench.schema.work import Bound, StepPhases, WorkByKind

NETWORK_KINDS = ("matmul_conv", "normalisation", "elementwise", "cast", "copy", "optimizer", "other")
"""Kinds of work that forward and backward may have."""
NUM_LONGEST = 5


def work_by_kind(profile: ProfiledStep, speed: Speed, phases: StepPhases, *, gpu: bool) -> WorkByKind:
    """Return the time of a timed step by kind of work; nothing but the profiled step if no speed is known.

    On a GPU the profiler leaves the kernels as fast as they are, and idle is what is left of a step; the batch's share
    of that is what its phase takes beyond its own kernels. If kernels overlap, so that they sum to more than a step,
    each is counted for less. On a CPU the profile only divides forward and backward, whose time, like that of the other
    two parts, is of steps without a profiler.
    """
    profiled_ms, step_ms = 1e3 * profile.wall_s, speed.step_ms
    if step_ms is None or not sum(profile.parts.values()):
        return WorkByKind(profiled_step_ms=profiled_ms)
    kinds = {kind: 1e3 * s for kind, s in profile.kinds.items()}
    known = (phases.data_ms, phases.forward_ms, phases.backward_ms, phases.update_ms)
    measured = [ms for ms in known if ms is not None]
    data_ms, network_ms, update_ms = (1e3 * profile.parts.get(part, 0.0) for part in (DATA, NETWORK, UPDATE))
    if gpu:
        scale = min(1.0, step_ms / (sum(kinds.values()) + data_ms + update_ms))
        of_kernels, data_ms, update_ms = scale, scale * data_ms, scale * update_ms
        idle_ms = step_ms - scale * sum(kinds.values()) - data_ms - update_ms
        waited_ms = min(idle_ms, max(0.0, (phases.data_ms or 0.0) - data_ms))
        data_ms, idle_ms = data_ms + waited_ms, max(0.0, idle_ms - waited_ms)
    else:
        profiled_network_ms = max(network_ms, sum(kinds.values()))
        if len(measured) == len(known):
            data_ms, network_ms, update_ms = measured[0], measured[1] + measured[2], measured[3]
        scale = step_ms / (data_ms + network_ms + update_ms)
        data_ms, network_ms, update_ms = scale * data_ms, scale * network_ms, scale * update_ms
        of_kernels = network_ms / profiled_network_ms
        idle_ms = network_ms - of_kernels * sum(kinds.values())
    found = {f"work_{kind}_ms": of_kernels * kinds.get(kind, 0.0) for kind in NETWORK_KINDS}
    longest = sorted(profile.network_names.items(), key=lambda item: -item[1])[:NUM_LONGEST]
    return WorkByKind(
        **found | {"work_optimizer_ms": found["work_optimizer_ms"] + update_ms},
        work_data_ms=data_ms,
        work_idle_ms=idle_ms,
        profiled_step_ms=profiled_ms,
        longest_work="; ".join(f"{name}: {1e3 * of_kernels * s:.3g}" for name, s in longest),
    )


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
