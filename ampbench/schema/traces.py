"""What a run writes besides its record: rows of tables, each table in a file of its name."""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ampbench.schema.board import BoardSample
from ampbench.schema.column import values_of
from ampbench.schema.epochs import EpochRow
from ampbench.schema.layers import ExponentRow, LayerRow
from ampbench.schema.memory_history import AllocationRow, MemoryRow
from ampbench.schema.steps import BlockRow, StepRow

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(kw_only=True, slots=True)
class Traces:
    """Rows of a run's tables, by the table's name."""

    epochs: list[EpochRow] = field(default_factory=list)
    steps: list[StepRow] = field(default_factory=list)
    blocks: list[BlockRow] = field(default_factory=list)
    board: list[BoardSample] = field(default_factory=list)
    allocations: list[AllocationRow] = field(default_factory=list)
    memory: list[MemoryRow] = field(default_factory=list)
    layers: list[LayerRow] = field(default_factory=list)
    exponents: list[ExponentRow] = field(default_factory=list)

    @property
    def tables(self) -> dict[str, list[DataclassInstance]]:
        """Table -> its rows."""
        return values_of(self)


ROWS: dict[str, type] = {table: typing.get_args(hint)[0] for table, hint in typing.get_type_hints(Traces).items()}
"""Table -> the class of its rows."""
