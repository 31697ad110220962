"""A folder of results in which every renamed column has a value, and the same as an older version wrote it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.store.convert import files_of
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import join
from ampbench.bench.store.record import ATTEMPT, write_run
from ampbench.bench.store.run import Run
from tests.support import older
from tests.support.measuring import record_of, traces_of
from tests.support.results import plan_of

PLAN = plan_of()

Read = dict[Path, pa.Table]
Age = Callable[[Path], None]


def run_of(folder: Folder, cell: Cell) -> Run:
    experiment = PLAN.experiment
    path, protocol, budget = folder.run_path(cell), experiment.protocol, experiment.budget
    board = Board(board_id="cpu")
    return Run(folder=path, cell=cell, protocol=protocol, budget=budget, board=board, order=1, command="c")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results whose renamed columns all have values, joined; each test has a copy."""
    folder = Folder(path=tmp_path_factory.mktemp("whole") / "trial")
    for cell in PLAN.cells[:4]:
        run_of(folder, cell).save()
        rows = {
            "steps": [{"step": i, "epoch": 1, "loss": 2.0, "loss_scale_factor": 2.0**i} for i in range(3)],
            "epochs": [{"epoch": 1, "wall_images_per_s": 90.0, "loss_scale_factor": 8.0, "epoch_evaluation_s": 0.5}],
            "blocks": [{"block": 1, "epoch": 1, "images_per_s": 100.0, "steady": True}],
            "layers": [
                {"step": 1, "layer": "conv1", "tensor": "gradient", "quantity": name, "value": 3.0}
                for name in ("loss_scale_factor", "norm")
            ],
        }
        row = {
            "status": "ok", "cell_s": 3.0, "images_per_s": 100.0, "environment_id": "e", "machine": "m", "torch": "2",
            "method_version": 4, "steady_peak_bytes": 2**20, "memory_instrument": "rss", "num_test_images": 100,
            "dtype_check": "fp32 12", "matmul_conv_share": 0.5, "passes_s": 1.0, "numerics_probe_s": 2.0,
            "evaluation_s": 0.5,
        }  # fmt: skip
        write_run(folder.run_path(cell), cell, record_of(row), traces_of(rows))
    folder.write_plan(PLAN, command="x", git_commit=None, git_dirty=None)
    join(PLAN, folder)
    return folder.path


@pytest.fixture(scope="session")
def aged(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with the names of version 1."""
    results = Path(shutil.copytree(whole, tmp_path_factory.mktemp("aged") / "trial"))
    older.age_results(results)
    return results


@pytest.fixture
def results(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "old results" / "trial"))


@pytest.fixture
def age_results(aged: Path) -> Age:
    """Return a function that gives the files of `results` the names of version 1."""

    def age(results: Path) -> None:
        shutil.rmtree(results)
        shutil.copytree(aged, results)

    return age


def read_all(results: Path) -> Read:
    """Return the tables, without the word for the attempt, which older versions did not write."""
    tables = {path: pq.read_table(path) for path, _ in files_of(results) if path.suffix == ".parquet"}
    kept = {
        path: {k: v for k, v in (rows.schema.metadata or {}).items() if k != ATTEMPT} for path, rows in tables.items()
    }
    return {path: rows.replace_schema_metadata(kept[path]) for path, rows in tables.items()}


def assert_same(results: Path, before: Read) -> None:
    for path, rows in read_all(results).items():
        assert rows.equals(before[path]), path
        assert rows.schema.equals(before[path].schema, check_metadata=True), path
