"""SwanLab, offline: what its file holds of a run, read back by SwanLab's own messages."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from ampbench.bench.plan.cell import Cell
from ampbench.bench.sinks.sink import SINKS
from tests.bench.sinks.leveldb import read_records
from tests.bench.sinks.processes import nothing_is_left
from tests.bench.sinks.sample import CELLS, EPOCHS, PATIENCE_S, RUNS, write_experiment

pytestmark = pytest.mark.whole

SWANLAB = SINKS["swanlab"]


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Publish twice, since a run that is logged again is one run; return the experiment's folder and the line."""
    pytest.importorskip("swanlab", reason="pip install swanlab")
    folder = write_experiment(tmp_path_factory.mktemp("offline") / "quick")
    SWANLAB.publish(folder, RUNS[:1], project="theirs", timeout_s=PATIENCE_S)
    (folder / ".logged" / "swanlab" / f"{RUNS[0]}.json").unlink()
    return folder, SWANLAB.publish(folder, RUNS, project="ours", timeout_s=PATIENCE_S)


def read(folder: Path, cell: Cell) -> dict[str, list[Any]]:
    message = pytest.importorskip("swanlab.proto.swanlab.record.v1.record_pb2").Record
    [path] = folder.glob(f"swanlog/run-*-*{cell.cell_id}/*.swanlab")
    return read_records(path, message)


def curve(records: dict[str, list[Any]], key: str) -> list[tuple[int, float]]:
    return [(scalar.step, scalar.value.number) for scalar in records["scalar"] if scalar.key == key]


def test_the_runs_are_on_disk_and_the_line_names_the_command_that_uploads_them(offline: tuple[Path, str]) -> None:
    folder, line = offline
    where = folder / "swanlog"
    assert line == f"SwanLab: 2 of 2 runs logged in {where}, offline. Next: swanlab sync {where}/run-*"
    assert len(list(where.glob("run-*"))) == 2
    assert nothing_is_left()


def test_the_curves_and_the_record_of_a_run_are_read_back(offline: tuple[Path, str]) -> None:
    records = read(offline[0], CELLS[0])
    [start] = records["start"]
    assert (start.project, start.name, start.group) == ("ours", CELLS[0].study_name, CELLS[0].group_id)
    assert curve(records, "epoch/test_accuracy") == [(row["epoch"], row["test_accuracy"]) for row in EPOCHS]
    assert curve(records, "epoch/train_loss")[0] == (1, 2.25)
    assert not any(math.isfinite(value) for _, value in curve(records, "epoch/train_loss")[1:])
    assert curve(records, "record/images_per_s") == [(0, 1234.5)]


def test_a_run_carries_its_settings_and_how_it_ended(offline: tuple[Path, str]) -> None:
    folder, _ = offline
    [config] = folder.glob(f"swanlog/run-*-*{CELLS[1].cell_id}/files/config.yaml")
    assert "batch_size:" in config.read_text()
    assert "killed by SIGKILL" in config.read_text()
    ends = [read(folder, cell)["finish"][0] for cell in CELLS]
    assert ends[0].state != ends[1].state
    assert ends[1].error == "crashed: killed by SIGKILL"


def test_disabled_logs_nothing(experiment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWANLAB_MODE", "disabled")
    line = SWANLAB.publish(experiment, RUNS, timeout_s=PATIENCE_S)
    assert line == "SwanLab: nothing logged: SWANLAB_MODE is disabled"


def test_a_missing_swanlab_names_the_command_that_installs_it(
    experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "swanlab.py").write_text("raise ModuleNotFoundError(\"No module named 'swanlab'\")")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    line = SWANLAB.publish(experiment, RUNS, timeout_s=PATIENCE_S)
    assert line.endswith("No module named 'swanlab'. Next: pip install swanlab")
