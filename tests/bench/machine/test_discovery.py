"""Boards by a fake NVML: selection, order, models, and a machine without boards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ampbench.bench.launch.local.local import Local
from ampbench.bench.launch.refusals import refuse_shared
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.discovery import choose_boards, find_boards, notes_on
from ampbench.bench.machine.locks import hold_board
from ampbench.bench.plan.errors import RequestError
from tests.conftest import ROOT
from tests.support.replayed_nvml import NO_PERMISSION, UUID, ReplayedNvml, board
from tests.support.thinned import thinned


class FakeNvml:
    """One board per name; the last one's power limit may not be read. One with MIG in its name has two slices."""

    class NVMLError(Exception):
        pass

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def nvmlInit(self) -> None:  # noqa: N802
        if not self.names:
            raise self.NVMLError("no driver")

    def nvmlShutdown(self) -> None:  # noqa: N802
        pass

    def nvmlSystemGetDriverVersion(self) -> bytes:  # noqa: N802
        return b"580.1"

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.names)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: int) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: int, index: int) -> int:  # noqa: N802
        if index > 2 or index == 1:
            raise self.NVMLError("not found")
        return -10 * (handle + 1) - index

    def nvmlDeviceGetGpuInstanceId(self, handle: int) -> int:  # noqa: N802
        return 7 + -handle % 10

    def nvmlDeviceGetComputeInstanceId(self, handle: int) -> int:  # noqa: N802
        return 0

    def nvmlDeviceGetMigMode(self, handle: int) -> list[int]:  # noqa: N802
        if "MIG" not in self.names[handle]:
            raise self.NVMLError("not supported")
        return [1, 1]

    def nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802
        return f"MIG-{-handle // 10 - 1:02}{'aec'[-handle % 10]}-dd" if handle < 0 else f"GPU-{handle:02}aa-bb"

    def nvmlDeviceGetName(self, handle: int) -> str:  # noqa: N802
        return f"{self.names[-handle // 10 - 1]} 1g" if handle < 0 else self.names[handle]

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:  # noqa: N802
        if handle == len(self.names) - 1:
            raise self.NVMLError("not permitted")
        return 700_000


NONE = FakeNvml([])
FOUR = FakeNvml(["RTX A6000", "RTX 3090", "RTX 3090", "RTX 3090"])


def names(boards: tuple[Board, ...]) -> list[str]:
    return [board.board_id for board in boards]


def test_boards_are_known_by_uuid_and_a_power_limit_that_cannot_be_read_is_none() -> None:
    boards = find_boards({}, FOUR)
    assert names(boards) == ["GPU-00aa-bb", "GPU-01aa-bb", "GPU-02aa-bb", "GPU-03aa-bb"]
    assert [board.power_cap_w for board in boards] == [700.0, 700.0, 700.0, None]
    assert boards[0].driver == "580.1"


def test_the_most_common_model_is_used_and_the_rest_is_reported() -> None:
    chosen = choose_boards(find_boards({}, FOUR), None)
    assert {board.name for board in chosen.used} == {"RTX 3090"}
    assert names(chosen.ignored) == ["GPU-00aa-bb"]


def test_without_a_gpu_the_cpu_is_the_board_and_may_be_shared_out() -> None:
    assert names(find_boards({}, NONE)) == ["cpu"]
    assert names(find_boards({"AMPBENCH_CPU_BOARDS": "2"}, NONE)) == ["cpu:0/2", "cpu:1/2"]
    assert find_boards({"AMPBENCH_CPU_BOARDS": "2"}, NONE)[0].num_sharing == 2
    with pytest.raises(RequestError, match="say how many boards"):
        find_boards({"AMPBENCH_CPU_BOARDS": "many"}, NONE)


def test_a_run_says_what_a_variable_does_that_may_not_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ampbench.bench.machine.discovery.boards_of_driver", lambda *_: ())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    launcher = Local()
    (note,) = launcher.notes(launcher.find_boards())
    assert note.startswith("CUDA_VISIBLE_DEVICES=7 names a GPU, and NVIDIA's driver finds none here: cells run on the")


def test_a_board_on_which_somebody_computes_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AMPBENCH_LOCKS", str(tmp_path))
    gpu, nvml = Board(board_id=UUID, name="NVIDIA H200"), ReplayedNvml(board(1, processes=[(77, 10**9)]))
    with pytest.raises(RequestError, match=r"in use by python \(pid 77\).* insist with --allow-shared"):
        refuse_shared([gpu], nvml)


