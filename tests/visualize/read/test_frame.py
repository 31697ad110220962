"""From files to frames: what is added, what is refused, and the messages."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.store.tables import TABLES, schema
from ampbench.schema.version import METHOD_VERSION
from ampbench.visualize.read import files, frame
from ampbench.visualize.read.files import ResultsError
from ampbench.visualize.read.frame import read
from ampbench.visualize.read.notes import notes
from ampbench.visualize.read.recipes import in_order
from ampbench.visualize.read.tidy import settings
from tests.visualize.conftest import cell


def test_the_columns_that_are_needed_are_columns_that_are_written():
    for table, needed in files.NEEDED.items():
        assert set(needed) <= {column.name for column in TABLES[table]}


def test_every_field_of_a_cell_is_known_as_a_setting():
    assert settings(schema("cells")) == list(Cell.__dataclass_fields__)


def test_recipes_come_in_the_order_of_the_plan():
    assert in_order(reversed(RECIPES)) == list(RECIPES)
    assert in_order(["zeta", "bf16", "fp32", "alpha", "fp32"]) == ["fp32", "bf16", "alpha", "zeta"]


def test_cells_lend_their_axes_to_epochs_steps_and_blocks(matrix):
    results = read(matrix(recipes=("fp32", "bf16"), batch_sizes=(64, 128), seeds=(0, 1)))
    for rows in (results.epochs, results.steps, results.blocks):
        assert set(frame.JOINED) <= set(rows.columns)
        merged = rows.merge(results.cells, on="cell_id", suffixes=("", "_own"))
        for name in frame.JOINED:
            assert (merged[name].astype(str) == merged[f"{name}_own"].astype(str)).all()
    assert len(results.epochs) == 8 * 20


def test_a_part_of_the_results_holds_the_rows_of_its_cells_only(matrix):
    results = read(matrix(batch_sizes=(64, 128))).where(batch_size=64, recipe="fp32")
    assert set(results.steps["cell_id"].unique()) == set(results.cells["cell_id"])
    assert len(results.cells) == 3


def test_labels_and_units_come_from_the_files(matrix):
    results = read(matrix())
    assert results.label("images_per_s") == "throughput (images/s)"
    assert results.label("steady_peak_bytes", "MiB") == "steady peak memory (MiB)"
    assert results.label("loss") == "training loss"
    assert results.label("never heard of") == "never heard of"


def test_an_axis_beside_the_precision_splits_the_subjects(folder):
    for rate in (0.01, 0.1):
        folder.add(cell("fp32", learning_rate=rate))
    assert read(folder.write()).subjects == ["VGG19, learning_rate 0.01", "VGG19, learning_rate 0.1"]


def test_a_learning_rate_that_moves_with_the_batch_size_splits_nothing(folder):
    for size, rate in ((64, 0.01), (128, 0.02)):
        folder.add(cell("fp32", size, learning_rate=rate))
    assert read(folder.write()).subjects == ["VGG19"]


def test_two_loss_scales_of_one_precision_are_two_recipes(folder):
    folder.add(cell("fp16_amp_scaled"))
    folder.add(cell("fp16_amp_scaled", loss_scale="static:1024"))
    recipes = read(folder.write()).recipes
    assert recipes == ["fp16_amp_scaled (dynamic)", "fp16_amp_scaled (static:1024)"]


def test_a_folder_without_results_is_refused_with_the_next_move(tmp_path):
    with pytest.raises(ResultsError, match="no such folder; name one below results/"):
        read(tmp_path / "nowhere")
    with pytest.raises(ResultsError, match=r"holds no cells.parquet; run python bench/run_matrix.py"):
        read(tmp_path)


def test_a_truncated_file_is_refused_by_name(matrix):
    path = matrix() / "cells.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ResultsError, match=r"cells\.parquet: is damaged or not a Parquet file .*; delete it"):
        read(path.parent)


def test_a_table_that_is_taken_away_while_it_is_read_is_not_called_damaged_or_empty(matrix, monkeypatch):
    path = matrix() / "cells.parquet"
    read_table, said = frame.read_table, r"cells\.parquet: was taken away while it was read; run the experiment again"

    def vanishes(*_, **__):
        raise FileNotFoundError(2, "No such file or directory")

    with monkeypatch.context() as patched:
        patched.setattr("ampbench.visualize.read.files.pq.read_table", vanishes)
        with pytest.raises(ResultsError, match=said):
            read(path.parent)
    monkeypatch.setattr(frame, "read_table", lambda *of: (path.unlink(), read_table(*of))[1])
    with pytest.raises(ResultsError, match=said):
        read(path.parent)


def test_a_truncated_table_of_steps_is_refused_before_anything_is_drawn(matrix):
    path = matrix() / "steps.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(ResultsError, match=r"steps\.parquet: is damaged"):
        read(path.parent)


def test_a_foreign_file_is_refused_by_the_columns_it_lacks(tmp_path):
    pq.write_table(pa.table({"model": ["VGG19"], "speed": [1.0]}), tmp_path / "cells.parquet")
    with pytest.raises(ResultsError, match=r"cells\.parquet: lacks the column cell_id, group_id"):
        read(tmp_path)


def test_a_table_without_cells_is_refused(folder):
    with pytest.raises(ResultsError, match="holds no cells; run the experiment first"):
        read(folder.write())


def test_two_machines_are_refused_until_one_says_mixed(folder):
    folder.add(cell("fp32"))
    folder.add(cell("bf16"), environment_id="e2", machine="Other GPU")
    path = folder.write()
    with pytest.raises(ResultsError, match=r"2 environments \(Test GPU; Other GPU\).*--mixed"):
        read(path)
    assert len(read(path, mixed=True).cells) == 2


def test_a_failed_cell_of_another_machine_is_no_reason_to_refuse(folder):
    folder.add(cell("fp32"))
    folder.add(cell("bf16"), "crashed", environment_id="e2")
    assert len(read(folder.write()).ok) == 1


def test_a_newer_method_is_refused(folder):
    folder.add(cell("fp32"), method_version=METHOD_VERSION + 1)
    with pytest.raises(ResultsError, match="update ampbench"):
        read(folder.write())


def test_a_broken_plan_is_refused_and_a_missing_one_is_not(matrix):
    path = matrix()
    (path / "plan.json").write_text("{")
    with pytest.raises(ResultsError, match=r"plan\.json: cannot be read"):
        read(path)
    (path / "plan.json").unlink()
    assert read(path).question == ""


def test_results_without_tables_of_epochs_steps_and_blocks_have_none_of_them(matrix):
    path = matrix()
    for name in ("epochs", "steps", "blocks"):
        (path / f"{name}.parquet").unlink()
    results = read(path)
    assert len(results.cells) == 6
    assert results.epochs.empty
    assert results.steps.empty
    assert results.blocks.empty


def test_ids_of_many_row_groups_become_one_set_of_categories(tmp_path):
    ids = np.array([f"{i:016x}" for i in range(40)]).repeat(50)
    none = {"loss_scale_factor": pa.nulls(2000), "skipped": pa.nulls(2000)}
    table = pa.table({"cell_id": ids, "step": np.arange(2000), "loss": np.zeros(2000, np.float32), **none})
    pq.write_table(table, tmp_path / "steps.parquet", row_group_size=90)
    rows = files.to_frame(files.read_table(tmp_path, "steps"))
    assert list(rows["cell_id"]) == list(ids)
    assert rows["cell_id"].cat.categories.size == 40
    assert rows["loss"].dtype == np.float32


@pytest.mark.parametrize("table", ["epochs", "steps", "blocks"])
def test_a_table_that_is_not_there_is_said(matrix, table):
    path = matrix()
    assert read(path).missing == []
    (path / f"{table}.parquet").unlink()
    [said] = read(path).missing
    assert f"{table}.parquet: is missing, so nothing is drawn from it" in said


def test_rows_of_other_cells_and_files_left_out_are_said(matrix, tmp_path):
    path = matrix()
    foreign = pa.Table.from_pylist([{"cell_id": "f" * 16, "epoch": 1, "test_accuracy": 0.5}], schema=schema("epochs"))
    pq.write_table(foreign, path / "epochs.parquet")
    (path / ".joined.json").write_text(json.dumps({"damaged": {"runs/a/steps.parquet": "cannot be read: cut"}}))
    left_out, other = read(path).missing
    assert left_out.endswith("runs/a/steps.parquet: cannot be read: cut")
    assert "rows of 1 cell that cells.parquet does not hold are left out" in other
    assert any("left out" in note for note in notes(read(path)))


def test_a_setting_that_only_some_cells_have_names_the_subjects_of_all(folder):
    folder.add(cell("fp32"))
    folder.add(cell("fp32", model_args='{"dropout": 0.1}'))
    assert frame.read(folder.write()).subjects == ["VGG19, model_args none", 'VGG19, model_args {"dropout": 0.1}']


def test_an_infinite_measurement_is_an_unknown_one(folder):
    folder.add(cell(), images_per_s=math.inf, test_accuracy=-math.inf)
    cells = read(folder.write()).cells
    assert cells[["images_per_s", "test_accuracy"]].isna().all(axis=None)
