"""CUDA_VISIBLE_DEVICES and `--gpus` in tables: what is used on machines of 0, 1, 4 and 8 GPUs, and what is said."""

from __future__ import annotations

import pytest

from ampbench.bench import run_matrix
from ampbench.bench.machine.discovery import choose_boards, find_boards, notes_on, surprises
from ampbench.bench.plan.errors import RequestError
from tests.bench.machine.test_discovery import FOUR, NONE, FakeNvml
from tests.conftest import ROOT

ONE, EIGHT = FakeNvml(["H200"]), FakeNvml(["H200"] * 8)
CUT = FakeNvml(["H200", "H200 MIG", "H200 MIG"])
"""Of the second and the third board, two slices each: MIG-01a-dd, GPU instance 7, and MIG-01c-dd, GPU instance 9; …"""


def found(machine: FakeNvml, variable: str | None, gpus: str | None = None) -> list[str]:
    """What would be used, in short: the digits of a UUID."""
    environ = {} if variable is None else {"CUDA_VISIBLE_DEVICES": variable}
    used = choose_boards(find_boards(environ, machine), gpus).used
    return [board.board_id.removeprefix("GPU-0").removesuffix("aa-bb").removesuffix("-dd") for board in used]


@pytest.mark.parametrize(
    ("machine", "variable", "used"),
    [
        (NONE, None, "cpu"),
        (NONE, "", "cpu"),
        (NONE, "7", "cpu"),
        (NONE, "GPU-00aa", "cpu"),
        (NONE, "0,0", "cpu"),
        (ONE, None, "0"),
        (ONE, "0", "0"),
        (ONE, "", "cpu"),
        (ONE, " ", "cpu"),
        (ONE, "-1", "cpu"),
        (ONE, "-1,0", "cpu"),
        (ONE, "NoDevFiles", "cpu"),
        (ONE, "0,", "0"),
        (EIGHT, None, "0 1 2 3 4 5 6 7"),
        (EIGHT, "3,1", "3 1"),
        (EIGHT, " 3 , 1 ", "3 1"),
        (EIGHT, "03,1", "3 1"),
        (EIGHT, "0,2,-1,1", "0 2"),
        (EIGHT, "0,-2,1", "0"),
        (EIGHT, "0,,1", "0"),
        (EIGHT, "GPU-05", "5"),
        (EIGHT, "GPU-05aa-bb,GPU-01aa", "5 1"),
        (EIGHT, "GPU-05,0,7", "5 0 7"),
        (FOUR, "0,1", "0"),  # of two models, the first seen
        (FOUR, "0,1,2", "1 2"),
        (CUT, None, "0"),
        (CUT, "0,1", "0"),
        (CUT, "MIG-01a-dd", "MIG-01a"),
        (CUT, "MIG-01c,MIG-01a", "MIG-01c MIG-01a"),
        (CUT, "MIG-GPU-02aa-bb/9/0", "MIG-02c"),
        (CUT, "MIG-GPU-01aa-bb/7/0,MIG-02a", "MIG-01a MIG-02a"),
        (CUT, "0,MIG-01a,MIG-02c", "MIG-01a MIG-02c"),  # of two models, the more common
    ],
)
def test_cuda_visible_devices_selects_and_orders(machine: FakeNvml, variable: str | None, used: str) -> None:
    assert found(machine, variable) == used.split()


