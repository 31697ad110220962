"""One figure a file: `draw_x(results, ax) -> Axes`, and `describe_x(results)`, the same figure in words.

A figure takes the results of one subject (`results.where(subject=...)`); the curves take one batch size
as well, the map of layers and the histogram of exponents also one recipe; lines by batch size take one recipe
instead. Colours, markers and dashes are the recipe's own, from `theme`.
"""

from __future__ import annotations

from ampbench.visualize.figures.accuracy import describe_accuracy, draw_accuracy
from ampbench.visualize.figures.batch_sizes import describe_batch_sizes, draw_batch_sizes
from ampbench.visualize.figures.exponents import describe_exponents, draw_exponents
from ampbench.visualize.figures.loss import describe_loss, draw_loss
from ampbench.visualize.figures.loss_scale import describe_loss_scale, draw_loss_scale
from ampbench.visualize.figures.lost_updates import describe_lost_updates, draw_lost_updates
from ampbench.visualize.figures.memory import describe_memory, draw_memory
from ampbench.visualize.figures.memory_diff import describe_memory_diff, draw_memory_diff
from ampbench.visualize.figures.memory_timeline import describe_memory_timeline, draw_memory_timeline
from ampbench.visualize.figures.phases import describe_phases, draw_phases
from ampbench.visualize.figures.sheet import Draw, panels, sheet
from ampbench.visualize.figures.throughput import describe_throughput, draw_throughput
from ampbench.visualize.figures.underflow import describe_underflow, draw_underflow

__all__ = [
    "Draw",
    "describe_accuracy",
    "describe_batch_sizes",
    "describe_exponents",
    "describe_loss",
    "describe_loss_scale",
    "describe_lost_updates",
    "describe_memory",
    "describe_memory_diff",
    "describe_memory_timeline",
    "describe_phases",
    "describe_throughput",
    "describe_underflow",
    "draw_accuracy",
    "draw_batch_sizes",
    "draw_exponents",
    "draw_loss",
    "draw_loss_scale",
    "draw_lost_updates",
    "draw_memory",
    "draw_memory_diff",
    "draw_memory_timeline",
    "draw_phases",
    "draw_throughput",
    "draw_underflow",
    "panels",
    "sheet",
]
