"""A recording of the allocator: Python's stacks only, switched off in every case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ampbench.bench.measure.memory_history import read_snapshot, recording
from tests.support.snapshots import (
    steps,
)


@pytest.fixture
def switched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any]]]:
    """Replace torch's recorder; returns the calls to its switch."""
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
