"""The training curves as numbers for the page's script: mean and range over the seeds, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ampbench.visualize.figures.theme import Style
from ampbench.visualize.read.frame import Results

QUANTITIES = {"test_accuracy": ("test accuracy", "%"), "train_loss": ("training loss", "")}
"""Column of the epochs -> its name and unit on the page."""
MOST_POINTS = 120
"""Of a curve. A training of 200 epochs drawn 800 pixels wide loses nothing that a reader could see."""
MOST_CURVES = 600
"""On a page; with `MOST_POINTS` that is at most about 4 MB."""


def curve_data(results: Results, styles: Mapping[str, Style]) -> dict[str, Any] | None:
    """Return panels, curves and styles for the script; None if nothing was trained to its end.

    Each subject and batch size is a panel. A curve is `[recipe, seeds, quantity -> [epochs, means, lows, highs]]`,
    without lows and highs for a single seed; accuracies are in per cent.
    """
    epochs = results.epochs
    epochs = epochs[epochs["status"] == "ok"]
    wanted = [name for name in QUANTITIES if name in epochs and epochs[name].notna().any()]
    if epochs.empty or not wanted:
        return None
    keys = ["subject", "batch_size", "recipe"]
    found = epochs.groupby([*keys, "epoch"], observed=True)[wanted].agg(["mean", "min", "max"])
    seeds = epochs.groupby(keys, observed=True)["cell_id"].nunique()
    recipes = [recipe for recipe in results.recipes if recipe in set(epochs["recipe"])]
    panels: dict[tuple[str, int], list[list[Any]]] = {}
    for subject in results.subjects:
        for batch_size in results.batch_sizes:
            for recipe in recipes:
                key = subject, batch_size, recipe
                if key in seeds.index and sum(map(len, panels.values())) < MOST_CURVES:
                    own, n = found.loc[key], int(seeds[key])
                    lines = {name: _thinned(own[name], name, several=n > 1) for name in wanted}
                    panels.setdefault((subject, batch_size), []).append([recipes.index(recipe), n, lines])
    several = len(results.subjects) > 1
    return {
        "quantities": {name: QUANTITIES[name] for name in wanted},
        "recipes": [
            {"name": recipe, "colour": styles[recipe].colour, "dashes": list(styles[recipe].dashes)}
            for recipe in recipes
        ],
        "panels": [
            {"name": f"{subject}, batch {batch_size}" if several else f"batch {batch_size}", "curves": curves}
            for (subject, batch_size), curves in panels.items()
        ],
        "left_out": len(seeds) - sum(map(len, panels.values())),
    }


def _thinned(values: pd.DataFrame, quantity: str, *, several: bool) -> list[list[float]]:
    """Return epochs, means and, for several seeds, lows and highs, at no more than `MOST_POINTS` epochs."""
    values = values.replace([np.inf, -np.inf], np.nan).dropna()
    kept = np.unique(np.linspace(0, len(values) - 1, min(len(values), MOST_POINTS)).round().astype(int))
    values = values.iloc[kept]
    columns = ["mean", "min", "max"] if several else ["mean"]
    if quantity == "test_accuracy":
        numbers = [(100 * values[name]).round(2).tolist() for name in columns]
    else:
        numbers = [[float(f"{value:.4g}") for value in values[name]] for name in columns]
    return [[int(epoch) for epoch in values.index], *numbers]
