"""The peak memory of each cell, by one instrument in each subject: what two instruments measured is never compared.

On a CPU the resident set also holds the libraries and what the allocator keeps for later, up to ten times the tensors.
So the allocator's own peak is taken where the pass `memory` measured it for every recipe, else the resident set.
Tables, figures, verdicts and answers all take these two columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from ampbench.schema.memory import CPU_ALLOCATOR, INSTRUMENTS, RESIDENT_SET

PEAK = "peak_bytes"
INSTRUMENT = "peak_instrument"
LABEL = "peak memory"
ALLOCATOR = "allocator_peak_bytes"
STEADY, STARTUP = "steady_peak_bytes", "startup_peak_bytes"
IN_SHORT = {"cuda_allocator": "by the allocator", CPU_ALLOCATOR: "by the allocator", RESIDENT_SET: "resident set"}
"""Instrument -> what a sentence says of a number that it measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Instrument:
    """By what the peaks of some cells were measured."""

    names: tuple[str, ...]
    """Values of `peak_instrument`; none if no peak is known."""

    @property
    def words(self) -> str:
        """As in `by torch's CPU allocator`."""
        return " and ".join(INSTRUMENTS.get(name, name) for name in self.names)

    @property
    def in_short(self) -> str:
        """As in `resident set`."""
        return " and ".join(dict.fromkeys(IN_SHORT.get(name, name) for name in self.names))

    @property
    def of_process(self) -> bool:
        """Whether the peaks are of the whole process, libraries included; they do not repeat themselves exactly."""
        return RESIDENT_SET in self.names

    @property
    def of_pass(self) -> bool:
        """Whether the peaks are of a training that was built for the pass `memory`: without the data set."""
        return CPU_ALLOCATOR in self.names


def with_peaks(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells with the columns `peak_bytes` and `peak_instrument`.

    Args:
        cells: with `subject`, `recipe` and `batch_size`; of any status.
    """
    found = cells.assign(**{PEAK: cells[STEADY], INSTRUMENT: cells["memory_instrument"].where(cells[STEADY] > 0)})
    if ALLOCATOR not in cells or cells[ALLOCATOR].isna().all():
        return found
    ok = cells.loc[cells["status"] == "ok", ["subject", "batch_size", "recipe", "memory_instrument", ALLOCATOR]]
    for subject, own in ok.groupby("subject", observed=True):
        measured = own.groupby(["batch_size", "recipe"], observed=True)[ALLOCATOR].count().gt(0).all()
        if measured and own["memory_instrument"].eq(RESIDENT_SET).all():
            here = found["subject"] == subject
            found.loc[here, PEAK] = cells.loc[here, ALLOCATOR]
            found.loc[here, INSTRUMENT] = pd.Series(CPU_ALLOCATOR, cells.index).where(cells[ALLOCATOR] > 0)[here]
    return found


def instrument_of(cells: pd.DataFrame) -> Instrument:
    """Return by what the peaks of cells were measured."""
    names: Iterable[str] = cells[INSTRUMENT].dropna().unique() if INSTRUMENT in cells else ()
    return Instrument(names=tuple(map(str, names)))
