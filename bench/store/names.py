"""The names of columns in files of results: those of another version are refused, not read as null."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.tables import TABLES
from ampbench.schema.files import RUNS, table_file
from ampbench.schema.renames import refusal


def results_of(run: Path) -> Path:
    """Return the results folder that contains a run's folder; the run's folder itself where it was moved out of one."""
    return run.parents[1] if run.parent.name == RUNS else run


def refuse_other_names(results: Path, table: str, schema: pa.Schema) -> None:
    """Refuse a file of results whose columns have the names of another version.

    Raises:
        RequestError: it does; the message says how to convert it.
    """
    because = refusal(results, table, schema)
    if because:
        raise RequestError(because)


def refuse_other_tables(results: Path) -> None:
    """Refuse joined tables with the names of another version, before others replace them.

    A table that cannot be read is joined again; one without rows may be replaced.

    Raises:
        RequestError: a table has the names of another version.
    """
    for table in TABLES:
        path = results / table_file(table)
        try:
            found = pq.read_metadata(path)
            columns = found.schema.to_arrow_schema()
        except (pa.ArrowException, OSError):
            continue
        if found.num_rows:
            refuse_other_names(results, table, columns)
