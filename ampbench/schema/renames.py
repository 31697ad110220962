"""Columns that were renamed: their names in older files, and how a file states the version of its names."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ampbench.schema.files import CELL_FILE
from ampbench.schema.version import COLUMNS_VERSION

if TYPE_CHECKING:
    import pyarrow as pa

KEY = b"ampbench.columns"
"""Key of a file's own metadata: the `COLUMNS_VERSION` of its columns. Files of version 1 lack it."""


class Renamed(NamedTuple):
    """A name that changed."""

    since: int
    """The first version with the new name."""
    table: str
    old: str
    new: str
    within: str | None = None
    """The column whose values include the name; None where the name is that of a column."""


RENAMED = (
    Renamed(2, "cells", "dtype_proof", "dtype_check"),
    Renamed(2, "cells", "product_share", "matmul_conv_share"),
    Renamed(2, "cells", "afterwards_s", "passes_s"),
    Renamed(2, "cells", "numerics_s", "numerics_probe_s"),
    Renamed(2, "cells", "evaluate_s", "evaluation_s"),
    Renamed(2, "epochs", "images_per_s", "wall_images_per_s"),
    Renamed(2, "epochs", "loss_scale", "loss_scale_factor"),
    Renamed(2, "epochs", "evaluate_s", "epoch_evaluation_s"),
    Renamed(2, "steps", "loss_scale", "loss_scale_factor"),
    Renamed(2, "layers", "loss_scale", "loss_scale_factor", within="quantity"),
    Renamed(2, CELL_FILE, "measure", "protocol"),
)


def version_of(schema: pa.Schema) -> int | None:
    """Return the version of the names in a file; None for a file that ampbench did not write."""
    said = (schema.metadata or {}).get(KEY, b"")
    if said.isdigit():
        return int(said)
    return 1 if any(b"unit" in (field.metadata or {}) for field in schema) else None


def new_names(table: str, version: int, within: str | None = None) -> dict[str, str]:
    """Return old -> new name for all that was renamed in a table after a version: columns, or values of one column."""
    return {r.old: r.new for r in RENAMED if r.table == table and r.since > version and r.within == within}


def columns_of_names(table: str, version: int) -> list[str]:
    """Return the columns of a table whose values were renamed after a version."""
    found = (r.within for r in RENAMED if r.table == table and r.since > version and r.within)
    return list(dict.fromkeys(found))


def refusal(results: Path, table: str, schema: pa.Schema) -> str | None:
    """Say in a line why a table cannot be read under today's names, and what to do; None if it can.

    Without this, a reader would find null in every column that was renamed.
    """
    version = version_of(schema)
    if version is not None and version > COLUMNS_VERSION:
        return f"{results}: its columns have the names of a newer ampbench; update ampbench"
    known = version or 1  # another program that rewrote the file has lost its metadata
    named_otherwise = new_names(table, known).keys() & set(schema.names)
    valued_otherwise = set(columns_of_names(table, version or COLUMNS_VERSION)) & set(schema.names)
    return old_names(results) if named_otherwise or valued_otherwise else None


def old_names(results: Path) -> str:
    """Say in a line that a folder of results has to be converted."""
    command = f"python -m ampbench convert {shlex.quote(str(results))}"
    return f"{results}: its columns have the names of an older ampbench; {command} renames them"


def with_new_keys(plain: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a cell.json under today's names."""
    names = new_names(CELL_FILE, 1)
    return {names.get(key, key): value for key, value in plain.items()}