@pytest.mark.parametrize(
    ("machine", "variable", "message"),
    [
        (ONE, "1", r"CUDA_VISIBLE_DEVICES=1: no GPU '1'; there are 0 = GPU-00aa-bb$"),
        (EIGHT, "0,8", "no GPU '8'; there are 0 = GPU-00aa-bb, 1 = "),
        (EIGHT, "0 1", "no GPU '0 1'"),
        (EIGHT, "1gpu", "no GPU '1gpu'"),
        (EIGHT, "all", "no GPU 'all'"),
        (EIGHT, "GPU-ff", "no GPU 'GPU-ff'"),
        (EIGHT, "٣", "no GPU '٣'"),
        (EIGHT, "9" * 5000, "9'; there are 0 = GPU-00aa-bb, 1 = "),
        (FOUR, "GPU-0", "'GPU-0' begins the ids of GPU-00aa-bb and GPU-01aa-bb and .* write more of it"),
        (EIGHT, "0,0", "'0' names H200 GPU-00aa-bb again, where CUDA shows no GPU at all; name each once"),
        (EIGHT, "1,GPU-01", "'GPU-01' names H200 GPU-01aa-bb again"),
        (CUT, "MIG-01a,MIG-GPU-01aa-bb/7/0", "names H200 MIG 1g MIG-01a-dd again"),
        (CUT, "MIG-03", "no GPU 'MIG-03'; there are 0 = .*, 2 = GPU-02aa-bb, MIG-01a-dd, MIG-01c-dd, MIG-02a-dd"),
        (CUT, "MIG-GPU-01aa-bb/3/0", "no GPU 'MIG-GPU-01aa-bb/3/0'"),
        (CUT, "MIG-01", "'MIG-01' begins the ids of MIG-01a-dd and MIG-01c-dd"),
        (CUT, "1", r"GPU-01aa-bb is cut into MIG slices.* or CUDA_VISIBLE_DEVICES=MIG-… \(MIG-01a-dd, MIG-01c-dd\)"),
    ],
)  # fmt: skip
def test_what_names_no_board_is_one_line_with_those_there_are(machine: FakeNvml, variable: str, message: str) -> None:
    with pytest.raises(RequestError, match=message) as raised:
        found(machine, variable)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("machine", "variable", "gpus", "used"),
    [
        (NONE, None, "0", "cpu"),
        (EIGHT, None, "all", "0 1 2 3 4 5 6 7"),
        (EIGHT, None, "2, 0", "2 0"),
        (EIGHT, "5,3", "1", "3"),  # counted among the visible ones
        (EIGHT, None, "GPU-02,3,2", "2 3"),
        (FOUR, None, "0", "0"),
        (FOUR, None, "2,GPU-03", "2 3"),
        (CUT, None, "0", "0"),
        (CUT, None, "MIG-01c", "MIG-01c"),
        (CUT, None, "MIG-01c,MIG-02a-dd", "MIG-01c MIG-02a"),
        (CUT, None, "MIG-GPU-02aa-bb/7/0", "MIG-02a"),
        (CUT, "MIG-02c,MIG-01a", "1", "MIG-01a"),
    ],
)
def test_gpus_chooses_among_the_visible_ones(machine: FakeNvml, variable: str | None, gpus: str, used: str) -> None:
    assert found(machine, variable, gpus) == used.split()


