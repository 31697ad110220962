"""--check-interference and --exclusive on the command line: what goes together, and what a plan says of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ampbench.bench.launch.choose import LAUNCHERS, launcher_of
from ampbench.bench.launch.local.local import Local
from ampbench.bench.launch.ray.ray import Ray
from ampbench.bench.launch.slurm.slurm import Slurm
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.provenance import environment_id, machine_with
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.run_matrix import main
from ampbench.bench.store.interference import write_interference
from ampbench.schema.interference import ADVICE, Interference
from ampbench.schema.version import METHOD_VERSION


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.toml"
    path.write_text(
        'question = "?"\n[matrix]\nprecision = ["fp32", "bf16_amp"]\n'
        '[fixed]\nmodel = "LeNet"\ndata = "synthetic"\nbatch_size = 64\n'
    )
    return path


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"plan": True}, "it takes no --plan; drop one"),
        ({"exclusive": True}, "it takes no --exclusive; drop one"),
        ({"again": ["ok"]}, "it takes no --again; drop one"),
        ({"tensorboard": True}, "it takes no --tensorboard; drop one"),
        (
            {"launcher": "slurm"},
            "--check-interference is about the boards of one machine, and --launcher slurm has several",
        ),
    ],
)
def test_a_check_takes_no_flag_of_a_run(more: dict[str, Any], said: str, file: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=said) as refused:
        main(file, check_interference=True, results=tmp_path / "results", **more)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("name", LAUNCHERS)
def test_every_launcher_runs_cells_exclusively(name: str) -> None:
    launcher = launcher_of(name, gpus="all", allow_shared=False, exclusive=True)
    assert isinstance(launcher, Local | Ray | Slurm)
    assert launcher.exclusive


def checked(verdict: Any, num_boards: int) -> Interference:
    """A check of this machine's CPU as so many boards."""
    machine = machine_with(Board(board_id=f"cpu:0/{num_boards}"))
    return Interference(
        verdict=verdict,
        ratio=0.9,
        low=0.89,
        high=0.91,
        shown="0.90x [0.89, 0.91]",
        n=4,
        images_per_s_alone=1000.0,
        cell="LeNet fp32 b64 s0",
        num_threads=1,
        board=f"cpu:0/{num_boards}",
        neighbours=tuple(f"cpu:{i}/{num_boards}" for i in range(1, num_boards)),
        machine=machine.machine,
        environment_id=environment_id(machine, METHOD_VERSION),
        measured_at="2026-01-02T03:04:05+00:00",
        command="python bench/run_matrix.py experiment.toml --check-interference",
    )


def planned(capsys: pytest.CaptureFixture[str], file: Path, **more: Any) -> str:
    assert main(file, plan=True, results=file.parent / "results", **more) == 0
    return "\n".join(line for line in capsys.readouterr().out.splitlines() if line.startswith("Interference"))


def test_a_plan_says_whether_neighbours_were_checked_and_what_came_of_it(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = file.parent / "results" / "experiment"
    assert planned(capsys, file) == "", "one board has no neighbours"
    monkeypatch.setenv("AMPBENCH_CPU_BOARDS", "3")
    assert planned(capsys, file).endswith("was not checked: --check-interference does")
    write_interference(folder, checked("slower", 2))
    assert "was not checked" in planned(capsys, file), "another machine: shared by two, not by three"
    write_interference(folder, checked("slower", 3))
    said = "beside 2 busy boards a cell runs slower than alone: 0.90x [0.89, 0.91], n = 4"
    assert planned(capsys, file) == f"Interference: {said}; {ADVICE}"
    assert planned(capsys, file, exclusive=True) == ""
    assert planned(capsys, file, gpus="1") == ""
    write_interference(folder, checked("same", 3))
    assert ADVICE not in planned(capsys, file)


def test_a_new_verdict_takes_away_what_was_said_of_the_tables_before(tmp_path: Path) -> None:
    """A stored summary is printed again as long as it is there."""
    for name in ("summary.txt", "summary-120.txt"):
        (tmp_path / name).write_text("the fastest is fp32")
    write_interference(tmp_path, checked("slower", 2))
    assert [path.name for path in tmp_path.iterdir()] == ["interference.json"]
