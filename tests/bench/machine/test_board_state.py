"""What is asked of NVML, what becomes of its answers, and the process that asks, without a driver or with a fake."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pynvml
import pytest

from ampbench.bench.machine.board_state.line import FIELDS, decoded, encoded
from ampbench.bench.machine.board_state.questions import PROCESSES, QUESTIONS
from ampbench.bench.machine.board_state.reader import BoardReader, foreign_processes
from ampbench.bench.machine.board_state.sampling import PERIOD_S, next_tick_s, sampling_command
from ampbench.bench.machine.nvml import FINAL, Nvml, Silent, Unanswered
from ampbench.bench.machine.sampler import NoSampler, Sampler
from ampbench.bench.store.tables import TABLES
from ampbench.schema.board import BoardSample
from tests.conftest import ROOT
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

PATIENCE_S = 60.0
"""For a process to start, on a machine that does a lot else."""

FAKE = """
import pathlib, sys
from ampbench.bench.machine.board_state import sampling
from tests.support.replayed_nvml import OWN_PID, UUID, ReplayedNvml, board

class Nvml(ReplayedNvml):
    def nvmlDeviceGetPowerUsage(self, handle):
        if self.asked["power_mw"] == 200:
            pathlib.Path(sys.argv[1]).touch()
        return super().nvmlDeviceGetPowerUsage(handle)

sampling.PERIOD_S = float(sys.argv[2])
sampling.main([UUID, str(OWN_PID)], Nvml(board(1)))
"""
"""A process that samples a fake board and touches a file at the 201st sample: arguments are the file and the period."""

WORKER = f"""
import os, subprocess, sys, time
sampler = subprocess.Popen([sys.executable, "-c", {FAKE!r}, os.devnull, "0.05"], stdin=-1, stdout=-1)
child = os.fork() or time.sleep(1000)
sampler.stdout.read(1)
print(sampler.pid, child, flush=True)
time.sleep(1000)
"""
"""A worker that has forked a child which holds the sampler's standard input open."""


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
    assert nvml.ask_if_told("nvmlDeviceGetNewerThing", UUID) is None


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
    """Its CUDA context lies on the board beside the worker's; what it holds is not the training's."""
    nvml = ReplayedNvml(board(1, processes=[(4700, 3 * GIB), (OWN_PID, 10 * GIB), (77, GIB)]))
    sample = BoardReader(UUID, {OWN_PID}, nvml, nvml.now_s, kin_pids={4700}).read()
    assert (sample.process_bytes, sample.num_foreign) == (10 * GIB, 1)
    words = sampling_command(UUID, [OWN_PID], [4700, 4701])[-5:]
    assert words == [UUID, str(OWN_PID), "beside", "4700", "4701"]
    assert sampling_command(UUID, [OWN_PID])[-2:] == [UUID, str(OWN_PID)]


def test_without_a_driver_or_a_board_the_reason_is_in_words() -> None:
    with pytest.raises(Silent, match="NVML does not start: NVML Shared Library Not Found"):
        BoardReader(UUID, (), ReplayedNvml([]))
    nvml = ReplayedNvml(board(1))
    with pytest.raises(Silent, match="NVML has no board GPU-else: Not Found"):
        BoardReader("GPU-else", (), nvml)
    assert nvml.num_open == 0


def test_samples_of_all_processes_are_on_one_clock() -> None:
    assert time.get_clock_info("perf_counter").implementation == "clock_gettime(CLOCK_MONOTONIC)"


def test_ticks_lie_on_a_grid_whatever_a_sample_takes_and_missed_ones_are_left_out() -> None:
    now = begun = 100.0
    for i in range(1, 1000):
        assert next_tick_s(begun, now + 0.003) == pytest.approx(begun + i * PERIOD_S)
        now = next_tick_s(begun, now + 0.003) - 1e-6 * (i % 3)  # a wait may end a little early
    assert next_tick_s(begun, begun + 0.99) == pytest.approx(begun + 1.05)
    assert next_tick_s(begun, begun + 0.96) == pytest.approx(begun + 1.00)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def running_pid(sampler: Sampler[BoardSample]) -> int:
    assert sampler._process
    return sampler._process.pid


