"""What the joined tables were made of, so that an unchanged folder is not read again, and how long cells took."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ampbench.schema.files import STAMP, table_file

if TYPE_CHECKING:  # a machine that only plans may have no pyarrow
    import pyarrow as pa


def read_stamp(results: Path) -> dict[str, Any]:
    """Return what a folder's joined tables were made of.

    `of` digests the records, `tables` holds size and time of each table, `damaged` the files of runs that were
    left out and why, `cell_s` cell id -> seconds.
    """
    empty: dict[str, Any] = {"of": None, "tables": {}, "damaged": {}, "cell_s": {}}
    try:
        plain = json.loads((results / STAMP).read_text())
    except (OSError, ValueError, RecursionError):
        return empty
    kept = plain if isinstance(plain, dict) else {}
    return empty | {key: kept[key] for key in empty if isinstance(kept.get(key), str if key == "of" else dict)}


def digest(columns: pa.Schema, records: Mapping[str, Path], excluded: Iterable[tuple[str, str]]) -> str:
    """Return a hash that changes whenever joining would give other tables.

    Args:
        columns: of `cells`.
        records: cell id -> record of the cells that have one, in the order of the plan.
        excluded: cell id and reason.
    """
    found = hashlib.sha256(repr(columns).encode())
    for cell_id, path in records.items():
        found.update(f"{cell_id} {path.stat().st_mtime_ns}\n".encode())
    for cell_id, because in excluded:
        found.update(f"{cell_id} {because}\n".encode())
    return found.hexdigest()


def sizes(results: Path, tables: Iterable[str]) -> dict[str, list[int]]:
    """Return size and time of each existing joined table, by which a replaced file is detected."""
    paths = {table: results / table_file(table) for table in tables}
    stats = {table: path.stat() for table, path in paths.items() if path.is_file()}
    return {table: [stat.st_size, stat.st_mtime_ns] for table, stat in stats.items()}
