"""A column of a results table: the field of a frozen dataclass, with its unit, its label and its meaning.

    images_per_s: float | None = column("images/s", "throughput", "Median over the steady blocks")

A dataclass of such fields is a group of columns of a record, or a row of a table. Its annotations are the columns'
types, so that a type checker knows every name that is written. The three words travel in the metadata of the Parquet
field; axes and table heads take their labels from there.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

WORDS = "column"
"""Key of a field's metadata."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of one table."""

    name: str
    type: type
    """str, int, float, bool or datetime."""
    unit: str
    """SI, or empty for a pure number or a word."""
    label: str
    """For an axis or a table head."""
    meaning: str
    """What was measured, and how."""
    bits: int = 64
    """Of a number in the file."""
    listed: bool = False
    """Whether each value is a list of them."""


def column(unit: str, label: str, meaning: str, *, bits: int = 64) -> Any:
    """Return a field that is None, which is null in the file, until it is measured."""
    return dataclasses.field(default=None, metadata={WORDS: (unit, label, meaning, bits)})


def given(unit: str, label: str, meaning: str, *, bits: int = 64) -> Any:
    """Return a field that every row has."""
    return dataclasses.field(metadata={WORDS: (unit, label, meaning, bits)})


def columns_of(*groups: type) -> tuple[Column, ...]:
    """Return the columns of dataclasses, in the order of their fields."""
    return tuple(_columns(groups))


def values_of(row: DataclassInstance) -> dict[str, Any]:
    """Return column -> value of a group or a row; `dataclasses.asdict` would copy every value."""
    return {f.name: getattr(row, f.name) for f in dataclasses.fields(row)}


def _columns(groups: Iterable[type]) -> Iterable[Column]:
    for group in groups:
        hints = typing.get_type_hints(group)
        for f in dataclasses.fields(group):
            unit, label, meaning, bits = f.metadata[WORDS]
            yield Column(f.name, plain_type(hints[f.name]), unit, label, meaning, bits)


def plain_type(hint: Any) -> type:
    """Return the type of a column's values: `float` of `float | None`, `str` of a Literal of words."""
    if typing.get_origin(hint) is typing.Literal:
        return str
    kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)] or [hint]
    [kind] = kinds
    return plain_type(kind) if typing.get_origin(kind) is typing.Literal else typing.cast(type, kind)
