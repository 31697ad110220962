"""Speed against test accuracy: which recipes and batch sizes no other one beats in both."""

from __future__ import annotations

from ampbench.visualize.figures.shared import trade_offs

FIGURE = trade_offs.figure(
    lambda results: 100 * results.ok["test_accuracy"].where(results.ok["epochs"] > 0),
    lambda results: f"{results.label('test_accuracy', '%')}, higher is better",
    "accuracy",
    name="speed_and_accuracy",
    title="Speed and accuracy",
    better="right",
)
