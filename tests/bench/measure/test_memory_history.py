"""The history of the allocator: replayed truly, read safely, and honest about what it cannot know."""

from __future__ import annotations

import gc
import pickle
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ampbench.bench.measure.memory_history import Moment, addresses, digest, purpose, read_snapshot, recording, reduced
from ampbench.bench.measure.memory_history.replay import MOST_HOLDINGS, NUM_BUCKETS
from ampbench.bench.store.tables import TABLES
from ampbench.schema.memory_history import CATEGORIES
from tests.support.snapshots import (
    ACTIVATION,
    BACKWARD,
    BATCH,
    CAST,
    FIXTURE,
    FORWARD,
    GRADIENT,
    MOMENTUM,
    POOL,
    TORCH,
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
    for event, _, level in digested.timeline:
        assert level == levels[event]


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
    assert [level for *_, level in digested.timeline] == [0, 1000, 1000, 1100, 100, 100, 0]


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
    assert digested.timeline_rows == [{"event": 0, "time_ms": 0.0, "allocated_bytes": 5000}]


@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_each_byte_of_a_step_is_told_by_its_stack_or_its_end(num_steps: int) -> None:
    memory, known = steps(num_steps)
    digested = digest(memory.snapshot(), known=known, cast_bytes=[CAST])
    assert digested.peak.allocated_bytes == PEAK
    assert by_category(digested.peak) == {
        "weights": WEIGHT,
        "optimizer state": MOMENTUM,
        "gradients": GRADIENT,
        "autocast cache": CAST,
        "activations": 2 * ACTIVATION + 8,
        "backward": ACTIVATION,
        "other": 700,
        "before recording": 12345,
    }
    sites = {(held.category, held.call_site) for held in digested.peak.composition}
    assert ("activations", "models/vgg.py:38 forward") in sites
    assert ("backward", "autograd's own thread") in sites
    assert ("other", "train/augment.py:60 __call__") in sites


@pytest.mark.parametrize("num_steps", [1, 2])
def test_a_gradient_is_told_without_its_address(num_steps: int) -> None:
    """By the `zero_grad` that lets it go, and the last one by outliving its backward pass."""
    assert by_category(digest(steps(num_steps)[0].snapshot()).peak)["gradients"] == GRADIENT


def test_without_their_sizes_copies_of_weights_pass_for_activations() -> None:
    found = by_category(digest(steps()[0].snapshot()).peak)
    assert "autocast cache" not in found
    assert found["activations"] == 2 * ACTIVATION + 8 + CAST


def test_a_known_address_says_nothing_of_what_had_it_earlier() -> None:
    memory = Allocator()
    early = memory.alloc(4096, FORWARD)
    memory.alloc(9000, BATCH)
    memory.release(early, BACKWARD)
    late = memory.alloc(4096, BACKWARD)
    assert early == late
    found = by_category(digest(memory.snapshot(), known={late: "gradients"}).peak)
    assert found == {"activations": 4096, "other": 9000}


def test_what_an_operator_gives_back_itself_is_workspace() -> None:
    memory = Allocator()
    workspace = memory.alloc(50_000, FORWARD)
    memory.release(workspace, FORWARD)
    assert by_category(digest(memory.snapshot()).peak) == {"workspace": 50_000}
    kept = memory.alloc(60_000, FORWARD)
    memory.alloc(1, POOL)
    memory.release(kept, FORWARD)  # the same line, but others ran in between
    assert by_category(digest(memory.snapshot()).peak)["activations"] == 60_001


@pytest.mark.parametrize(
    ("calls", "category"),
    [
        (["torch/nn/modules/linear.py:134 forward"], "activations"),
        (["torch/nn/modules/conv.py:170 __init__", "models/vgg.py:28 __init__"], "weights"),
        (["torch/nn/modules/module.py:1355 convert", "torch/nn/modules/module.py:927 _apply"], "weights"),
        (["torch/optim/sgd.py:351 _multi_tensor_sgd", "torch/amp/grad_scaler.py:461 step"], "optimizer state"),
        (["models/vit.py:50 attend", "models/vit.py:60 forward"], "activations"),
        (["torch/autograd/graph.py:865 _engine_run_backward", "bench/train/step.py:40 train_step"], "gradients"),
        (["models/own.py:12 backward"], "gradients"),
        (["torch/nn/utils/clip_grad.py:50 _get_total_norm", "bench/train/step.py:41 train_step"], "other"),
        (["bench/train/augment.py:60 __call__"], "other"),
    ],
)
def test_a_stack_says_who_made_what_is_live_at_the_end(calls: list[str], category: str) -> None:
    memory = Allocator()
    memory.alloc(100, stack(*calls))
    assert by_category(digest(memory.snapshot()).peak) == {category: 100}


def test_an_event_without_a_stack_is_no_evidence_of_the_backward_pass() -> None:
    memory = Allocator()
    memory.alloc(100, FORWARD)
    for event in memory.trace:
        del event["frames"]
    assert by_category(digest(memory.snapshot()).peak) == {"other": 100}


def test_frames_of_c_plus_plus_are_passed_over() -> None:
    native = {"filename": "/pytorch/aten/src/ATen/native/Convolution.cpp", "line": 1, "name": "at::native::forward"}
    memory = Allocator()
    memory.alloc(100, [native, *BATCH])
    memory.alloc(50, [native])
    found = {(held.category, held.call_site) for held in digest(memory.snapshot()).peak.composition}
    assert found == {("other", "train/augment.py:60 __call__"), ("gradients", "autograd's own thread")}


def test_the_digest_of_an_oom_is_of_the_moment_that_it_happened() -> None:
    memory, known = steps(fails=True)
    digested = digest(memory.snapshot(), known=known)
    assert digested.oom is not None
    assert (digested.oom.requested_bytes, digested.oom.device_free_bytes) == (1 << 30, 4242)
    assert digested.oom.allocated_bytes == BASE + GRADIENT + ACTIVATION
    assert by_category(digested.oom)["activations"] == ACTIVATION
    assert digested.oom.event == next(i for i, e in enumerate(memory.trace) if e["action"] == "oom")
    assert {row["moment"] for row in digested.allocation_rows} == {"peak", "oom"}
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


def test_rows_have_the_columns_of_their_tables() -> None:
    digested = digest(steps()[0].snapshot())
    assert all({"cell_id", *row} == {c.name for c in TABLES["allocations"]} for row in digested.allocation_rows)
    assert all({"cell_id", *row} == {c.name for c in TABLES["memory"]} for row in digested.timeline_rows)
    named = {v for k, v in vars(purpose).items() if k.isupper() and isinstance(v, str)} - {purpose.AUTOGRAD_THREAD}
    assert named == CATEGORIES.keys()


def test_the_fixture_is_what_its_script_writes_and_is_read_as_written() -> None:
    memory, _ = steps(fails=True)
    assert read_snapshot(FIXTURE) == memory.snapshot()
    assert FIXTURE.stat().st_size < 10_000


@pytest.mark.parametrize("thing", [Path("x"), print, Counter("ab"), torch.float16, object()])
def test_a_snapshot_with_a_class_in_it_is_refused_by_name(thing: object, tmp_path: Path) -> None:
    path = tmp_path / "memory.pickle"
    snapshot = Allocator().snapshot() | {"allocator_settings": thing}
    path.write_bytes(pickle.dumps(snapshot))
    with pytest.raises(ValueError, match=r"it names \w+\.\w+, and nothing that could run is let in") as refusal:
        read_snapshot(path)
    assert str(path) in str(refusal.value)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("owned"),)


