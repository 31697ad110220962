"""The arithmetic of samples, and the order of marks: no test here asserts a speed."""

from __future__ import annotations

import math
import random

import pytest
import torch
from scipy import stats

from ampbench.bench.machine.provenance import REFUSED, environment_id, machine_of, refused_switch
from ampbench.bench.measure import clock
from ampbench.bench.measure.clock import BlockClock, Mark
from ampbench.bench.measure.memory import ResidentMemory, is_out_of_memory
from ampbench.bench.measure.stopping import FIRST_CHECK, ci_share, is_flat, why_stop
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.worker.ending import ending_of
from ampbench.bench.worker.measurement import Measurement

CPU = torch.device("cpu")


@pytest.mark.parametrize("n", [2, 3, 10, 31])
def test_the_interval_is_students(n: int) -> None:
    rng = random.Random(n)
    samples = [rng.gauss(100, 5) for _ in range(n)]
    low, high = stats.t.interval(0.95, n - 1, loc=sum(samples) / n, scale=stats.sem(samples))
    assert ci_share(samples) == pytest.approx((high - low) / 2 / (sum(samples) / n), rel=1e-3)


def test_one_sample_has_no_interval() -> None:
    assert ci_share([1.0]) is None


@pytest.mark.parametrize(
    ("samples", "flat"),
    [
        ([1.0, 1.0, 1.0], False),
        ([9.0, 1.0, 1.0, 1.0, 1.0], True),
        ([9.0, 1.0, 1.0, 1.0], False),
        ([4.0, 3.0, 2.0, 1.0], False),
        ([1.3, 1.2, 1.1, 1.0], False),
        ([1.0, 1.1, 0.9, 1.0], True),
        ([1.000, 1.003, 1.006, 1.009], True),
    ],
)
def test_steady_is_flat_and_not_merely_few(samples: list[float], flat: bool) -> None:
    assert is_flat(samples) is flat


def test_timing_stops_when_precise_and_looks_only_at_doubling_sizes() -> None:
    exact = [100.0, 100.1] * 100
    stops = [n for n in range(1, 200) if why_stop(exact[:n], target_ci=0.005, timed_s=0, max_timing_s=9) == "precise"]
    assert stops == [8, 16, 32, 64, 128]


def test_timing_stops_when_the_noise_is_known_or_the_time_is_up() -> None:
    noisy = [80.0, 120.0] * 50
    assert why_stop(noisy[:16], target_ci=0.005, timed_s=0, max_timing_s=9) is None
    assert why_stop(noisy[:32], target_ci=0.005, timed_s=0, max_timing_s=9) == "noisy_stable"
    assert why_stop(noisy[:9], target_ci=0.005, timed_s=9, max_timing_s=9) == "capped"
    assert FIRST_CHECK == 8


