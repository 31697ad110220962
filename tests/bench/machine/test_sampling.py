"""The sampling process and the worker's end of its pipe, without a driver or with a fake one."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ampbench.bench.machine.board_state.line import decoded, encoded
from ampbench.bench.machine.board_state.sampling import PERIOD_S, next_tick_s, sampling_command
from ampbench.bench.machine.sampler import NoSampler, Sampler
from ampbench.schema.board import BoardSample
from tests.conftest import ROOT

PATIENCE_S = 60.0
"""Longest start of a process, on a busy machine."""

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


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
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


def test_samples_of_all_processes_are_on_one_clock() -> None:
    assert time.get_clock_info("perf_counter").implementation == "clock_gettime(CLOCK_MONOTONIC)"


def test_ticks_lie_on_a_grid_whatever_a_sample_takes_and_missed_ones_are_left_out() -> None:
    now = begun = 100.0
    for i in range(1, 1000):
        assert next_tick_s(begun, now + 0.003) == pytest.approx(begun + i * PERIOD_S)
        now = next_tick_s(begun, now + 0.003) - 1e-6 * (i % 3)  # a wait may end a little early
    assert next_tick_s(begun, begun + 0.99) == pytest.approx(begun + 1.05)
    assert next_tick_s(begun, begun + 0.96) == pytest.approx(begun + 1.00)


def test_the_process_ends_by_itself_with_a_reason_where_there_is_no_driver() -> None:
    with Sampler(sampling_command("GPU-none", [os.getpid()]), decoded) as sampler:
        pid, samples = running_pid(sampler), list[BoardSample]()
        assert wait_for(lambda: samples.extend(sampler.drain()) or sampler.why_no_samples is not None)
        assert sampler.stop() == samples == []
    assert str(sampler.why_no_samples).startswith(("NVML does not start: ", "NVML has no board GPU-none: "))
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
    assert sampler.why_no_samples is None
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
    assert "did not start: " in str(missing.why_no_samples)

    dying = Sampler(["sh", "-c", "echo what; exit 3"], decoded)
    dying.start()
    assert dying.stop() == []
    assert dying.why_no_samples == "the sampler wrote b'what'"

    monkeypatch.setattr("ampbench.bench.machine.sampler.MAX_STOP_S", 0.2)
    hanging = Sampler(["sleep", "1000"], decoded)
    hanging.start()
    pid, begun = running_pid(hanging), time.monotonic()
    assert hanging.stop() == []
    assert time.monotonic() - begun < 10
    assert "and was killed" in str(hanging.why_no_samples)
    assert wait_for(lambda: not alive(pid))


def test_a_cpu_is_not_sampled_and_nothing_went_wrong() -> None:
    with NoSampler[BoardSample]() as sampler:
        assert sampler.drain() == sampler.stop() == []
        assert sampler.why_no_samples is None


def test_the_process_imports_nothing_heavy() -> None:
    code = "import sys, ampbench.bench.machine.board_state.sampling, pynvml; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert not {"torch", "numpy", "pandas", "pyarrow", "pydantic"} & set(done.stdout.split())
