"""A GPU with its own time: the CPU computes the numbers; stream, events, power and kernels are simulated.

The measurement takes it for a CUDA device. What it should measure is known: how long the device takes for a step,
how far the CPU queues ahead, what the board draws at work and at rest.
"""

from __future__ import annotations

import itertools
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, Self

import pytest
import torch
from torch.utils import _device

from ampbench.bench.machine.board_state.sampling import PERIOD_S
from ampbench.bench.measure.memory import ResidentMemory
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.train.step import Step
from ampbench.bench.train.training import Training
from ampbench.bench.worker import measurement as measurement_file
from ampbench.bench.worker.checkpoints import NoCheckpoints
from ampbench.bench.worker.measurement import Measurement
from ampbench.bench.worker.passes.passes import Passes
from ampbench.bench.worker.timing.board_watch import BoardWatch
from ampbench.schema.board import BoardSample

CUDA = torch.device("cuda", 0)
BUSY_W, IDLE_W = 600.0, 100.0


@dataclass
class VirtualGpu:
    """A stream with a launch queue, and the board around it."""

    step_s: float
    """The device takes so long for a step."""
    launch_s: float
    """The CPU takes so long to queue one."""
    num_ahead: int = 4
    """Steps that fit into the queue; the CPU waits for room."""
    now_s: float = 1000.0
    free_s: float = 1000.0
    """When the device is done with all that is queued."""
    begins: list[float] = field(default_factory=list)
    """Of every step on the device, in order."""

    def perf_counter(self) -> float:
        """Return the time; every call advances it by a microsecond, so that no loop waits for ever."""
        self.now_s += 1e-6
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def launch(self) -> None:
        """Queue a step."""
        self.now_s += self.launch_s
        if len(self.begins) >= self.num_ahead:
            self.now_s = max(self.now_s, self.begins[-self.num_ahead] + self.step_s)
        self.begins.append(max(self.free_s, self.now_s))
        self.free_s = self.begins[-1] + self.step_s

    def wait(self, *_: object) -> None:
        self.now_s = max(self.now_s, self.free_s)

    def energy_j(self, time_s: float) -> float:
        """Return what the board has drawn since time 0."""
        done = bisect_right(self.begins, time_s)
        busy_s = done * self.step_s - max(0.0, self.begins[done - 1] + self.step_s - time_s) if done else 0.0
        return IDLE_W * time_s + (BUSY_W - IDLE_W) * busy_s

    def sample(self, time_s: float) -> BoardSample:
        return BoardSample(time_s=time_s, energy_j=self.energy_j(time_s), sm_clock_mhz=1980, clock_event_reasons=0)


class Event:
    """As torch.cuda.Event: passed once the device has done what was queued before it."""

    def __init__(self, gpu: VirtualGpu, enable_timing: bool = False) -> None:
        self.gpu = gpu

    def record(self) -> None:
        self.done_s = max(self.gpu.free_s, self.gpu.now_s)

    def synchronize(self) -> None:
        self.gpu.now_s = max(self.gpu.now_s, self.done_s)

    def elapsed_time(self, end: Event) -> float:
        assert max(self.done_s, end.done_s) <= self.gpu.now_s, "read before the device has passed it"
        return 1e3 * (end.done_s - self.done_s)


class Sampler:
    """Replaces the sampling process: 20 samples a second up to now."""

    why_no_samples = None

    def __init__(self, gpu: VirtualGpu) -> None:
        self.gpu, self.next_s = gpu, gpu.now_s

    def start(self) -> None: ...

    def drain(self) -> list[BoardSample]:
        samples = []
        while self.next_s <= self.gpu.now_s:
            samples.append(self.gpu.sample(self.next_s))
            self.next_s += PERIOD_S
        return samples

    def stop(self) -> list[BoardSample]:
        self.gpu.sleep(PERIOD_S)
        return self.drain()


class OnStream(Training):
    """Trains on the CPU, and queues the same steps for the device."""

    def __init__(self, gpu: VirtualGpu, cell: Cell, images: Any, device: torch.device, *ranks: Any) -> None:
        super().__init__(cell, images, torch.device("cpu"), *ranks)
        self.gpu = gpu

    def step(self, *arguments: Any, **keywords: Any) -> Step:
        step = super().step(*arguments, **keywords)
        self.gpu.launch()
        return step


@dataclass
class Profile:
    """As torch.profiler.profile over one part of a step: milliseconds by kernel."""

    kernels_ms: Mapping[str, float]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def key_averages(self) -> list[Any]:
        return [
            SimpleNamespace(key=name, self_device_time_total=1e3 * ms, count=1) for name, ms in self.kernels_ms.items()
        ]


def measurement_on(
    gpu: VirtualGpu,
    cell: Cell,
    measure: MeasurementProtocol,
    kernels_ms: Mapping[str, float],
    monkeypatch: pytest.MonkeyPatch,
) -> Measurement:
    """Return a measurement that is about to measure a cell on this GPU, whose steps launch these kernels."""
    _device._device_constructors()  # torch.empty is one of them; read before it is replaced
    unpinned = torch.empty
    monkeypatch.setattr(time, "perf_counter", gpu.perf_counter)
    monkeypatch.setattr(time, "sleep", gpu.sleep)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "Event", partial(Event, gpu))
    monkeypatch.setattr(torch.cuda, "synchronize", gpu.wait)
    properties = SimpleNamespace(name="NVIDIA H200", total_memory=139 * 2**30, major=9, minor=0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda *_: properties)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: properties.name)
    monkeypatch.setattr(torch, "empty", lambda *size, pin_memory=False, **given: unpinned(*size, **given))
    parts: Iterator[Mapping[str, float]] = itertools.cycle(({}, kernels_ms, {}))  # the batch, the network, the update
    monkeypatch.setattr(torch.profiler, "profile", lambda **_: Profile(next(parts)))
    monkeypatch.setattr("ampbench.bench.worker.timing.timing.memory_of", lambda _: ResidentMemory())
    monkeypatch.setattr(measurement_file, "Training", partial(OnStream, gpu))
    passes = measurement_file.Passes

    def passes_on_gpu(training: Training, *arguments: Any) -> Passes:
        training.device = CUDA
        return passes(training, *arguments)

    monkeypatch.setattr(measurement_file, "Passes", passes_on_gpu)
    return Measurement(cell, measure, CUDA, lambda **_: None, NoCheckpoints(), BoardWatch(Sampler(gpu)))  # type: ignore[arg-type]
