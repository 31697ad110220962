"""In whose company cells ran: beside busy boards of their machine, or alone, and what a check says of that."""

from __future__ import annotations

import pandas as pd

from ampbench.schema.interference import ADVICE, Interference, read_interference
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.words import count


def company(results: Results) -> list[str]:
    """Return a sentence on each check of the folder, and on how the cells of its machine ran."""
    return [_sentence(one, results) for one in read_interference(results.folder)]


def are_exclusive(cells: pd.DataFrame) -> bool:
    """Return whether all cells that say so ran with no other cell on their machine, as by --exclusive."""
    said = cells["exclusive"].dropna() if "exclusive" in cells else ()
    return len(said) > 0 and all(said)


def _sentence(one: Interference, results: Results) -> str:
    said = f"{one.words[0].upper()}{one.words[1:]} ({one.cell} on {one.machine})"
    ok = results.ok
    if "num_neighbours" not in ok or not one.is_exclusive_advised:
        return f"{said}."
    beside = int((ok["num_neighbours"].fillna(0) > 0).sum())
    ran = f"{beside} of {count(len(ok), 'cell', 'cells')} here had such neighbours"
    return f"{said}; {ran}: {ADVICE}." if beside else f"{said}; no cell here had such neighbours."
