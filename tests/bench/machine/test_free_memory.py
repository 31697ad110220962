"""What a new process could take: never more than its control group has left, nor than the machine has free."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from ampbench.bench.auto.memory_limit import CPU_SHARE, MARGIN, MemoryLimit, memory_limit
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.free_memory import free_bytes
from tests.support.replayed_nvml import GIB, NOT_SUPPORTED, TOTAL_BYTES, UUID, ReplayedNvml, board

CPU, GPU = Board(board_id="cpu"), Board(board_id=UUID, name="H200")


def test_a_control_group_with_less_left_than_the_machine_counts(tmp_path: Path) -> None:
    group = tmp_path / "sys/fs/cgroup/box"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/box\n")
    (group / "memory.max").write_text(f"{GIB // 2}\n")
    (group / "memory.current").write_text(f"{GIB // 4}\n")
    assert free_bytes(CPU, root=tmp_path) == GIB // 4
    assert free_bytes(Board(board_id="cpu:0/2"), root=tmp_path) == GIB // 8


def test_a_gpu_has_what_nvml_says_is_not_used() -> None:
    assert free_bytes(GPU, ReplayedNvml(board(1, used_bytes=11 * GIB))) == TOTAL_BYTES - 11 * GIB
    assert free_bytes(GPU, ReplayedNvml(board(1, used_bytes=NOT_SUPPORTED))) is None


def test_a_limit_that_was_asked_for_never_drives_the_machine_out_of_memory() -> None:
    free = psutil.virtual_memory().available
    asked = memory_limit(CPU, 2**28)
    assert asked == MemoryLimit(limit_bytes=2**28, because="0.25 GiB was the limit")
    assert asked.trial_bytes == pytest.approx((1 - MARGIN) * 2**28, abs=1)
    most = memory_limit(CPU, 100 * free)
    assert most is not None
    assert most.limit_bytes <= CPU_SHARE * 1.2 * free
    assert "less than the" in most.because


def test_where_nobody_knows_what_is_free_there_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ampbench.bench.auto.memory_limit.free_bytes", lambda board: None)
    assert memory_limit(GPU, None) is None
    assert memory_limit(GPU, GIB) is not None
