"""What the joined tables were made of, so that an unchanged folder is not read again, and how long cells took."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
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


def digest(columns: pa.Schema, times_ns: Mapping[str, int], excluded: Iterable[tuple[str, str]]) -> str:
    """Return a hash that changes whenever joining would give other tables.

    Args:
        columns: of `cells`.
        times_ns: cell id -> when its record was written, of the cells that have one, in the order of the plan. It is
            only compared with itself: two clocks that differ do no harm.
        excluded: cell id and reason.
    """
    found = hashlib.sha256(repr(columns).encode())
    for cell_id, time_ns in times_ns.items():
        found.update(f"{cell_id} {time_ns}\n".encode())
    for cell_id, because in excluded:
        found.update(f"{cell_id} {because}\n".encode())
    return found.hexdigest()


def record_times(records: Mapping[str, Path]) -> dict[str, int]:
    """Return cell id -> when its record was written, in ns by the file system's clock; without those that are gone."""
    found = {}
    for cell_id, path in records.items():
        with suppress(FileNotFoundError):
            found[cell_id] = path.stat().st_mtime_ns
    return found


def sizes(paths: Mapping[str, Path]) -> dict[str, list[int]]:
    """Return size and time of each of the tables that exist, by which a replaced file is detected."""
    stats = {table: path.stat() for table, path in paths.items() if path.is_file()}
    return {table: [stat.st_size, stat.st_mtime_ns] for table, stat in stats.items()}


def joined_files(results: Path, tables: Iterable[str]) -> dict[str, Path]:
    """Return table -> its joined file in a folder of results."""
    return {table: results / table_file(table) for table in tables}
