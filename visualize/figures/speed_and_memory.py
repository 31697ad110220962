"""Speed against peak memory: which recipes and batch sizes no other one beats in both."""

from __future__ import annotations

from ampbench.schema.memory import MIB
from ampbench.visualize.figures.shared import trade_offs
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.peaks import LABEL, PEAK, instrument_of


def _label(results: Results) -> str:
    return f"{LABEL} (MiB), lower is better\n{instrument_of(results.ok).words}"


FIGURE = trade_offs.figure(
    lambda results: results.ok[PEAK] / MIB,
    _label,
    "memory",
    name="speed_and_memory",
    title="Speed and memory",
    better="left",
)
