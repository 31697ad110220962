"""NVML opened, asked and closed, with bindings that are missing, too old or simulated."""

from __future__ import annotations

import sys
from pathlib import Path

import pynvml
import pytest

from ampbench.bench.machine import driver
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.discovery import find_boards
from ampbench.bench.machine.nvml import FINAL, NotInstalled, Nvml, Unanswered, Unavailable
from ampbench.bench.plan.errors import RequestError
from tests.support.replayed_nvml import NOT_SUPPORTED, TIMEOUT, UUID, ReplayedNvml, board, changed


def test_nvml_is_open_as_long_as_it_is_used() -> None:
    library = ReplayedNvml(board(1))
    with Nvml(library) as nvml:
        assert library.num_open == 1
        assert nvml.handle_of(UUID) == UUID
        with pytest.raises(Unavailable, match="NVML has no board GPU-else: Not Found"):
            nvml.handle_of("GPU-else")
    assert library.num_open == 0


def test_without_a_driver_nothing_is_opened_and_the_reason_is_in_words() -> None:
    library = ReplayedNvml([])
    with pytest.raises(Unavailable, match="NVML does not start: NVML Shared Library Not Found"):
        Nvml(library)
    assert library.num_open == 0


def test_text_that_comes_as_bytes_is_decoded() -> None:
    assert Nvml(ReplayedNvml(board(1))).ask("nvmlSystemGetProcessName", 1) == "python"


def test_without_its_bindings_a_machine_with_a_driver_is_refused_and_one_without_is_a_cpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(NotInstalled, match="pynvml is not installed: pip install nvidia-ml-py"):
        Nvml()
    monkeypatch.setattr(driver, "NVIDIA_DEVICE", str(tmp_path / "absent"))
    assert find_boards({}) == (Board(board_id="cpu"),)
    monkeypatch.setattr(driver, "NVIDIA_DEVICE", str(tmp_path))
    with pytest.raises(RequestError, match="GPUs of this machine cannot be asked: not installed here: nvidia-ml-py; "):
        find_boards({})


def test_an_error_is_final_by_the_number_that_nvml_gives_it() -> None:
    assert {getattr(pynvml, name): name for name in FINAL.values()} == FINAL
    nvml = Nvml(ReplayedNvml(changed(board(1), slice(None), power_mw=NOT_SUPPORTED, p_state=TIMEOUT)))
    for function, error, is_final in (
        ("nvmlDeviceGetPowerUsage", NOT_SUPPORTED, True),
        ("nvmlDeviceGetPerformanceState", TIMEOUT, False),
    ):
        with pytest.raises(Unanswered, match=str(error)) as raised:
            nvml.ask(function, UUID)
        assert (raised.value.error, raised.value.is_final) == (error, is_final)


def test_a_function_or_constant_that_is_newer_than_the_bindings_has_no_answer_and_never_will() -> None:
    nvml = Nvml(ReplayedNvml(board(1)))
    newer = [("nvmlDeviceGetNewerThing", None), ("nvmlDeviceGetTemperature", "NVML_TEMPERATURE_NEWER")]
    for function, constant in newer:
        with pytest.raises(Unanswered, match=f"no attribute '{constant or function}'") as raised:
            nvml.ask(function, UUID, constant=constant)
        assert raised.value.is_final
    assert nvml.ask_or_none("nvmlDeviceGetNewerThing", UUID) is None