def test_the_process_ends_by_itself_with_a_reason_where_there_is_no_driver() -> None:
    with Sampler(sampling_command("GPU-none", [os.getpid()]), decoded) as sampler:
        pid, samples = running_pid(sampler), list[BoardSample]()
        assert wait_for(lambda: samples.extend(sampler.drain()) or sampler.why_silent is not None)
        assert sampler.stop() == samples == []
    assert str(sampler.why_silent).startswith(("NVML does not start: ", "NVML has no board GPU-none: "))
    assert not alive(pid)
    assert sampler.drain() == sampler.stop() == []


def test_the_process_samples_until_it_is_stopped_and_once_more() -> None:
    sampler = Sampler([sys.executable, "-c", FAKE, os.devnull, "0.05"], decoded)
    sampler.start()
    pid, samples = running_pid(sampler), list[BoardSample]()
    assert wait_for(lambda: samples.extend(sampler.drain()) or len(samples) >= 3)
    assert sampler._process
    assert sampler._process.stdin
    held_open = os.dup(sampler._process.stdin.fileno())  # as by a process that the worker forked
    stopped_s = time.perf_counter()
    samples += sampler.stop()
    os.close(held_open)
    assert sampler.why_silent is None
    assert not alive(pid)
    times = [sample.time_s for sample in samples]
    assert times == sorted(times)
    assert stopped_s < times[-1] < time.perf_counter()
    assert {sample.power_w for sample in samples} == {500.0}


def test_no_sample_is_lost_while_the_worker_does_not_read(tmp_path: Path) -> None:
    enough = tmp_path / "enough"
    sampler = Sampler([sys.executable, "-c", FAKE, str(enough), "0.002"], decoded)
    sampler.start()
    assert sampler._process
    assert sampler._process.stdout
    page = fcntl.fcntl(sampler._process.stdout, fcntl.F_SETPIPE_SZ, 4096)
    assert wait_for(enough.exists), "the process waited for the worker"
    samples = sampler.stop()
    assert len(samples) > 200 > page / len(encoded(samples[0]))


def test_the_process_dies_with_a_worker_that_is_killed_whoever_holds_its_input_open() -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert worker.stdout
    pid, child = map(int, worker.stdout.readline().split())
    try:
        assert alive(pid)
        worker.kill()
        worker.wait()
        assert wait_for(lambda: not alive(pid))
        assert alive(child)
    finally:
        os.kill(child, signal.SIGKILL)
        worker.stdout.close()


def test_a_process_that_cannot_start_dies_or_hangs_is_a_reason_and_no_exception(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = Sampler(["/no/such/python"], decoded)
    missing.start()
    assert missing.drain() == missing.stop() == []
    assert "did not start: " in str(missing.why_silent)

    dying = Sampler(["sh", "-c", "echo what; exit 3"], decoded)
    dying.start()
    assert dying.stop() == []
    assert dying.why_silent == "the sampler wrote b'what'"

    monkeypatch.setattr("ampbench.bench.machine.sampler.MAX_STOP_S", 0.2)
    hanging = Sampler(["sleep", "1000"], decoded)
    hanging.start()
    pid, begun = running_pid(hanging), time.monotonic()
    assert hanging.stop() == []
    assert time.monotonic() - begun < 10
    assert "and was killed" in str(hanging.why_silent)
    assert wait_for(lambda: not alive(pid))


def test_a_cpu_is_not_sampled_and_nothing_went_wrong() -> None:
    with NoSampler[BoardSample]() as sampler:
        assert sampler.drain() == sampler.stop() == []
        assert sampler.why_silent is None


def test_the_process_imports_nothing_heavy() -> None:
    code = "import sys, ampbench.bench.machine.board_state.sampling, pynvml; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert not {"torch", "numpy", "pandas", "pyarrow", "pydantic"} & set(done.stdout.split())
