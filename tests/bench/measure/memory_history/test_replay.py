"""A history replayed: its level, its peak and the live allocations at each moment are those of a brute-force replay."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from typing import Any

import numpy as np
import pytest

from ampbench.bench.measure.memory_history import Moment, digest, purpose, reduced
from ampbench.bench.measure.memory_history.replay import MOST_HOLDINGS, NUM_BUCKETS
from ampbench.schema.memory_history import CATEGORIES, MemoryRow
from tests.support.snapshots import (
    ACTIVATION,
    CAST,
    FORWARD,
    GRADIENT,
    MOMENTUM,
    WEIGHT,
    Allocator,
    random_history,
    stack,
    steps,
)

BASE = WEIGHT + MOMENTUM + 12345


PEAK = BASE + 700 + CAST + ACTIVATION + (ACTIVATION + 8) + ACTIVATION + GRADIENT


def brute_force(snapshot: dict[str, Any], device: int = 0) -> list[int]:
    """Replay backwards from the blocks at the end, one event after another: the level after each, and before all."""
    level = sum(
        block["requested_size"]
        for segment in snapshot["segments"]
        for block in segment["blocks"]
        if block["state"] == "active_allocated"
    )
    levels = [level]
    for event in reversed(snapshot["device_traces"][device]):
        level += {"alloc": -1, "free_completed": 1}.get(event["action"], 0) * event["size"]
        levels.insert(0, level)
    return levels


def by_category(moment: Moment) -> Counter[str]:
    found: Counter[str] = Counter()
    for held in moment.composition:
        found[held.category] += held.allocated_bytes
    return found


@pytest.mark.parametrize("seed", range(4))
def test_the_line_and_its_peak_are_those_of_a_replay_by_brute_force(seed: int) -> None:
    snapshot = random_history(1000, seed).snapshot()
    levels = brute_force(snapshot)
    digested = digest(snapshot)
    assert digested.peak.allocated_bytes == max(levels)
    assert digested.peak.event == levels.index(max(levels))
    for event, level in ((row.event, row.allocated_bytes) for row in digested.timeline):
        assert level == levels[event]


@pytest.mark.parametrize("seed", range(4))
def test_the_categories_sum_to_the_line_at_every_point_and_to_the_composition_at_the_peak(seed: int) -> None:
    digested = digest(random_history(1000, seed).snapshot())
    parts: Counter[int] = Counter()
    for row in digested.by_category:
        parts[row.event] += row.allocated_bytes
    assert {row.event: parts[row.event] for row in digested.timeline} == {
        row.event: row.allocated_bytes for row in digested.timeline
    }
    at_peak = {row.category: row.allocated_bytes for row in digested.by_category if row.event == digested.peak.event}
    assert {name: held for name, held in at_peak.items() if held} == by_category(digested.peak)


def test_over_time_a_cast_copy_is_no_activation() -> None:
    memory, known = steps()
    digested = digest(memory.snapshot(), known=known, cast_bytes=[CAST])
    at_peak = {row.category: row.allocated_bytes for row in digested.by_category if row.event == digested.peak.event}
    assert {name: held for name, held in at_peak.items() if held} == by_category(digested.peak)
    assert at_peak["autocast cache"] == CAST


@pytest.mark.parametrize("seed", range(4))
def test_the_composition_sums_to_the_peak(seed: int) -> None:
    peak = digest(random_history(1000, seed).snapshot()).peak
    assert sum(held.allocated_bytes for held in peak.composition) == peak.allocated_bytes
    assert {held.category for held in peak.composition} <= CATEGORIES.keys()
    sizes = [held.allocated_bytes for held in peak.composition]
    assert sizes == sorted(sizes, reverse=True)


def test_a_free_counts_once_and_when_it_is_completed() -> None:
    memory = Allocator()
    first = memory.alloc(1000, FORWARD)
    memory.event("free_requested", 1000, FORWARD, addr=first)
    second = memory.alloc(100, FORWARD)
    memory.complete(first, FORWARD)
    memory.release(second, FORWARD)
    digested = digest(memory.snapshot())
    assert [row.allocated_bytes for row in digested.timeline] == [0, 1000, 1000, 1100, 100, 100, 0]


def test_what_lived_before_the_recording_is_counted_as_that() -> None:
    memory = Allocator()
    kept, freed = memory.before(5000), memory.before(300)
    memory.alloc(20, FORWARD)
    memory.release(freed, FORWARD)
    digested = digest(memory.snapshot())
    assert by_category(digested.peak) == {"before recording": 5300, "activations": 20}
    assert digested.timeline[0].allocated_bytes == 5300
    assert by_category(digest(memory.snapshot(), known={kept: "weights"}).peak)["weights"] == 5000


def test_a_snapshot_without_events_is_all_from_before() -> None:
    memory = Allocator()
    memory.before(5000)
    digested = digest(memory.snapshot())
    assert by_category(digested.peak) == {"before recording": 5000}
    assert digested.timeline == (MemoryRow(event=0, time_ms=0.0, allocated_bytes=5000),)


def test_the_digest_of_an_oom_is_of_the_moment_that_it_happened() -> None:
    memory, known = steps(fails=True)
    digested = digest(memory.snapshot(), known=known)
    assert digested.oom is not None
    assert (digested.oom.requested_bytes, digested.oom.device_free_bytes) == (1 << 30, 4242)
    assert digested.oom.allocated_bytes == BASE + GRADIENT + ACTIVATION
    assert by_category(digested.oom)["activations"] == ACTIVATION
    assert digested.oom.event == next(i for i, e in enumerate(memory.trace) if e["action"] == "oom")
    assert {row.moment for row in digested.allocation_rows} == {"peak", "oom"}
    assert digest(steps()[0].snapshot()).oom is None


def test_each_device_has_a_history_of_its_own() -> None:
    memory, _ = steps()
    snapshot = memory.snapshot(device=1)
    assert digest(snapshot, 1).peak.allocated_bytes == PEAK
    assert digest(snapshot, 0).peak.allocated_bytes == 0
    with pytest.raises(ValueError, match=r"has 2 devices and none with index 2: choose another"):
        digest(snapshot, 2)


def test_the_largest_free_block_is_found() -> None:
    memory, _ = steps()
    assert digest(memory.snapshot()).largest_free_block_bytes == 512 * len(memory.free)
    assert digest(Allocator().snapshot()).largest_free_block_bytes == 0


def test_call_sites_beyond_the_largest_are_summed_up() -> None:
    memory = Allocator()
    for i in range(3 * MOST_HOLDINGS):
        memory.alloc(1000 + i, stack(f"models/deep.py:{i} forward"))
    peak = digest(memory.snapshot()).peak
    assert len(peak.composition) == MOST_HOLDINGS + 1
    assert sum(held.allocated_bytes for held in peak.composition) == peak.allocated_bytes
    assert sum(held.num_allocations for held in peak.composition) == 3 * MOST_HOLDINGS


def test_a_reduced_line_keeps_its_peak_its_ends_and_every_bucket_s_maximum_so_far() -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(-100, 100, 20_000).cumsum()
    line = reduced(np.arange(20_000) / 7, levels)
    assert len(line) <= 2 * NUM_BUCKETS + 2
    assert (line[0].event, line[-1].event) == (0, 19_999)
    assert max(line, key=lambda point: point.allocated_bytes).event == int(np.argmax(levels))
    assert [point.event for point in line] == sorted({point.event for point in line})
    for border in range(100, 20_001, 100):
        kept = max(point.allocated_bytes for point in line if point.event < border)
        assert kept == levels[:border].max()


def test_every_category_has_a_meaning() -> None:
    named = {v for k, v in vars(purpose).items() if k.isupper() and isinstance(v, str)} - {purpose.AUTOGRAD_THREAD}
    assert named == CATEGORIES.keys()


@pytest.mark.parametrize("num_events", [20_000, pytest.param(1_000_000, marks=pytest.mark.whole)])
def test_a_long_history_becomes_a_few_hundred_rows_and_takes_little_memory_beside_it(num_events: int) -> None:
    memory = random_history(num_events, seed=0)
    snapshot = memory.snapshot()
    tracemalloc.start()
    try:
        digested = digest(snapshot)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(digested.timeline) <= 2 * NUM_BUCKETS + 2
    assert len(digested.allocation_rows) <= MOST_HOLDINGS + len(CATEGORIES)
    assert peak_bytes < 5_000_000 + 150 * num_events
    if num_events <= 20_000:
        assert digested.peak.allocated_bytes == max(brute_force(snapshot))
