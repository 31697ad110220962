"""Files of results: whole or absent, with units, and in a folder of one experiment."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.atomic import replacing
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import join
from ampbench.bench.store.record import write_run
from ampbench.bench.store.tables import TABLES
from tests.support.results import finish, plan_of


def test_a_write_that_is_cut_short_leaves_no_file(tmp_path: Path) -> None:
    def interrupted() -> None:
        with replacing(tmp_path / "record.parquet") as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_column_is_refused(tmp_path: Path) -> None:
    cell = plan_of().cells[0]
    with pytest.raises(ValueError, match=r"'imagess'.* not in ampbench/schema/; add them there"):
        write_run(tmp_path, cell, {"imagess": 1}, {})


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