class FakeTime:
    """Steps of given durations."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        monkeypatch.setattr(clock.time, "perf_counter", lambda: self.now_s)


def run_steps(blocks: BlockClock, fake: FakeTime, steps_s: list[float], *, last_batch: int = 10) -> None:
    blocks.open(0)
    for i, seconds in enumerate(steps_s):
        fake.now_s += seconds
        left = len(steps_s) - i - 1
        blocks.count(torch.tensor(0.5), 10 if left else last_batch, torch.tensor(0.0), steps_left=left)


def test_blocks_grow_until_they_last_long_enough_and_cover_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTime(monkeypatch)
    blocks = BlockClock(CPU, block_s=0.2)
    run_steps(blocks, fake, [0.01] * 100)
    assert sum(block.num_steps for block in blocks.blocks) == 100
    assert blocks.blocks[0].num_steps == 1
    measured = [block for block in blocks.blocks if not block.calibrating]
    assert measured
    assert all(block.device_s >= 0.2 for block in measured)
    assert all(block.images_per_s == pytest.approx(1000) for block in blocks.blocks)


def test_a_smaller_last_batch_counts_the_images_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTime(monkeypatch)
    blocks = BlockClock(CPU, block_s=0.2)
    run_steps(blocks, fake, [0.3] * 3, last_batch=4)
    assert [block.num_images for block in blocks.blocks] == [10, 10, 4]
    assert blocks.blocks[-1].images_per_s == pytest.approx(4 / 0.3)


def test_a_short_training_still_holds_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTime(monkeypatch)
    blocks = BlockClock(CPU, block_s=0.2)
    blocks.max_steps = 6
    run_steps(blocks, fake, [0.001] * 60)
    assert [block.num_steps for block in blocks.blocks] == [1, 4, *[6] * 8, 7]
    assert [block.calibrating for block in blocks.blocks] == [*[True] * 3, *[False] * 8]


def test_a_remainder_joins_the_last_block_instead_of_being_a_short_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTime(monkeypatch)
    blocks = BlockClock(CPU, block_s=0.2)
    run_steps(blocks, fake, [0.3] * 3)
    blocks._steps_per_block, before = 4, len(blocks.blocks)
    run_steps(blocks, fake, [0.3] * 7)
    assert [block.num_steps for block in blocks.blocks[before:]] == [7]


def test_time_between_open_and_the_last_block_is_not_billed(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTime(monkeypatch)
    blocks = BlockClock(CPU, block_s=0.2)
    run_steps(blocks, fake, [0.3])
    fake.now_s += 100.0  # an evaluation
    run_steps(blocks, fake, [0.3])
    assert [block.wall_s for block in blocks.blocks] == pytest.approx([0.3, 0.3])


def test_a_block_knows_its_skips_and_its_last_loss() -> None:
    blocks = BlockClock(CPU, block_s=1e-9)
    blocks.open(0)
    for step, skipped in enumerate((1.0, 1.0, 3.0)):
        blocks.count(torch.tensor(math.nan if step == 2 else 1.0), 1, torch.tensor(skipped), steps_left=2 - step)
    blocks.settle()
    assert [block.num_skipped for block in blocks.blocks] == [1, 0, 2]
    assert [math.isnan(block.last_loss) for block in blocks.blocks] == [False, False, True]


def test_a_block_is_read_only_when_the_next_one_is_queued_once_warm() -> None:
    blocks = BlockClock(CPU, block_s=1e-9)
    blocks.warming_up = False
    blocks.open(0)
    for expected in (0, 1, 2):
        blocks.count(torch.tensor(1.0), 1, torch.tensor(0.0), steps_left=9)
        assert len(blocks.blocks) == expected


def test_marks_on_a_cpu_are_wall_time() -> None:
    start = Mark(wall_s=1.0, event=None)
    assert start.device_s_until(Mark(wall_s=3.5, event=None)) == 2.5


def test_resident_memory_sees_a_large_tensor() -> None:
    memory = ResidentMemory()
    memory.reset_peak()
    before = memory.peak_bytes()
    torch.ones(64 * 2**20, dtype=torch.uint8)
    assert memory.peak_bytes() - before > 60 * 2**20
    assert memory.reserved_bytes() is None


def test_running_out_of_memory_is_told_from_other_errors() -> None:
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes differ"))
    assert is_out_of_memory(RuntimeError("CUDA driver error: out of memory"))
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize(
    "says",
    [
        "FIND was unable to find an engine to execute this computation",
        "GET was unable to find an engine to execute this computation",
        "Unable to find a valid cuDNN algorithm to run convolution",
        "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a non-contiguous input.",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    ],
)
def test_a_library_without_room_to_work_is_out_of_memory_only_where_little_is_free(
    says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gib = 2**30
    error = RuntimeError(says)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (gib, 141 * gib))
    assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("shapes differ"))
    assert not is_out_of_memory(ValueError(says))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (70 * gib, 141 * gib))
    assert not is_out_of_memory(error)
    monkeypatch.undo()
    assert not is_out_of_memory(error) or torch.cuda.is_available(), "without a GPU nothing is known of its memory"


@pytest.mark.parametrize(("free_share", "status"), [(0.01, "oom"), (0.5, "failed")])
def test_a_convolution_without_an_engine_is_a_row_oom_near_the_end_of_the_memory(
    free_share: float, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (int(free_share * 2**37), 2**37))
    cell = Cell(model="tests.support.failing:NoEngine", data="synthetic", precision=RECIPES["fp32"], batch_size=32)
    ending = ending_of(Measurement(cell, MeasurementProtocol(), CPU, lambda **_: None))
    because = ending.because
    assert ending.status == status
    assert "FIND was unable to find an engine" in str(because)
    assert ("out of memory at batch size 32" in str(because)) is (status == "oom")


def test_an_environment_that_would_make_labels_untrue_is_refused() -> None:
    assert refused_switch({}) is None
    for name in REFUSED:
        assert f"unset {name}" in str(refused_switch({name: "1"}))


def test_two_machines_or_methods_are_two_environments() -> None:
    ids = {
        environment_id(machine_of(None, None), 1),
        environment_id(machine_of(None, None), 2),
        environment_id(machine_of(None, None, simulated_boards=2), 1),
        environment_id(machine_of("NVIDIA H200", "580.1"), 1),
        environment_id(machine_of("NVIDIA H200", "580.2"), 1),
    }
    assert len(ids) == 5
    assert machine_of(None, None).torch == torch.__version__.partition("+")[0]
