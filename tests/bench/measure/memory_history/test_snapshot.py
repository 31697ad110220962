"""A snapshot in a file: read as written, without running code, and refused in one sentence if it is not a snapshot."""

from __future__ import annotations

import gc
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ampbench.bench.measure.memory_history import digest, read_snapshot
from tests.support.snapshots import (
    FIXTURE,
    Allocator,
    steps,
)


def test_the_fixture_is_what_its_script_writes_and_is_read_as_written() -> None:
    memory, _ = steps(fails=True)
    assert read_snapshot(FIXTURE) == memory.snapshot()
    assert FIXTURE.stat().st_size < 10_000


@pytest.mark.parametrize("thing", [Path("x"), print, Counter("ab"), torch.float16, object()])
def test_a_snapshot_with_a_class_in_it_is_refused_by_name(thing: object, tmp_path: Path) -> None:
    path = tmp_path / "memory.pickle"
    snapshot = Allocator().snapshot() | {"allocator_settings": thing}
    path.write_bytes(pickle.dumps(snapshot))
    with pytest.raises(ValueError, match=r"it names [\w.]+\.\w+, and nothing that could run is let in") as refusal:
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
