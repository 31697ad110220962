"""TensorBoard: what its own reader finds of a run, and that a run again is one run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from ampbench.bench.plan.cell import Cell
from ampbench.bench.sinks.sink import SINKS
from ampbench.bench.sinks.story import Point, Story
from ampbench.bench.sinks.tensorboard import TensorBoard
from ampbench.bench.sinks.tracker import log_whole
from tests.bench.sinks.sample import CELLS, EPOCHS, PATIENCE_S, RUNS

accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="pip install tensorboard"
)


def read(folder: Path, cell: Cell) -> Any:
    [run] = (folder / "tensorboard" / cell.group_id).glob(f"{cell.study_name}-*{cell.cell_id}")
    found = accumulator.EventAccumulator(str(run), size_guidance={"scalars": 0, "tensors": 0})
    found.Reload()
    return found


def curve(found: Any, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in found.Scalars(tag)]


def table(found: Any, tag: str) -> str:
    [event] = found.Tensors(f"{tag}/text_summary")
    return str(event.tensor_proto.string_val[0].decode())


@pytest.fixture
def logged(experiment: Path) -> Path:
    tracker = TensorBoard(experiment, "", live=False)
    for run in RUNS:
        story = Story.of(experiment, run)
        log_whole(tracker.open(story), story, "tensorboard")
    return experiment


def test_the_curves_of_a_run_are_read_back(logged: Path) -> None:
    found = read(logged, CELLS[0])
    assert curve(found, "epoch/test_accuracy") == [(row["epoch"], row["test_accuracy"]) for row in EPOCHS]
    (_, first), (_, last) = curve(found, "epoch/train_loss")
    assert first == 2.25
    assert math.isnan(last)


def test_a_run_carries_its_settings_and_its_record_however_it_ended(logged: Path) -> None:
    found = read(logged, CELLS[0])
    assert "| batch_size | 64 |" in table(found, "settings")
    assert "_hparams_/session_start_info" in found.Tags()["tensors"]
    assert curve(found, "record/images_per_s") == [(0, 1234.5)]
    assert "| status | ok |" in table(found, "record")
    assert "| because | killed by SIGKILL |" in table(read(logged, CELLS[1]), "record")


def test_a_run_that_is_logged_again_is_one_run(logged: Path) -> None:
    story = Story.of(logged, RUNS[0])
    run = TensorBoard(logged, "", live=True).open(story)
    run.log(Point(group="epoch", x=1, values={"test_accuracy": 0.75}))
    run.end(None)
    assert curve(read(logged, CELLS[0]), "epoch/test_accuracy") == [(1, 0.75)]


@pytest.mark.whole
def test_the_line_names_the_command_that_shows_the_runs(experiment: Path) -> None:
    line = SINKS["tensorboard"].publish(experiment, RUNS, timeout_s=PATIENCE_S)
    where = experiment / "tensorboard"
    assert line == f"TensorBoard: 2 of 2 runs logged in {where}. Next: tensorboard --logdir {where}"


def test_a_writer_loads_no_torch(experiment: Path) -> None:
    import subprocess
    import sys

    from ampbench.path import ROOT

    code = (
        "import sys; from pathlib import Path; from ampbench.bench.sinks.tensorboard import TensorBoard;"
        f"TensorBoard(Path({str(experiment)!r}), '', live=False);"
        "print(sorted({'torch', 'tensorflow', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
