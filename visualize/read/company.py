"""In whose company cells ran: beside busy boards of their machine, or alone, and what a check says of that."""

from __future__ import annotations

from ampbench.schema.interference import ADVICE, Interference, read_interference
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.words import count


def company(results: Results) -> list[str]:
    """Return a sentence on each check of the folder, and on how the cells of its machine ran."""
    return [_sentence(one, results) for one in read_interference(results.folder)]


def _sentence(one: Interference, results: Results) -> str:
    said = f"{one.words[0].upper()}{one.words[1:]} ({one.cell} on {one.machine})"
    ok = results.ok
    if "num_neighbours" not in ok or not one.is_exclusive_advised:
        return f"{said}."
    beside = int((ok["num_neighbours"].fillna(0) > 0).sum())
    ran = f"{beside} of {count(len(ok), 'cell', 'cells')} here had such neighbours"
    return f"{said}; {ran}: {ADVICE}." if beside else f"{said}; no cell here had such neighbours."
