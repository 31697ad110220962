"""One column of a results table: its type, unit, label and meaning.

The three words travel in the Parquet field metadata; plots take their axis labels from there.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Column:
    """One column of one table."""

    name: str
    type: pa.DataType
    unit: str
    """SI or `""` for a pure number or a word."""
    label: str
    """For an axis or a table head."""
    meaning: str
    """What was measured, and how."""

    @property
    def field(self) -> pa.Field:
        """The Arrow field with unit, label and meaning as metadata."""
        return pa.field(
            self.name, self.type, metadata={"unit": self.unit, "label": self.label, "meaning": self.meaning}
        )


TEXT, INT, REAL, SINGLE, FLAG = pa.string(), pa.int64(), pa.float64(), pa.float32(), pa.bool_()
