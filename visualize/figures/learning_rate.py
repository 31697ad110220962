"""Learning rate by epoch, as steps: one line per batch size, and per recipe only where their rates differ."""

from __future__ import annotations

import itertools

import pandas as pd
from matplotlib.axes import Axes

from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared import bars, batch_sizes, curves
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.recipes import in_order


def draw(results: Results, ax: Axes) -> Axes:
    """Draw the learning rate by epoch; it holds until the next epoch, so there are no slopes.

    Args:
        results: of one subject.
        ax: drawn into, and returned.
    """
    rows = rates(results)
    if rows.empty:
        return bars.say(ax, "No learning rate: no training finished.")
    names = list(dict.fromkeys(rows["recipe"]))
    if rows["shared"].all():
        styles = batch_sizes.styles(names)
    else:
        own = theme.styles_of(results)
        styles = {name: own[recipe] for name, recipe in zip(rows["recipe"], rows["of"], strict=True)}
    curves.draw_curves(ax, rows, styles, from_zero=True, steps=True)
    ax.set_xlabel(results.label("epoch"))
    ax.set_ylabel(results.label("learning_rate"))
    return ax


def rates(results: Results) -> pd.DataFrame:
    """Return a row per line and epoch: x, y, its name as `recipe`, whether all recipes share it, and of which it is."""
    ok = results.ok
    rows = results.epochs
    rows = rows[rows["cell_id"].isin(ok["cell_id"])].dropna(subset=["learning_rate"])
    by = rows.groupby(["batch_size", rows["recipe"].astype(str), "epoch"], observed=True)["learning_rate"].mean()
    wide = by.unstack("recipe")
    wide = wide[in_order(wide.columns)]
    found = []
    for size, own in wide.groupby(level="batch_size", observed=True):
        own = own.dropna(axis=1, how="all")
        shared = bool((own.nunique(axis=1) <= 1).all())
        for recipe in itertools.islice(own.columns, 1 if shared else None):
            name = f"batch {size}" if shared else f"{recipe}, batch {size}"
            x = own.index.get_level_values("epoch")
            line = {"recipe": name, "of": recipe, "shared": shared, "x": x, "y": own[recipe].to_numpy()}
            found.append(pd.DataFrame(line))
    return pd.concat(found) if found else pd.DataFrame({"recipe": [], "of": [], "shared": [], "x": [], "y": []})


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    rows = rates(results)
    ends = rows.groupby("recipe", sort=False)["y"].agg(["max", "last"])
    said = ", ".join(f"{name} at most {high:.3g}, at the end {last:.3g}" for name, high, last in ends.itertuples())
    return f"Learning rate by epoch, as steps: {said}."


def shown(results: Results) -> bool:
    """Return whether any finished training recorded its learning rate."""
    trained = results.ok[results.ok["epochs"] > 0]
    rows = results.load("epochs")
    return bool(rows.loc[rows["cell_id"].isin(trained["cell_id"]), "learning_rate"].notna().any())


FIGURE = Figure(
    name="learning_rate",
    title="Learning rate",
    caption=(
        "Steps: the rate of an epoch's last step, drawn until the next epoch. One line per batch size, from dark (the "
        "smallest) to light, as all recipes have the same rates; where they differ, one line each."
    ),
    draw=draw,
    describe=describe,
    shown=shown,
    height_in=lambda _: 1.7,
)
