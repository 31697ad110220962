"""A few steps under torch's profiler: the time in every kernel or operator, and its kind.

A step has three parts: the batch, forward and backward, the update. Each has a profile of its own, so that an addition
of the augmentation or of the optimizer is not taken for one of the network.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity

from ampbench.bench.measure.kernels import Kind, kind_of_kernel, kind_of_operator
from ampbench.bench.train.training import Training
from ampbench.bench.worker.passes.phases import MarkingScaler

PROFILED_STEPS = 3
"""Steps under the profiler, after one that is not: an idle GPU has a low clock."""
DATA, NETWORK, UPDATE = "data", "network", "update"
"""The parts of a step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfiledStep:
    """The seconds of a step under the profiler."""

    names: Mapping[str, float]
    """In each CUDA kernel, or in each operator alone on a CPU."""
    network_names: Mapping[str, float]
    """The same in forward and backward only."""
    kinds: Mapping[str, float]
    """Forward and backward by kind of work."""
    parts: Mapping[str, float]
    """In the kernels of each part of the step; on a CPU wall time."""
    wall_s: float


@dataclass
class PartProfiler:
    """Profiles the parts of one step, one after the other."""

    device: torch.device
    times: dict[str, dict[str, float]] = field(default_factory=dict)
    """Part -> seconds by CUDA kernel, or by operator alone on a CPU."""
    kinds: dict[str, dict[str, float]] = field(default_factory=dict)
    """Part -> seconds by kind of work."""
    walls: dict[str, float] = field(default_factory=dict)
    """Part -> seconds of wall time."""
    profile: Any = None
    """Of the part that is open; None between two parts."""

    @property
    def cuda(self) -> bool:
        """Whether kernels are profiled."""
        return self.device.type == "cuda"

    def open(self, part: str) -> None:
        """Begin a part of the step."""
        self.part = part
        activity = ProfilerActivity.CUDA if self.cuda else ProfilerActivity.CPU
        profile = torch.profiler.profile(activities=[activity], record_shapes=not self.cuda)
        profile.__enter__()
        self.profile, self.begun = profile, time.perf_counter()

    def close(self) -> None:
        """End the part that is open, if one is."""
        if self.profile is None:
            return
        if self.cuda:
            torch.cuda.synchronize(self.device)
        self.walls[self.part] = time.perf_counter() - self.begun
        profile, self.profile = self.profile, None
        profile.__exit__(None, None, None)
        if self.cuda:
            found = {e.key: 1e-6 * e.self_device_time_total for e in profile.key_averages()}
            # NCCL's kernels run beside the others, and spin while they wait for another rank.
            kernels = {name: s for name, s in found.items() if not name.startswith("nccl")}
            self.times[self.part] = kernels
            self.kinds[self.part] = added((kind_of_kernel(name), s) for name, s in kernels.items())
        else:
            events, dtypes = profile.events(), input_dtypes(profile)
            self.times[self.part] = added((e.name, 1e-6 * e.self_cpu_time_total) for e in events)
            kinds = ((kind_of(e, dtypes), 1e-6 * e.self_cpu_time_total) for e in events)
            self.kinds[self.part] = added((kind, s) for kind, s in kinds if kind)

    def step(self) -> ProfiledStep:
        """Return what was found, once all three parts are over."""
        return ProfiledStep(
            names=added(item for times in self.times.values() for item in times.items()),
            network_names=self.times[NETWORK],
            kinds=self.kinds[NETWORK],
            parts={part: sum(times.values()) for part, times in self.times.items()} if self.cuda else self.walls,
            wall_s=sum(self.walls.values()),
        )


def profile_steps(training: Training) -> ProfiledStep:
    """Take a step, then a few under the profiler; return the median seconds of a step in everything."""
    batches = training.endless_batches()
    training.step(*next(batches))
    steps = [profile_step(training, batches) for _ in range(PROFILED_STEPS)]
    return ProfiledStep(
        names=typical([step.names for step in steps]),
        network_names=typical([step.network_names for step in steps]),
        kinds=typical([step.kinds for step in steps]),
        parts=typical([step.parts for step in steps]),
        wall_s=statistics.median(step.wall_s for step in steps),
    )


def profile_step(training: Training, batches: Iterator[tuple[Tensor, Tensor]]) -> ProfiledStep:
    """Take the next step under the profiler."""
    profiler = PartProfiler(training.device)

    def at(call: str) -> None:
        if call == "step":
            profiler.close()
            profiler.open(UPDATE)

    try:
        profiler.open(DATA)
        batch = next(batches)
        profiler.close()
        profiler.open(NETWORK)
        training.step(*batch, MarkingScaler(training.precision.scaler, at))  # type: ignore[arg-type]
    finally:
        profiler.close()  # a profiler that stays open would forbid the next one
    return profiler.step()


def input_dtypes(profile: Any) -> dict[int, Sequence[str]]:
    """Return event id -> dtypes of its inputs, of a CPU's profile: torch 2.11 keeps none in the event itself."""
    return {event.correlation_id(): event.dtypes() for event in profile.profiler.kineto_results.events()}


def kind_of(event: Any, dtypes: Mapping[int, Sequence[str]]) -> Kind | None:
    """Return the kind of work of an event of a CPU's profile: its own, else that of what called it; None outside all.

    `aten::to` and its like take the kind of the copy that they call. What a product or convolution calls is a part of
    it, such as the sum over a bias's gradient, but for the casts that autocast puts in front.

    Args:
        event: of torch's profiler.
        dtypes: by `input_dtypes`.
    """
    own = kind_of_operator(event.name, dtypes.get(event.id, ()))
    if own in ("elementwise", "copy") and event.cpu_parent is not None and is_inside_product(event.cpu_parent):
        return "matmul_conv"
    if own is None and event.name in ("aten::to", "aten::_to_copy"):
        own = next((kind for child in event.cpu_children if (kind := kind_of_call(child, dtypes))), None)
    if own is None and event.cpu_parent is not None:
        return kind_of(event.cpu_parent, dtypes)
    return own


def is_inside_product(event: Any) -> bool:
    """Whether an event, or one that called it, multiplies matrices or convolves."""
    while event is not None:
        if kind_of_operator(event.name) == "matmul_conv":
            return True
        event = event.cpu_parent
    return False


def kind_of_call(event: Any, dtypes: Mapping[int, Sequence[str]]) -> Kind | None:
    """Return the kind of the first copy in a call of `aten::to`."""
    if event.name == "aten::copy_":
        return kind_of_operator(event.name, dtypes.get(event.id, ()))
    return next((kind for child in event.cpu_children if (kind := kind_of_call(child, dtypes))), None)


def added(items: Any) -> dict[str, float]:
    """Add up (name, seconds) by name."""
    total: dict[str, float] = defaultdict(float)
    for name, seconds in items:
        total[name] += seconds
    return dict(total)


def typical(steps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median seconds of every kernel or operator over a few steps: an interruption may outlast a step."""
    names = dict.fromkeys(name for step in steps for name in step)
    return {name: statistics.median(step.get(name, 0.0) for step in steps) for name in names}
