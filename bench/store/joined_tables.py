"""The joined tables of a folder while they are written: all at once, a few thousand runs in memory."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from ampbench.bench.store.atomic import replacing
from ampbench.bench.store.stamp import sizes
from ampbench.bench.store.tables import TABLES, schema
from ampbench.schema.files import table_file

MOST_BATCHES = 1000
MOST_VALUES = 2**20
"""So many are kept before they are written as a row group."""


class JoinedTables:
    """Context that writes every joined table, and puts all in their places at its end, unless there was an error."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sizes: dict[str, list[int]] = {}
        """At the end: size and time of each table that this join wrote, whatever another one puts there."""
        self._open = ExitStack()
        self._partials: dict[str, Path] = {}
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._pending: dict[str, list[pa.RecordBatch]] = {table: [] for table in TABLES}
        self._num_rows = dict.fromkeys(TABLES, 0)

    def __enter__(self) -> JoinedTables:
        try:
            for table in TABLES:
                self._partials[table] = self._open.enter_context(replacing(self.folder / table_file(table)))
                how = "snappy" if table == "cells" else "zstd"  # of 200 short columns, it takes half the time
                self._writers[table] = pq.ParquetWriter(self._partials[table], schema(table), compression=how)
        except BaseException as e:
            self.__exit__(type(e), e, e.__traceback__)
            raise
        return self

    def add(self, table: str, batches: Iterable[pa.RecordBatch]) -> None:
        """Append rows under today's columns."""
        pending = self._pending[table]
        for batch in batches:
            pending.append(batch)
            self._num_rows[table] += len(batch)
            if len(pending) >= MOST_BATCHES or self._num_rows[table] * len(schema(table)) >= MOST_VALUES:
                self._write(table)

    def _write(self, table: str) -> None:
        if self._num_rows[table]:
            rows = pa.Table.from_batches(self._pending[table], schema(table)).combine_chunks()
            self._writers[table].write_table(rows, row_group_size=len(rows))
        self._pending[table].clear()
        self._num_rows[table] = 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._open:  # whatever goes wrong here takes the unfinished files with it
            if kind is None:
                for table in TABLES:
                    self._write(table)
            for writer in self._writers.values():
                writer.close()
            if error is not None:
                raise error
            self.sizes = sizes(self._partials)
