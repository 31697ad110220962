"""`memory_gib_per_cell` on a GPU: the allocator gets the share of the board that the limit is."""

from __future__ import annotations

import resource
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ampbench.bench.worker.cuda import hold_memory
from ampbench.bench.worker.process import lift_memory_limit

GPU, CPU = torch.device("cuda", 1), torch.device("cpu")
GIB = 2**30


@pytest.mark.parametrize(("limit_bytes", "share"), [(6 * GIB, 0.25), (24 * GIB, 1.0), (80 * GIB, 1.0)])
def test_the_allocator_gets_the_limit_s_share_of_the_board(
    limit_bytes: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[float, torch.device]] = []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=24 * GIB))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *told: asked.append(told))
    hold_memory(GPU, limit_bytes)
    assert asked == [(share, GPU)]


def test_without_a_limit_and_on_a_cpu_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("CUDA was asked")

    monkeypatch.setattr(torch.cuda, "get_device_properties", forbidden)
    hold_memory(GPU, None)
    hold_memory(CPU, GIB)


@pytest.mark.gpu
def test_a_tensor_beyond_the_limit_is_out_of_memory_on_a_gpu() -> None:
    device = torch.device("cuda", 0)
    try:
        hold_memory(device, GIB)
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(2 * GIB, dtype=torch.uint8, device=device)
    finally:
        hold_memory(device, torch.cuda.get_device_properties(device).total_memory)


def fill_up(found: Any) -> None:
    """Run in a process of its own: reach the limit of its memory, lift it, and allocate the same again."""
    most = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (2**28, most))
    try:
        found.put(("no limit", len(bytearray(2**29))))
    except MemoryError:
        lift_memory_limit()
        found.put(("lifted", len(bytearray(2**29))))


def test_a_cell_that_ran_out_of_memory_has_room_for_its_record(context: Any) -> None:
    found = context.SimpleQueue()
    process = context.Process(target=fill_up, args=(found,))
    process.start()
    process.join(60)
    assert found.get() == ("lifted", 2**29)
