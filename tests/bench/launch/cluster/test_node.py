"""What a node tells of cells that it was given, and what keeps it from running them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ampbench.bench.launch.cluster import node as module
from ampbench.bench.launch.cluster.assignment import Assignment, Said
from ampbench.bench.launch.cluster.node import Node
from ampbench.bench.launch.cluster.run_files import files_of, write_files
from ampbench.bench.launch.cluster.versions import Versions, switches_of, take_switches
from ampbench.bench.launch.refusals import refuse_unlike
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.provenance import machine_of
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.store.run import Run


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Assignment:
    monkeypatch.setattr(module.Local, "prepare", lambda *_, **__: None)
    monkeypatch.delenv("AMPBENCH_CPU_BOARDS", raising=False)
    cell = Cell(model="LeNet", data="digits", precision=RECIPES["fp32"], batch_size=64)
    run = Run(
        folder=tmp_path / "x" / "runs" / cell.run_folder,
        cell=cell,
        protocol=MeasurementProtocol(),
        budget=Budget(),
        board=Board(board_id="cpu"),
        order=1,
        command="python bench/run_matrix.py x.toml",
    )
    return Assignment(runs=(run,), place="n1", versions=Versions.here())


def served(asked: Assignment, node: Node | None = None) -> list[Said]:
    told: list[Said] = []
    (node or Node()).serve(asked, told.append)
    assert told[-1].kind == "finished"
    return told


def refused(asked: Assignment) -> str:
    first, last = served(asked)
    assert (first.kind, last.facts) == ("refused", {"is_whole": False})
    return str(first.facts["because"])


def test_another_torch_python_or_method_is_refused_in_a_line_that_names_the_node(asked: Assignment) -> None:
    here = Versions.here()
    for field, what in (("torch", "torch"), ("python", "Python"), ("method", "method")):
        other = replace(asked, versions=replace(here, **{field: "0.1"}))
        assert f"on n1: it has {what} {getattr(here, field)}, and the launcher has {what} 0.1" in refused(other)
        assert refused(other).endswith("install the same on both, or insist with --mixed")


def test_a_launcher_without_torch_takes_the_nodes_as_they_are(asked: Assignment) -> None:
    replace(Versions.here(), torch="none").refuse_other(Versions.here(), "n1")


def test_a_node_without_torch_is_told_what_to_install(asked: Assignment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ampbench.bench.launch.cluster.versions.version_of", lambda name: "none")
    monkeypatch.setattr(
        "ampbench.bench.launch.local.local.refuse_unready",
        lambda subject: (_ for _ in ()).throw(RequestError("not installed here: torch; python -m pip install torch")),
    )
    assert refused(asked) == "on n1: not installed here: torch; python -m pip install torch"


def test_a_group_of_another_kind_of_board_is_refused(asked: Assignment) -> None:
    assert "these cells belong to another kind" in refused(replace(asked, kinds=("0123",)))


def test_a_node_whose_scheduler_gave_a_gpu_that_no_driver_finds_measures_no_cpu_instead(asked: Assignment) -> None:
    assert "on n1: its scheduler gave a GPU, and NVIDIA's driver finds none there" in refused(
        replace(asked, on_gpu=True)
    )


def test_what_a_scheduler_sets_goes_and_what_the_launcher_has_comes() -> None:
    node = {"OMP_NUM_THREADS": "1", "NCCL_IB_DISABLE": "1", "AMPBENCH_CACHE": "/scratch", "HOME": "/root"}
    launcher = {"MKL_NUM_THREADS": "2", "AMPBENCH_CACHE": "/home", "AMPBENCH_CPU_BOARDS": "2", "HOME": "/home/me"}
    take_switches(node, switches_of(launcher))
    assert node == {
        "MKL_NUM_THREADS": "2",
        "NCCL_IB_DISABLE": "1",
        "AMPBENCH_CACHE": "/scratch",
        "AMPBENCH_CPU_BOARDS": "2",
        "HOME": "/root",
    }
    take_switches(node, switches_of({"OMP_NUM_THREADS": "3"}))
    assert node["OMP_NUM_THREADS"] == "3"


def test_reports_are_told_at_most_once_a_second_and_nothing_of_them_is_lost(
    asked: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def run(launcher: object, groups: Any, boards: Any, *, watcher: Any, **_: Any) -> bool:
        [[run]] = groups
        run = replace(run, board=boards.used[0])
        watcher.started(run)
        for step in range(100):
            now[0] += 0.1
            watcher.told(run, {"loss": step, f"fact{step}": step})
        watcher.told(run, {"phase": "evaluation"})
        watcher.ended(run, {"status": "ok"})
        return True

    monkeypatch.setattr(module.Local, "run", run)
    told = served(asked)
    assert {str(one.boards[0]) for one in told if one.boards} == {"n1 cpu"}
    reports = [one.facts for one in told if one.kind == "told"]
    assert 10 <= len(reports) <= 13
    assert {f"fact{step}" for step in range(100)} <= set().union(*reports)
    assert [one.kind for one in told][-2:] == ["ended", "finished"]


def test_a_run_comes_over_with_its_files_and_without_its_checkpoint(asked: Assignment, tmp_path: Path) -> None:
    there, [run] = tmp_path / "there", asked.runs
    there.mkdir()
    for name in ("record.parquet", "steps.parquet", "log.txt", "best.pt", "checkpoint.pt", "cell.json", ".lock"):
        (there / name).write_bytes(name.encode())
    files = files_of(there)
    assert not there.exists()
    write_files(run, files)
    names = sorted(os.listdir(run.folder))
    assert names == ["best.pt", "cell.json", "log.txt", "record.parquet", "steps.parquet"]
    assert (run.folder / "steps.parquet").read_bytes() == b"steps.parquet"
    assert Run.load(run.folder) == run


def test_a_record_is_written_last_and_what_cannot_be_written_is_one_line(asked: Assignment) -> None:
    [run] = asked.runs
    (run.folder / "steps.parquet").mkdir(parents=True)  # cannot be replaced by a file
    with pytest.raises(RequestError, match=r"LeNet.* has no record: .*cannot be written"):
        write_files(run, {"record.parquet": b"", "steps.parquet": b""})
    assert not run.record_path.exists()


def test_nodes_of_other_versions_are_refused_and_of_other_boards_are_not() -> None:
    machine = machine_of(None, None)
    boards = [Board(board_id="cpu", host=host) for host in ("a", "b")]
    refuse_unlike({boards[0]: machine, boards[1]: replace(machine, machine="Another CPU", num_cores=64)})
    with pytest.raises(RequestError, match=r"^b cpu has torch 0\.1, Python .*, and a cpu torch .*--mixed$"):
        refuse_unlike({boards[0]: machine, boards[1]: replace(machine, torch="0.1")})
