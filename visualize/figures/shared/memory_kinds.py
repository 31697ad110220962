"""The memory of a cell by kind: what its peak is, by which instrument, and what the peak consists of.

The parts that do not depend on the batch are known by arithmetic; the rest of the peak is activations, workspace and,
in a resident set, the libraries.
"""

from __future__ import annotations

import pandas as pd

from ampbench.schema.memory import MIB
from ampbench.visualize.judge.runs.replicates import geometric_mean
from ampbench.visualize.read.peaks import PEAK, Instrument

REST = "activations and the rest"
KINDS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "before data and model": (("baseline_bytes",), "#f0f0f0", ""),
    "weights": (("weights_bytes",), "#16365c", ""),
    "gradients": (("gradients_bytes",), "#3f7cb4", "///"),
    "optimizer state": (("optimizer_bytes",), "#7fb0d8", "\\\\\\"),
    "cast copies": (("autocast_cache_bytes",), "#c0392b", "xxx"),
    "buffers and data": (("buffers_bytes", "data_bytes"), "#8c8c8c", ""),
    REST: ((), "#e9c46a", ""),
}
"""Kind -> its columns in cells, the colour and the hatch of its part of a bar, from left to right."""


def parts_of(cells: pd.DataFrame, instrument: Instrument) -> dict[str, float]:
    """Return kind -> MiB, which sum to the mean peak of the cells; only the rest if the parts exceed the peak."""
    total = (geometric_mean(cells[PEAK]) or 0.0) / MIB
    parts = {}
    for kind, (columns, _, _) in KINDS.items():
        if kind != "before data and model" or instrument.of_process:
            known = [
                float(cells[c].median()) / MIB
                for c in columns
                if c in cells and cells[c].notna().any() and not (c == "data_bytes" and instrument.of_pass)
            ]  # the pass counts one batch, not the data set
            parts[kind] = sum(known)
    rest = total - sum(parts.values())
    if rest < 0 or "weights_bytes" not in cells or not parts["weights"]:
        return {REST if parts["weights"] else "": total}
    return {kind: mib for kind, mib in (parts | {REST: rest}).items() if mib > 0}