@pytest.mark.parametrize(
    ("machine", "variable", "gpus", "message"),
    [
        (NONE, None, "9", r"--gpus 9: no board '9' here; choose from 0 \(cpu\)"),
        (NONE, None, "GPU-00", "no board 'GPU-00' here"),
        (EIGHT, None, "", "--gpus '': it names no board where one belongs; write --gpus all, or choose from 0"),
        (EIGHT, None, "0,", "--gpus 0,: it names no board where one belongs"),
        (EIGHT, None, "all,0", "--gpus all,0: all stands alone; write --gpus all, or choose from 0"),
        (EIGHT, None, "-1", "no board '-1' here"),
        (EIGHT, "5,3", "2", "no board '2' here; choose from 0 .*, 1 "),
        (EIGHT, "5,3", "GPU-00", "no board 'GPU-00' here"),
        (EIGHT, None, "GPU-0", "'GPU-0' begins the ids of"),
        (FOUR, None, "0,1", "boards of different models cannot be compared; choose one model of 0"),
        (CUT, None, "0,MIG-01a", "boards of different models cannot be compared"),
        (CUT, None, "1", r"--gpus 1: H200 MIG GPU-01aa-bb is cut into MIG slices.*\(MIG-01a-dd, MIG-01c-dd\)"),
        (CUT, "0", "MIG-01a", "no board 'MIG-01a' here"),
    ],
)
def test_a_choice_that_cannot_be_is_one_line_with_the_next_move(
    machine: FakeNvml, variable: str | None, gpus: str, message: str
) -> None:
    with pytest.raises(RequestError, match=message) as raised:
        found(machine, variable, gpus)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("machine", "environ", "said"),
    [
        (NONE, {}, ""),
        (NONE, {"CUDA_VISIBLE_DEVICES": ""}, ""),
        (NONE, {"CUDA_VISIBLE_DEVICES": "-1"}, ""),
        (NONE, {"CUDA_VISIBLE_DEVICES": "7"}, "=7 names a GPU, and NVIDIA's driver finds none here: cells"),
        (NONE, {"CUDA_VISIBLE_DEVICES": "MIG-01"}, "=MIG-01 names a GPU, and"),
        (NONE, {"CUDA_VISIBLE_DEVICES": " 0"}, "= 0 names a GPU, and"),
        (NONE, {"CUDA_VISIBLE_DEVICES": "0", "AMPBENCH_CPU_BOARDS": "2"}, "=0 names a GPU, and"),
        (NONE, {"AMPBENCH_CPU_BOARDS": "2"}, ""),
        (EIGHT, {"CUDA_VISIBLE_DEVICES": "7,0"}, ""),
        (EIGHT, {"CUDA_VISIBLE_DEVICES": "7,"}, ""),
        (EIGHT, {"CUDA_VISIBLE_DEVICES": ""}, "='' hides 8x H200: cells run on the CPU. Unset it to use the GPU"),
        (FOUR, {"CUDA_VISIBLE_DEVICES": "-1"}, "=-1 hides 1x RTX A6000 and 3x RTX 3090: cells run on the CPU"),
        (EIGHT, {"CUDA_VISIBLE_DEVICES": "0,-1,2,3"}, "=0,-1,2,3: CUDA stops reading at '-1', so 2,3 is hidden"),
        (EIGHT, {"CUDA_VISIBLE_DEVICES": "0,,2"}, "=0,,2: CUDA stops reading at '', so 2 is hidden"),
        (EIGHT, {"AMPBENCH_CPU_BOARDS": "2"}, "AMPBENCH_CPU_BOARDS=2 is not heeded"),
        (FOUR, {"CUDA_VISIBLE_DEVICES": "1"}, "=1 is counted as nvidia-smi counts (RTX 3090 GPU-01aa-bb); CUDA alone"),
        (FOUR, {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "FASTEST_FIRST"}, "CUDA alone counts the fastest"),
        (FOUR, {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, ""),
        (FOUR, {"CUDA_VISIBLE_DEVICES": "GPU-01"}, ""),
    ],
)  # fmt: skip
def test_what_a_variable_does_that_may_not_be_meant_is_said(
    machine: FakeNvml, environ: dict[str, str], said: str
) -> None:
    lines = list(surprises(environ, find_boards(environ, machine), machine))
    assert len(lines) == bool(said)
    assert all(said in line for line in lines)


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "many", "1025", "9" * 5000, "٢"])
def test_absurd_numbers_of_simulated_boards_are_one_line(text: str) -> None:
    with pytest.raises(
        RequestError, match=f"AMPBENCH_CPU_BOARDS={text[:20]}.*say how many boards to simulate, from 1 to 1024"
    ):
        find_boards({"AMPBENCH_CPU_BOARDS": text}, NONE)


def test_boards_left_aside_are_of_another_model_or_cut_and_no_board_is_its_own_slice_s_neighbour() -> None:
    assert [str(board) for board in choose_boards(find_boards({}, CUT), None).ignored] == [
        "H200 MIG GPU-01aa-bb",
        "H200 MIG GPU-02aa-bb",
    ]
    (note,) = notes_on({}, choose_boards(find_boards({}, CUT), None))
    assert note.startswith("Using H200; ignored: H200 MIG GPU-01aa-bb (cut into MIG slices), H200 MIG GPU-02")
    chosen = choose_boards(find_boards({}, CUT), "MIG-01a")
    assert [board.board_id for board in chosen.ignored] == ["GPU-00aa-bb", "GPU-02aa-bb"]


def test_a_board_in_mig_mode_without_a_slice_is_said_to_need_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeNvml, "nvmlDeviceGetMaxMigDeviceCount", lambda self, handle: 0)
    with pytest.raises(RequestError, match=r"is in MIG mode and has no slice: make one \(nvidia-smi mig -cgi\)"):
        found(FakeNvml(["H200 MIG"]), None)
    assert found(FakeNvml(["H200", "H200 MIG"]), None) == ["0"]


def test_a_gpu_that_has_fallen_off_the_bus_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(self: FakeNvml, handle: int) -> str:
        raise self.NVMLError("GPU is lost")

    monkeypatch.setattr(FakeNvml, "nvmlDeviceGetUUID", lost)
    with pytest.raises(RequestError, match=r"a GPU of this machine does not answer \(GPU is lost\): nvidia-smi shows"):
        found(EIGHT, None)
    assert found(EIGHT, "") == ["cpu"]


@pytest.mark.parametrize("file", ["quickstart.toml", "search_power.toml"])
@pytest.mark.parametrize(
    ("gpus", "said"), [("99", "--gpus 99: no board '99' here; choose from 0"), ("", "--gpus '': it names no board")]
)
def test_a_plan_refuses_a_choice_that_its_run_would_refuse(file: str, gpus: str, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        run_matrix.main(ROOT / "experiments" / file, plan=True, gpus=gpus)
