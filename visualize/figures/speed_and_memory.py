"""Speed against peak memory: which recipes and batch sizes no other one beats in both."""

from __future__ import annotations

from ampbench.schema.memory import MIB
from ampbench.visualize.figures import trade_offs
from ampbench.visualize.figures.memory_kinds import peak_of
from ampbench.visualize.read.frame import Results


def _label(results: Results) -> str:
    peak = peak_of(results)
    return f"{results.label(peak.column, 'MiB')}, lower is better\n{peak.instrument}"


FIGURE = trade_offs.figure(
    lambda results: results.ok[peak_of(results).column] / MIB,
    _label,
    "memory",
    name="speed_and_memory",
    title="Speed and memory",
    better="left",
)
