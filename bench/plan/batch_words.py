"""`batch_size = "max"` and `"knee"`: words that stand for the numbers that trials find, for each recipe its own.

    max     the largest batch that fits into the memory that a cell may take
    knee    the smallest that is about as fast as any

The file keeps its word, so that another machine finds its own number; the plan, the cells and all rows have numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.step_memory import step_memory_key

BatchWord = Literal["max", "knee"]
BATCH_WORDS: tuple[BatchWord, ...] = get_args(BatchWord)

BatchSizes = Mapping[tuple[BatchWord, str], int | str]
"""Word and `batch_key` -> the number that was found, or why there is none."""


def batch_key(cell: Cell) -> str:
    """Return a text that is the same for cells whose steps differ in nothing but the batch size."""
    return step_memory_key(cell.settings, without=("batch_size",))


def word_of(fields: Mapping[str, Any]) -> BatchWord | None:
    """Return the word that stands for the batch size of a cell; None where a number does."""
    value = fields["batch_size"]
    return next((word for word in BATCH_WORDS if word == value), None)


def any_size(fields: Mapping[str, Any]) -> Cell:
    """Return a cell of these fields at a batch size that means nothing."""
    return Cell(**{**fields, "batch_size": 1})


def in_numbers(fields: Mapping[str, Any], found: BatchSizes) -> tuple[Cell, str | None]:
    """Return the cell of these fields, and why it has no batch size; None if it has one.

    Raises:
        RequestError: its word has no number yet.
    """
    word = word_of(fields)
    if word is None:
        return Cell(**fields), None
    cell = any_size(fields)
    size = found.get((word, batch_key(cell)))
    if size is None:
        raise RequestError(
            f"batch_size = '{word}' is a number only after its trials: let bench/run_matrix.py run the experiment "
            "file, or write a number"
        )
    return (cell, size) if isinstance(size, str) else (Cell(**{**fields, "batch_size": size}), None)
