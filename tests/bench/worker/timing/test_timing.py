"""The decisions at the borders of blocks: when warm-up is over, what is a sample, when to stop."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ampbench.bench.measure.clock import Block, BlockClock
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.statuses import Throttled
from ampbench.bench.worker.loss_scaling import loss_scaling
from ampbench.bench.worker.timing import board_watch
from ampbench.bench.worker.timing.board_watch import BoardWatch
from ampbench.bench.worker.timing.throughput import speed
from ampbench.bench.worker.timing.timing import Timing
from ampbench.schema.board import BoardSample, BoardState

CPU = torch.device("cpu")
CELL = Cell(model="LeNet", data="digits", precision=RECIPES["fp32"], batch_size=100)


class FakeMemory:
    """An allocator whose peak and requests a test sets."""

    instrument = "cuda_allocator"

    def __init__(self) -> None:
        self.peak, self.requests = 0, 0

    def reset_peak(self) -> None:
        self.peak = 0

    def peak_bytes(self) -> int:
        return self.peak

    def now_bytes(self) -> int:
        return self.peak

    def reserved_bytes(self) -> int:
        return self.peak

    def num_allocations(self) -> int:
        return self.requests

    def release(self) -> None: ...


def block(i: int, *, step_s: float = 0.01, **fields: Any) -> Block:
    """The i-th second of a run, with 1,000 images by default."""
    values: dict[str, Any] = {"epoch": 0, "num_steps": 10, "num_images": 1000, "num_skipped": 0, "began_s": float(i)}
    values |= {"device_s": 10 * step_s, "wall_s": 1.0, "images_per_s": 100 / step_s, "last_loss": 1.0}
    return Block(**(values | {"calibrating": False, "steady": True} | fields))


def seconds_of(clocks_mhz: Callable[[float], int], until_s: float, reasons: int = 0) -> list[BoardSample]:
    times = [0.05 * i for i in range(int(20 * until_s) + 1)]
    return [BoardSample(time_s=t, sm_clock_mhz=clocks_mhz(t), clock_event_reasons=reasons) for t in times]


@pytest.fixture
def timing() -> Timing:
    timing = Timing(MeasurementProtocol(max_timing_s=10, target_ci=1e-9), CPU, lambda **_: None)
    timing.memory = FakeMemory()
    timing.clock.warming_up = False
    return timing


def test_a_block_with_a_skipped_step_is_no_sample_of_speed() -> None:
    """A skipped update is a fast step."""
    fast = block(1, step_s=0.001, num_skipped=1)
    found = speed([block(0), fast, block(2)], CELL)
    assert found.images_per_s == pytest.approx(10_000)
    assert found.num_blocks == 2
    assert loss_scaling([], [block(0), fast, block(2)], None).num_skipped == 1


def test_the_peak_of_warm_up_with_its_trials_is_not_the_steady_one(timing: Timing) -> None:
    memory: Any = timing.memory
    timing.clock.warming_up, memory.peak = True, 1450
    timing.clock.blocks = [block(i) for i in range(4)]
    timing.at_border()
    assert not timing.clock.warming_up
    memory.peak = 300
    timing.update_peak()
    assert (timing.peaks.startup_peak_bytes, timing.peaks.steady_peak_bytes) == (1450, 300)


@pytest.mark.parametrize("disturbance", ["allocation", "skip", "drift", "clock"])
def test_warm_up_ends_only_on_undisturbed_flat_blocks(timing: Timing, disturbance: str) -> None:
    timing.clock.warming_up = True
    timing.clock.blocks = [block(i) for i in range(4)]
    if disturbance == "allocation":
        timing.memory.requests = 1  # type: ignore[attr-defined]
    elif disturbance == "skip":
        timing.clock.blocks[-1] = block(3, num_skipped=1)
    elif disturbance == "drift":
        timing.clock.blocks = [block(i, step_s=0.01 - 0.001 * i) for i in range(4)]
    else:
        timing.board.samples = seconds_of(lambda t: int(1980 - 100 * t), 4)
    timing.at_border()
    assert timing.clock.warming_up
    timing.clock.blocks += [block(4 + i) for i in range(4)]
    timing.board.samples = seconds_of(lambda _: 1600, 8)
    timing.at_border()
    assert not timing.clock.warming_up
    assert timing.stopping.warmup_steady


def test_a_block_that_the_board_makes_invalid_is_marked_and_no_sample(timing: Timing) -> None:
    timing.clock.blocks = [block(i, step_s=0.02 if i == 2 else 0.01) for i in range(5)]
    timing.board.samples = seconds_of(lambda t: 1200 if 2 <= t <= 3 else 1980, 5)
    timing.stop()
    rows = timing.board.rows(since_s=0.0)
    assert [bool(b.invalid) for b in timing.clock.blocks] == [False, False, True, False, False]
    assert "under 90 %" in str(timing.clock.blocks[2].invalid)
    assert speed(timing.clock.blocks, CELL).num_blocks == 4
    assert timing.board.columns(timing.clock.own_blocks).num_invalid_blocks == 1
    assert len(rows) == 101


def test_a_board_that_throttles_throughout_is_a_status_and_not_an_empty_sample(timing: Timing) -> None:
    """First the blocks are timed again, for at most the time that a timing may take."""
    hot = 0x40
    timing.board.samples = seconds_of(lambda _: 1980, 10, reasons=hot)
    for i in range(9):
        timing.clock.blocks.append(block(i))
        assert timing.at_border() is False
    timing.clock.blocks.append(block(9))
    with pytest.raises(Throttled, match=r"10 of 10 blocks do not count, in the last one: hardware thermal slowdown"):
        timing.at_border()


def test_what_a_short_throttle_makes_invalid_is_timed_again(timing: Timing) -> None:
    timing.board.samples = seconds_of(lambda _: 1980, 12)
    timing.board.samples[10:40] = seconds_of(lambda _: 1980, 2, reasons=0x08)[10:40]
    for i in range(12):  # seconds, of which the first two do not count
        timing.clock.blocks.append(block(i, step_s=0.01 + 0.001 * (i % 3)))
        assert timing.at_border() is (i == 11)
    assert timing.stopping.timing_stop == "capped"


def test_blocks_of_an_earlier_process_keep_their_judgement(timing: Timing) -> None:
    timing.clock.resume([block(-9, invalid="hardware slowdown in 3 of 20 samples")], 0.0)
    timing.clock.blocks += [block(0)]
    timing.board.samples = seconds_of(lambda _: 1980, 1)
    timing.judge()
    assert [bool(b.invalid) for b in timing.clock.blocks] == [True, False]


def test_a_day_of_samples_is_thinned_to_what_interpolation_needs(
    timing: Timing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_watch, "MOST_SAMPLES", 2000)
    timing.board.samples = seconds_of(lambda _: 1980, 200)
    timing.board.take_samples()
    times = [sample.time_s for sample in timing.board.samples]
    assert len(times) < 2600
    assert max(b - a for a, b in itertools.pairwise(times)) < 0.5
    assert times[-1000:] == pytest.approx([0.05 * i for i in range(3001, 4001)]), "the newest are left as they are"


def test_a_cpu_has_no_board_to_watch_and_no_column_of_it(timing: Timing) -> None:
    timing.board = BoardWatch()
    timing.board.start()
    timing.board.rest()
    timing.clock.blocks = [block(0)]
    timing.stop()
    assert timing.board.rows(since_s=0.0) == []
    assert timing.board.columns(timing.clock.own_blocks) == BoardState()


def test_a_clock_counts_from_the_machine_s_own_time() -> None:
    clock = BlockClock(CPU, block_s=0.0)
    before_s = time.perf_counter()
    clock.open(0)
    clock.count(torch.tensor(1.0), 8, torch.tensor(0.0), steps_left=0)
    assert before_s <= clock.blocks[0].began_s <= time.perf_counter()
