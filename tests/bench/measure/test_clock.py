"""The block clock on a GPU, which takes steps later than the CPU queues them: here a stand-in with its own time."""

from __future__ import annotations

import math
import types
from dataclasses import dataclass

import pytest
import torch

from ampbench.bench.measure import clock
from ampbench.bench.measure.clock import Block, BlockClock
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.worker.timing.board_watch import BoardWatch
from ampbench.bench.worker.timing.throughput import speed, wall_images_per_s
from ampbench.bench.worker.timing.timing import Timing
from ampbench.schema.board import BoardSample

POWER_W = 500.0
BATCH = 256
ZERO = torch.zeros(())


class Stream:
    """A CUDA stream whose CPU queues ahead of it; `now_s` is the time of both."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = self.free_s = 100.0
        stream = self

        class Event:
            """Passed when the device has done all work queued before it."""

            def __init__(self, enable_timing: bool) -> None: ...

            def record(self) -> None:
                self.done_s = max(stream.free_s, stream.now_s)

            def synchronize(self) -> None:
                stream.now_s = max(stream.now_s, self.done_s + 20e-6)

            def elapsed_time(self, end: Event) -> float:
                assert max(self.done_s, end.done_s) <= stream.now_s, "read before the device passed it"
                return 1e3 * (end.done_s - self.done_s)

        cuda = types.SimpleNamespace(Event=Event)
        fake = types.SimpleNamespace(cuda=cuda, stack=torch.stack, empty=lambda n, pin_memory: torch.empty(n))
        monkeypatch.setattr(clock, "torch", fake)
        monkeypatch.setattr(clock.time, "perf_counter", lambda: self.now_s)

    def queue(self, device_s: float) -> float:
        """Queue work for the device; return the time at which it will be done."""
        self.free_s = max(self.free_s, self.now_s) + device_s
        return self.free_s


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Stream:
    return Stream(monkeypatch)


@dataclass
class Steps:
    """Equal steps; the CPU waits when it is `num_ahead` steps ahead of the device."""

    stream: Stream
    device_s: float
    cpu_s: float
    num_ahead: int

    def run(self, blocks: BlockClock, num_steps: int, *, is_training: bool) -> list[float]:
        """Count steps; warm-up is over once five blocks have their full length. Return when each was done."""
        ends: list[float] = []
        for left in reversed(range(num_steps)):
            self.stream.now_s += self.cpu_s
            if len(ends) >= self.num_ahead:
                self.stream.now_s = max(self.stream.now_s, ends[-self.num_ahead])
            ends.append(self.stream.queue(self.device_s))
            blocks.count(ZERO, BATCH, ZERO, steps_left=left if is_training else math.inf)
            blocks.warming_up &= sum(not block.calibrating for block in blocks.blocks) < 5
        return ends


STEPS = pytest.mark.parametrize(
    ("device_s", "cpu_s", "num_ahead"),
    [(0.05, 0.002, 1000), (0.05, 0.002, 4), (0.3, 0.01, 1), (0.01, 0.002, 4), (0.001, 0.002, 4), (0.05, 0.0, 10**9)],
)


def timed(stream: Stream, device_s: float, cpu_s: float, num_ahead: int) -> tuple[list[Block], list[float]]:
    """Time about ten seconds of steps; return the blocks, and when the device finished each step."""
    blocks = BlockClock(torch.device("cuda"), block_s=0.2)
    blocks.open(0)
    num_steps = round(10 / max(device_s, cpu_s))
    ends = Steps(stream, device_s, cpu_s, num_ahead).run(blocks, num_steps, is_training=False)
    blocks.settle()
    return blocks.blocks, ends


@STEPS
def test_a_block_is_where_the_device_was_at_it_and_not_where_it_was_queued(
    stream: Stream, device_s: float, cpu_s: float, num_ahead: int
) -> None:
    border_s, num_done = stream.now_s, 0
    blocks, ends = timed(stream, device_s, cpu_s, num_ahead)
    for block in blocks:
        num_done += block.num_steps
        assert block.began_s == pytest.approx(border_s, abs=1e-3)
        border_s = ends[num_done - 1]
        assert block.began_s + block.wall_s == pytest.approx(border_s, abs=1e-3)
        assert block.wall_s >= block.device_s
    assert num_done > 0.8 * len(ends)


@STEPS
def test_energy_and_gap_are_right_however_far_the_cpu_is_ahead(
    stream: Stream, device_s: float, cpu_s: float, num_ahead: int
) -> None:
    begun_s = stream.now_s
    blocks, _ = timed(stream, device_s, cpu_s, num_ahead)
    times = [begun_s - 1 + 0.05 * i for i in range(int(20 * (stream.now_s - begun_s + 2)))]
    watch = BoardWatch()
    watch.samples = [BoardSample(time_s=t, energy_j=POWER_W * (t - begun_s + 1), power_w=POWER_W) for t in times]
    step_s = max(device_s, cpu_s)  # steps that take the CPU longer than the device last as long as the CPU takes
    columns = watch.columns(blocks)
    assert columns.power_w == pytest.approx(POWER_W, rel=1e-3)
    assert columns.joules_per_image == pytest.approx(POWER_W * step_s / BATCH, rel=0.01)
    cell = Cell(model="VGG19", data="synthetic", precision=RECIPES["fp32"], batch_size=BATCH)
    found = speed(blocks, cell)
    assert found.gap_share is not None
    assert 0 <= found.gap_share < 0.001
    assert found.images_per_s == pytest.approx(BATCH / step_s, rel=0.01)


def test_an_epoch_lasts_from_where_it_began_to_where_the_device_was_waited_for(stream: Stream) -> None:
    """Work that is still queued when an epoch begins, as after a numerics sample, does not count in its time."""
    blocks = BlockClock(torch.device("cuda"), block_s=0.2)
    for epoch in range(3):
        stream.queue(5.0)
        blocks.open(epoch)
        begun_s = stream.now_s
        Steps(stream, 0.05, 0.002, 1000).run(blocks, 60, is_training=True)
        lasted_s = stream.now_s - begun_s
        assert lasted_s == pytest.approx(60 * 0.05, rel=0.02)
        own = [block for block in blocks.blocks if block.epoch == epoch]
        assert sum(block.wall_s for block in own) == pytest.approx(lasted_s, rel=1e-4)
        assert wall_images_per_s(own) == pytest.approx(60 * BATCH / lasted_s, rel=1e-4)


def test_a_timing_lasts_as_long_as_it_may_by_the_device_not_by_the_queue(stream: Stream) -> None:
    timing = Timing(MeasurementProtocol(max_timing_s=10, target_ci=1e-9), torch.device("cpu"), lambda **_: None)
    timing.clock = BlockClock(torch.device("cuda"), block_s=0.2)
    timing.clock.warming_up = False
    timing.clock.open(0)
    begun_s, num_steps = stream.now_s, 0
    while True:
        num_steps += 1
        stream.queue(
            0.05 + 0.02 * num_steps / 100 * (num_steps % 7)
        )  # less and less regular, or the timing would be precise
        if timing.clock.count(ZERO, BATCH, ZERO, steps_left=math.inf) and timing.at_border():
            break
    assert timing.stopping.timing_stop == "capped"
    assert stream.now_s - begun_s == pytest.approx(10, rel=0.1)
