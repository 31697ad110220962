"""One figure a file: `draw_x(results, ax) -> Axes`, and `describe_x(results)`, the same figure in words.

A figure takes the results of one subject (`results.where(subject=...)`); the two curves take one batch size
as well. Colours, markers and dashes are the recipe's own, from `theme`.
"""

from __future__ import annotations

from visualize.figures.accuracy import describe_accuracy, draw_accuracy
from visualize.figures.loss import describe_loss, draw_loss
from visualize.figures.memory import describe_memory, draw_memory
from visualize.figures.sheet import Draw, panels, sheet
from visualize.figures.throughput import describe_throughput, draw_throughput

__all__ = [
    "Draw",
    "describe_accuracy",
    "describe_loss",
    "describe_memory",
    "describe_throughput",
    "draw_accuracy",
    "draw_loss",
    "draw_memory",
    "draw_throughput",
    "panels",
    "sheet",
]
