"""Files of results: whole or absent, with units, and in a folder of one experiment."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.atomic import replacing
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import join
from ampbench.bench.store.record import write_run
from ampbench.bench.store.tables import TABLES
from tests.support.measuring import record_of, traces_of
from tests.support.results import finish, plan_of


def test_a_write_that_is_cut_short_leaves_no_file(tmp_path: Path) -> None:
    def interrupted() -> None:
        with replacing(tmp_path / "record.parquet") as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_value_that_does_not_fit_its_column_costs_that_column_alone(tmp_path: Path) -> None:
    cell = plan_of().cells[0]
    record = record_of({"images_per_s": "fast", "num_steps": 7, "passes_failed": "no phases: said before"})
    steps = [{"step": 1, "epoch": 1, "loss": 2.5, "skipped": "perhaps"}]
    write_run(tmp_path, cell, record, traces_of({"steps": steps}))
    [row] = pq.read_table(tmp_path / "record.parquet").to_pylist()
    assert (row["status"], row["images_per_s"], row["num_steps"]) == ("ok", None, 7)
    assert row["passes_failed"].startswith("no phases: said before; no skipped in steps: ArrowInvalid")
    assert "no images_per_s in cells: ArrowInvalid" in row["passes_failed"]
    [step] = pq.read_table(tmp_path / "steps.parquet").to_pylist()
    assert (step["loss"], step["skipped"]) == (2.5, None)


def test_unit_label_and_meaning_travel_with_every_column(tmp_path: Path) -> None:
    folder, plan = Folder(path=tmp_path), plan_of()
    finish(folder, plan, 1)
    join(plan, folder)
    for table, columns in TABLES.items():
        schema = pq.read_schema(tmp_path / f"{table}.parquet")
        assert schema.names == [column.name for column in columns]
        for column in columns:
            metadata = schema.field(column.name).metadata
            assert metadata[b"label"].decode() == column.label
            assert metadata[b"unit"].decode() == column.unit
    assert all(column.meaning for column in TABLES["cells"])


def test_another_file_of_the_same_name_may_not_take_over_a_folder(tmp_path: Path) -> None:
    first = plan_of(path=tmp_path / "a" / "trial.toml")
    folder = Folder.of(first, tmp_path / "results")
    folder.write_plan(first, command="c", git_commit=None, git_dirty=None)
    assert Folder.of(first, tmp_path / "results") == folder
    with pytest.raises(RequestError, match="another file of the same name; rename one, or give --results"):
        Folder.of(plan_of(path=tmp_path / "b" / "trial.toml"), tmp_path / "results")


def test_a_plan_of_any_size_is_read_as_it_was_written_and_says_whose_it_is_in_its_head(tmp_path: Path) -> None:
    source = tmp_path / 'of "cells": [' / "trial.toml"
    plan = plan_of(path=source)
    experiment = replace(plan.experiment, question='Is\n "source": "another.toml",\n a key?')
    folder = Folder.of(replace(plan, experiment=experiment), tmp_path / "results")
    folder.write_plan(replace(plan, experiment=experiment), command="c", git_commit=None, git_dirty=True)
    text = (folder.path / "plan.json").read_text()
    read = json.loads(text)
    assert (read["question"], read["source"], read["git_dirty"]) == (experiment.question, str(source), True)
    assert [cell["cell_id"] for cell in read["cells"]] == [cell.cell_id for cell in plan.cells]
    assert read["cells"][0] == {"cell_id": plan.cells[0].cell_id, "run_folder": plan.cells[0].run_folder} | (
        plan.cells[0].settings
    )
    assert [cell["because"] for cell in read["excluded"]] == [because for _, because in plan.excluded]
    (folder.path / "plan.json").write_text(text[: text.index('"cells"') + 40])
    assert folder.said_source() == str(source), "a plan that was cut short is still not another file's"
