"""Select cells of a folder by their settings: `--only model=VGG19 --only batch_size=256,128`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from ampbench.visualize.read.files import ResultsError


def selected(table: pa.Table, only: Sequence[str], known: Sequence[str]) -> pa.Table:
    """Return the rows that meet every condition; several values of one condition mean any of them.

    Args:
        table: the cells.
        only: conditions `column=value,value…`, as the command line of run_matrix.py writes them.
        known: the columns that conditions may name.

    Raises:
        ResultsError: a condition has another form, names an unknown column, or is met by no cell.
    """
    for condition in only:
        name, equals, values = condition.partition("=")
        if not equals or not values:
            raise ResultsError(f"--only {condition}: write column=value, as in --only batch_size=256,128")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            move = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
            raise ResultsError(f"--only {condition}: unknown column {name!r}. {move}")
        present = [text_of(value) for value in table[name].to_pylist()]
        wanted = {values} if values in present else set(values.split(","))
        if not wanted & set(present):
            there = ", ".join(dict.fromkeys(present)) or "nothing"
            raise ResultsError(f"--only {condition}: no cell has it; {name} is {there} here")
        table = table.filter(pa.array([value in wanted for value in present]))
    return table


def text_of(value: Any) -> str:
    """Return a value as `--only` writes it; what is unset or empty is `none`."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or value == []:
        return "none"
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)
