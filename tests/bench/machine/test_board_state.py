"""The questions to a board and the conversion of its answers, with an NVML that replays a trace."""

from __future__ import annotations

import json
from typing import Any

import pynvml
import pytest

from ampbench.bench.machine.board_state.line import FIELDS, decoded, encoded
from ampbench.bench.machine.board_state.questions import PROCESSES, QUESTIONS
from ampbench.bench.machine.board_state.reader import BoardReader, foreign_processes
from ampbench.bench.machine.board_state.sampling import PERIOD_S, sampling_command
from ampbench.bench.machine.nvml import Unavailable
from ampbench.bench.store.tables import TABLES
from ampbench.schema.board import BoardSample
from tests.support.replayed_nvml import (
    GIB,
    LOST,
    NO_PERMISSION,
    NOT_SUPPORTED,
    OWN_PID,
    TIMEOUT,
    UUID,
    ReplayedNvml,
    board,
    changed,
    lost,
    mig,
    replay,
)


def test_a_sample_is_in_the_units_of_its_names() -> None:
    (sample,) = replay(board(1, energy_mj=1_500_000, power_ns=7, reliability_ns=9))
    assert sample == BoardSample(
        time_s=0.0,
        energy_j=1500.0,
        power_w=500.0,
        sm_clock_mhz=1755,
        memory_clock_mhz=3201,
        clock_event_reasons=0,
        temperature_c=55,
        p_state=0,
        power_violation_ns=7,
        thermal_violation_ns=0,
        reliability_violation_ns=9,
        used_bytes=11 * GIB,
        process_bytes=10 * GIB,
        num_foreign=0,
    )
    assert decoded(json.loads(encoded(sample))) == sample


def test_every_question_is_one_that_pynvml_can_ask() -> None:
    for function, _, constant in [*QUESTIONS.values(), PROCESSES]:
        assert callable(getattr(pynvml, function))
        assert constant is None or isinstance(getattr(pynvml, constant), int)
    assert {*QUESTIONS} <= {*FIELDS}


def test_a_row_of_the_board_table_is_a_sample() -> None:
    assert [column.name for column in TABLES["board"]] == ["cell_id", *FIELDS]


def test_what_is_not_supported_or_permitted_is_none_and_asked_once() -> None:
    trace = board(20, energy_mj=NOT_SUPPORTED, power_ns=NO_PERMISSION, processes=NO_PERMISSION)
    nvml = ReplayedNvml(trace)
    samples = replay(trace, nvml=nvml)
    for sample in samples:
        assert sample.energy_j is sample.power_violation_ns is sample.num_foreign is sample.process_bytes is None
        assert sample.power_w == 500
        assert sample.thermal_violation_ns == 0
    assert nvml.asked["energy_mj"] == nvml.asked["power_ns"] == nvml.asked["processes"] == 1
    assert nvml.asked["power_mw"] == nvml.asked["thermal_ns"] == 20


def test_an_error_that_may_pass_is_none_this_time_only() -> None:
    samples = replay(changed(board(3), slice(1, 2), power_mw=TIMEOUT))
    assert [sample.power_w for sample in samples] == [500, None, 500]


def test_a_board_that_is_lost_leaves_samples_that_hold_nothing_but_their_time() -> None:
    samples = replay(lost(6, 4))
    assert samples[3].sm_clock_mhz == 1755
    assert samples[4:] == [BoardSample(time_s=4 * PERIOD_S), BoardSample(time_s=5 * PERIOD_S)]


def test_a_slice_of_a_board_tells_its_memory_and_nothing_of_the_whole() -> None:
    nvml = ReplayedNvml(mig(1))
    reader = BoardReader("MIG-cc", [OWN_PID], nvml, nvml.now_s)
    assert reader.read() == BoardSample(time_s=0.0, used_bytes=11 * GIB, process_bytes=10 * GIB, num_foreign=0)


def test_the_power_of_a_whole_board_is_not_taken_for_that_of_its_slice() -> None:
    """A driver that answers for a slice's handle tells what all slices draw together."""
    nvml = ReplayedNvml(board(1))
    sample = BoardReader("MIG-cc", [OWN_PID], nvml, nvml.now_s).read()
    assert (sample.power_w, sample.energy_j) == (None, None)
    assert sample.sm_clock_mhz == 1755, "one clock drives all slices"
    assert not nvml.asked["power_mw"] + nvml.asked["energy_mj"]


@pytest.mark.parametrize(
    ("processes", "process_bytes", "num_foreign"),
    [
        ([], None, 0),
        ([(OWN_PID, GIB)], GIB, 0),
        ([(OWN_PID, None)], None, 0),
        ([(OWN_PID, GIB), (8, GIB), (9, None)], GIB, 2),
        ([(900_000, GIB)], None, 0),  # ours, under the host's pid
        ([(900_000, GIB), (900_001, GIB)], None, 1),
    ],
)
def test_a_process_that_may_be_our_own_is_not_foreign(
    processes: list[Any], process_bytes: int | None, num_foreign: int
) -> None:
    (sample,) = replay(board(1, processes=processes))
    assert (sample.process_bytes, sample.num_foreign) == (process_bytes, num_foreign)


def test_a_launcher_learns_who_else_is_on_the_board_by_name_and_pid() -> None:
    nvml = ReplayedNvml(board(1, processes=[(OWN_PID, GIB), (8, GIB), (900_000, GIB)]))
    assert foreign_processes(UUID, {OWN_PID}, nvml) == [
        "python (pid 8)",
        "a process that is not visible from here (pid 900000)",
    ]
    assert foreign_processes(UUID, {OWN_PID}, ReplayedNvml(board(1))) == []
    assert nvml.num_open == 0


def test_a_launcher_that_may_not_know_is_told_none_and_not_nobody() -> None:
    assert foreign_processes(UUID, (), ReplayedNvml(board(1, processes=NO_PERMISSION))) is None
    assert foreign_processes(UUID, (), ReplayedNvml(board(1, processes=LOST))) is None
    assert foreign_processes("GPU-else", (), ReplayedNvml(board(1))) is None
    assert foreign_processes(UUID, (), ReplayedNvml([])) is None


def test_whoever_started_the_measured_process_is_neither_counted_nor_foreign() -> None:
    """Its CUDA context is on the board beside the worker's; its memory does not belong to the training."""
    nvml = ReplayedNvml(board(1, processes=[(4700, 3 * GIB), (OWN_PID, 10 * GIB), (77, GIB)]))
    sample = BoardReader(UUID, {OWN_PID}, nvml, nvml.now_s, related_pids={4700}).read()
    assert (sample.process_bytes, sample.num_foreign) == (10 * GIB, 1)
    words = sampling_command(UUID, [OWN_PID], [4700, 4701])[-5:]
    assert words == [UUID, str(OWN_PID), "beside", "4700", "4701"]
    assert sampling_command(UUID, [OWN_PID])[-2:] == [UUID, str(OWN_PID)]


def test_without_a_driver_or_a_board_the_reason_is_in_words() -> None:
    with pytest.raises(Unavailable, match="NVML does not start: NVML Shared Library Not Found"):
        BoardReader(UUID, (), ReplayedNvml([]))
    nvml = ReplayedNvml(board(1))
    with pytest.raises(Unavailable, match="NVML has no board GPU-else: Not Found"):
        BoardReader("GPU-else", (), nvml)
    assert nvml.num_open == 0
