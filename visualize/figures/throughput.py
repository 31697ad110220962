"""Training speed by batch size: a bar for the median of the processes, a dot for each process."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes

from ampbench.visualize.figures import bars
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.judge.draft import reference_of
from ampbench.visualize.judge.pairs import log_ratios
from ampbench.visualize.read.frame import Results
from ampbench.visualize.stats.statistics import t_interval


def draw(results: Results, ax: Axes) -> Axes:
    """Draw images/s by batch size and recipe, from zero.

    Args:
        results: of one subject.
        ax: drawn into, and returned.
    """
    if results.ok["images_per_s"].dropna().empty:
        return bars.say(ax, "No cell ran to its end with its speed measured, so there is nothing to draw.")
    labelled: set[str] = set()
    spots = list(bars.places(results))
    for place in spots:
        speeds = place.ok["images_per_s"].dropna().to_numpy()
        if not len(speeds):
            bars.why_missing(ax, place)
            continue
        height, top = float(np.median(speeds)), float(speeds.max())
        bars.bar(ax, place, height, labelled)
        if len(speeds) > 2:
            _, low, high = np.exp(t_interval(np.log(speeds)))
            ax.vlines(place.x, low, high, color="#222222", linewidth=1.2, zorder=3)
            top = max(top, float(high))
        spread = np.linspace(-0.22, 0.22, len(speeds)) if len(speeds) > 1 else np.zeros(1)
        ax.scatter(
            place.x + place.width * spread, speeds, s=14, color="white", edgecolor="#222222", linewidth=0.8, zorder=4
        )
        speedup = _speedup(results, place)
        if speedup:
            bars.number(ax, place, top, speedup, len(spots))
    ax.set_ylabel(results.label("images_per_s"))
    bars.finish(ax, results)
    bars.beside(ax)
    return ax


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    speeds = bars.in_words(results, "images_per_s")
    return f"Bar chart of {results.label('images_per_s')} by batch size and recipe. {speeds}."


def _speedup(results: Results, place: bars.Place) -> str:
    ok = results.ok
    ok = ok[ok["batch_size"] == place.cells["batch_size"].iloc[0]]
    reference = reference_of(ok)
    ratios = log_ratios(ok, reference, place.recipe) if reference != place.recipe else []
    if not ratios:
        return ""
    mean, low, high = t_interval(ratios)
    return f"{math.exp(mean):.2f}×" + ("" if low > 0 or high < 0 else "?")


FIGURE = Figure(
    name="throughput",
    title="Throughput",
    caption=(
        "Bar: median of the processes. Dot: one process. Line, from three processes on: 95 % interval of their "
        "geometric mean. Number: speed-up over the reference in pairs, with a question mark if the 95 % interval of "
        "these pairs contains 1. Verdicts use the pairs, not the lines."
    ),
    draw=draw,
    describe=describe,
)