def test_our_own_worker_on_a_board_is_waited_for_and_not_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AMPBENCH_LOCKS", str(tmp_path))
    gpu, nvml = Board(board_id=UUID, name="NVIDIA H200"), ReplayedNvml(board(1, processes=[(os.getpid(), 10**9)]))
    with hold_board(gpu, "a cell", lambda _: None):
        refuse_shared([gpu], nvml)


def test_whoever_started_the_command_is_not_a_foreigner_on_its_board(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A test, a notebook or a script that has computed keeps its CUDA context while it waits for us."""
    monkeypatch.setenv("AMPBENCH_LOCKS", str(tmp_path))
    gpu, nobody_s_pid = Board(board_id=UUID, name="NVIDIA H200"), 77
    sibling = subprocess.Popen(["sleep", "60"])  # of this process group, as pytest's other workers are
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        kin = [os.getpid(), os.getppid(), psutil.Process().parents()[-1].pid, sibling.pid]
        nvml = ReplayedNvml(board(1, processes=[(pid, 10**9) for pid in kin]))
        refuse_shared([gpu], nvml)
        for pid in (nobody_s_pid, stranger.pid):
            nvml = ReplayedNvml(board(1, processes=[(each, 10**9) for each in (*kin, pid)]))
            with pytest.raises(RequestError, match=rf"in use by \S+ \(pid {pid}\), and would"):
                refuse_shared([gpu], nvml)
    finally:
        for process in (sibling, stranger):
            process.kill()
            process.wait()


def test_in_a_container_as_many_unseen_processes_are_ours_as_of_us_hold_cuda(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """NVML lists them under their pids on the host, so that none of our pids is among them."""
    monkeypatch.setenv("AMPBENCH_LOCKS", str(tmp_path))
    gpu = Board(board_id=UUID, name="NVIDIA H200")
    listed = ReplayedNvml(board(1, processes=[(900_000, 10**9)]))
    with pytest.raises(RequestError, match="in use by a process that is not visible from here"):
        refuse_shared([gpu], listed)
    monkeypatch.setattr("ampbench.bench.machine.process_tree.holds_cuda", lambda pid: pid == os.getpid())
    refuse_shared([gpu], listed)
    both = ReplayedNvml(board(1, processes=[(900_000, 10**9), (900_001, 10**9)]))
    with pytest.raises(RequestError, match=r"from here \(pid 900001\), and"):
        refuse_shared([gpu], both)
    seen = ReplayedNvml(board(1, processes=[(900_000, 10**9), (os.getpid(), 10**9)]))
    with pytest.raises(RequestError, match="not visible from here"):
        refuse_shared([gpu], seen)


def test_a_board_of_which_nothing_is_known_is_not_refused() -> None:
    refuse_shared([Board(board_id=UUID), Board(board_id="cpu")], ReplayedNvml(board(1, processes=NO_PERMISSION)))


COMMANDS = {
    "plan of a cell": ["bench/run_one.py", "--model", "LeNet", "--data", "digits", "--plan"],
    "plan of a matrix": ["bench/run_matrix.py", "experiments/quickstart.toml", "--plan"],
    "plan of a search": ["bench/run_matrix.py", "experiments/search_power.toml", "--plan"],
    "hardware": ["-m", "ampbench", "hardware"],
    "advice": ["bench/advise.py", "--model", "LeNet", "--data", "digits", "--minutes", "0.001", "--results"],
}


@pytest.mark.parametrize("command", thinned(COMMANDS.values(), kept=2), ids=COMMANDS)
def test_every_command_says_that_the_cpu_is_measured(command: list[str], tmp_path: Path) -> None:
    """check_env is asked in test_checks.py, and a run says what `Local.notes` returns."""
    if any(board.is_gpu for board in find_boards({})):
        pytest.skip("there is a GPU here")
    words = [*command, str(tmp_path)] if command[-1] == "--results" else command
    environ = os.environ | {"CUDA_VISIBLE_DEVICES": "7", "AMPBENCH_LOCKS": str(tmp_path)}
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode in (0, 2), done.stderr
    assert " ".join(done.stdout.split()).count("CUDA_VISIBLE_DEVICES=7 names a GPU") == 1


def test_boards_of_a_cpu_are_named_where_others_of_it_are_left_aside() -> None:
    simulated = {"AMPBENCH_CPU_BOARDS": "3"}
    chosen = choose_boards(find_boards(simulated, FakeNvml([])), "0,2")
    assert list(notes_on(simulated, chosen)) == ["Using cpu:0/3, cpu:2/3; ignored: cpu:1/3"]
