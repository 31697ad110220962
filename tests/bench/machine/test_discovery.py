"""Boards by a fake NVML: selection, order, models, and a machine without boards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ampbench.bench.launch.refusals import refuse_shared
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.discovery import choose_boards, find_boards, unheeded
from ampbench.bench.machine.locks import hold_board
from ampbench.bench.plan.errors import RequestError
from tests.conftest import ROOT
from tests.support.replayed_nvml import NO_PERMISSION, UUID, ReplayedNvml, board


class FakeNvml:
    """One board per name; the last one's power limit may not be read. A name with MIG in it is divided."""

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

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:  # noqa: N802
        if uuid != "MIG-cc":
            raise self.NVMLError("not found")
        return -1

    def nvmlDeviceGetMigMode(self, handle: int) -> list[int]:  # noqa: N802
        if "MIG" not in self.names[handle]:
            raise self.NVMLError("not supported")
        return [1, 1]

    def nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802
        return "MIG-cc" if handle < 0 else f"GPU-{handle:02}aa-bb"

    def nvmlDeviceGetName(self, handle: int) -> str:  # noqa: N802
        return self.names[handle]

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:  # noqa: N802
        if handle == len(self.names) - 1:
            raise self.NVMLError("not permitted")
        return 700_000


FOUR = FakeNvml(["RTX A6000", "RTX 3090", "RTX 3090", "RTX 3090"])


def names(boards: tuple[Board, ...]) -> list[str]:
    return [board.board_id for board in boards]


def test_boards_are_known_by_uuid_and_a_power_limit_that_cannot_be_read_is_none() -> None:
    boards = find_boards({}, FOUR)
    assert names(boards) == ["GPU-00aa-bb", "GPU-01aa-bb", "GPU-02aa-bb", "GPU-03aa-bb"]
    assert [board.power_cap_w for board in boards] == [700.0, 700.0, 700.0, None]
    assert boards[0].driver == "580.1"


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("3,1", ["GPU-03aa-bb", "GPU-01aa-bb"]),
        ("GPU-02", ["GPU-02aa-bb"]),
        ("1,-1,2", ["GPU-01aa-bb"]),
        ("", ["cpu"]),
    ],
)
def test_cuda_visible_devices_selects_and_orders_by_index_or_uuid(variable: str, expected: list[str]) -> None:
    assert names(find_boards({"CUDA_VISIBLE_DEVICES": variable}, FOUR)) == expected


def test_an_unknown_device_is_named_with_those_that_exist() -> None:
    with pytest.raises(RequestError, match="no GPU '7'; there are 0 = GPU-00aa-bb"):
        find_boards({"CUDA_VISIBLE_DEVICES": "7"}, FOUR)


def test_a_board_cut_by_mig_is_refused_and_its_slice_is_a_board_of_its_own() -> None:
    cut = FakeNvml(["H200", "H200 MIG"])
    with pytest.raises(RequestError, match=r"is cut into MIG slices.*CUDA_VISIBLE_DEVICES=MIG-"):
        find_boards({}, cut)
    assert names(find_boards({"CUDA_VISIBLE_DEVICES": "GPU-00"}, cut)) == ["GPU-00aa-bb"]
    assert names(find_boards({"CUDA_VISIBLE_DEVICES": "MIG-cc"}, cut)) == ["MIG-cc"]
    with pytest.raises(RequestError, match="no MIG slice 'MIG-dd' here"):
        find_boards({"CUDA_VISIBLE_DEVICES": "MIG-dd"}, cut)


def test_the_most_common_model_is_used_and_the_rest_is_reported() -> None:
    chosen = choose_boards(find_boards({}, FOUR), None)
    assert {board.name for board in chosen.used} == {"RTX 3090"}
    assert names(chosen.ignored) == ["GPU-00aa-bb"]


def test_gpus_chosen_by_hand_are_of_one_model() -> None:
    boards = find_boards({}, FOUR)
    assert names(choose_boards(boards, "0").used) == ["GPU-00aa-bb"]
    assert names(choose_boards(boards, "2,GPU-03").used) == ["GPU-02aa-bb", "GPU-03aa-bb"]
    with pytest.raises(RequestError, match="different models cannot be compared"):
        choose_boards(boards, "0,1")
    with pytest.raises(RequestError, match="no board '9' here; choose from 0"):
        choose_boards(boards, "9")


def test_without_a_gpu_the_cpu_is_the_board_and_may_be_shared_out() -> None:
    none = FakeNvml([])
    assert names(find_boards({}, none)) == ["cpu"]
    assert names(find_boards({"AMPBENCH_CPU_BOARDS": "2"}, none)) == ["cpu:0/2", "cpu:1/2"]
    assert find_boards({"AMPBENCH_CPU_BOARDS": "2"}, none)[0].num_sharing == 2
    with pytest.raises(RequestError, match="say how many boards"):
        find_boards({"AMPBENCH_CPU_BOARDS": "many"}, none)


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


@pytest.mark.parametrize(
    ("variable", "said"), [("7", True), ("0,1", True), ("GPU-00aa", True), ("", False), ("-1", False), (None, False)]
)
def test_a_gpu_that_is_asked_for_where_there_is_none_is_said(variable: str | None, said: bool) -> None:
    environ = {} if variable is None else {"CUDA_VISIBLE_DEVICES": variable}
    boards = find_boards(environ, FakeNvml([]))
    found = unheeded(environ, boards)
    assert bool(found) == said
    assert not said or str(found).startswith(f"CUDA_VISIBLE_DEVICES={variable} names a GPU, and NVIDIA's driver finds")
    assert unheeded(environ, [Board(board_id="GPU-00aa-bb", name="H200")]) is None


def test_both_the_plan_and_the_run_say_it(tmp_path: Path) -> None:
    if any(board.is_gpu for board in find_boards({})):
        pytest.skip("there is a GPU here")
    command = [sys.executable, "bench/run_one.py", "--model", "LeNet", "--data", "digits", "--plan"]
    environ = os.environ | {"CUDA_VISIBLE_DEVICES": "7"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("CUDA_VISIBLE_DEVICES=7 names a GPU") == 1
