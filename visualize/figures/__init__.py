"""One figure a file: `draw_x(results, ax) -> Axes`, and `describe_x(results)`, the same figure in words.

A figure takes the results of one subject (`results.where(subject=...)`); the curves take one batch size
as well, the map of layers and the histogram of exponents also one recipe; lines by batch size take one recipe
instead. Colours, markers and dashes are the recipe's own, from `theme`.
"""

from __future__ import annotations

from visualize.figures.accuracy import describe_accuracy, draw_accuracy
from visualize.figures.batch_sizes import describe_batch_sizes, draw_batch_sizes
from visualize.figures.exponents import describe_exponents, draw_exponents
from visualize.figures.loss import describe_loss, draw_loss
from visualize.figures.loss_scale import describe_loss_scale, draw_loss_scale
from visualize.figures.lost_updates import describe_lost_updates, draw_lost_updates
from visualize.figures.memory import describe_memory, draw_memory
from visualize.figures.memory_diff import describe_memory_diff, draw_memory_diff
from visualize.figures.memory_timeline import describe_memory_timeline, draw_memory_timeline
from visualize.figures.phases import describe_phases, draw_phases
from visualize.figures.sheet import Draw, panels, sheet
from visualize.figures.throughput import describe_throughput, draw_throughput
from visualize.figures.underflow import describe_underflow, draw_underflow

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