def test_nothing_in_a_snapshot_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("memory.pickle").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match="nothing that could run"):
        read_snapshot(Path("memory.pickle"))
    assert not Path("owned").exists()


def test_whatever_is_no_snapshot_is_refused_in_one_sentence_and_the_collector_runs_again(tmp_path: Path) -> None:
    whole = FIXTURE.read_bytes()
    rng = np.random.default_rng(0)
    cases = [whole[:n] for n in (0, 1, 2, 100, len(whole) - 1)]
    cases += [b"not a pickle", b"\x80\x04]\x94.", pickle.dumps({"segments": []}), b"\x80\x04\x8e" + b"\xff" * 8]
    cases += [rng.bytes(200) for _ in range(50)]
    path = tmp_path / "memory.pickle"
    for case in cases:
        path.write_bytes(case)
        with pytest.raises(ValueError, match=r"is no snapshot of memory \(.+\); copy it again, or ask"):
            read_snapshot(path)
        assert gc.isenabled()
    with pytest.raises(FileNotFoundError):
        read_snapshot(tmp_path / "absent.pickle")


@pytest.mark.parametrize("broken", [{"action": "alloc"}, {"action": "alloc", "addr": [], "size": 1}, {}, 7])
def test_a_snapshot_of_another_format_is_refused(broken: Any) -> None:
    snapshot = Allocator().snapshot()
    snapshot["device_traces"][0].append(broken)
    with pytest.raises(ValueError, match=r"not in the format of torch's snapshots .*: record it with torch"):
        digest(snapshot)


@pytest.fixture
def switched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any]]]:
    """Stand in for torch's recorder; returns the calls to its switch."""
    calls: list[tuple[Any, dict[str, Any]]] = []
    monkeypatch.setattr(torch.cuda.memory, "_record_memory_history", lambda on, **how: calls.append((on, how)))
    monkeypatch.setattr(
        torch.cuda.memory, "_snapshot", lambda device: {"taken_after": len(calls), **steps()[0].snapshot()}
    )
    return calls


def test_a_recording_takes_python_stacks_only_and_its_snapshot_before_it_is_switched_off(
    switched: list[tuple[Any, dict[str, Any]]], tmp_path: Path
) -> None:
    with recording(torch.device("cuda", 0), max_entries=1000) as history:
        assert history.snapshot == {}
    (on, how), (off, _) = switched
    assert (on, off) == ("all", None)
    assert how == {"context": "all", "stacks": "python", "max_entries": 1000, "clear_history": True}
    assert history.snapshot["taken_after"] == 1
    history.write(tmp_path / "memory.pickle")
    assert read_snapshot(tmp_path / "memory.pickle") == history.snapshot
    assert [path.name for path in tmp_path.iterdir()] == ["memory.pickle"]


def test_a_recording_of_steps_that_fail_keeps_their_history_and_is_switched_off(
    switched: list[tuple[Any, dict[str, Any]]],
) -> None:
    with pytest.raises(RuntimeError, match="out of memory"), recording(torch.device("cuda")) as history:
        raise RuntimeError("out of memory")
    assert history.snapshot["taken_after"] == 1
    assert switched[-1] == (None, {})


def test_an_address_is_that_of_the_storage() -> None:
    x = torch.zeros(10)
    assert addresses({"weights": [x[5:]], "data": []}) == {x.data_ptr(): "weights"}


def test_a_digest_knows_torch_wherever_it_is_installed() -> None:
    for root in ("/usr/lib/python3/dist-packages/torch/", "/opt/pytorch/torch/", TORCH):
        frames = [{"filename": f"{root}nn/modules/conv.py", "line": 1, "name": "forward"}, *BATCH]
        memory = Allocator()
        memory.alloc(1, frames)
        assert digest(memory.snapshot()).peak.composition[0].call_site == "train/augment.py:60 __call__"


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
