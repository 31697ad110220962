"""What the figures of trade-offs share: the speed against what it costs, a point for each recipe and batch size.

Points that another one beats, as `judge/pareto` tells it by intervals, are hollow; the others are the Pareto front.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pandas as pd
from matplotlib.axes import Axes

from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared import bars
from ampbench.visualize.judge.decision.pareto import COMPARED, Axis, front_of
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.runs.replicates import geometric_mean
from ampbench.visualize.judge.verdict.verdict import verdicts_of
from ampbench.visualize.read.frame import Results

MOST_LABELLED = 14
"""With more points only the first and last of each line say their batch size."""


CAPTION = (
    "Point: means of the processes of a recipe at a batch size; up and {} is better. Lines through a point: from the "
    "lowest to the highest process. Hollow: another point is told to beat it in one and to be no worse in the other; "
    f"filled: the Pareto front, or not told. Of more than {COMPARED} points each is compared with those that no other "
    "point beats in the means, or with some of them."
)


def _reach(found: pd.DataFrame) -> list[pd.Series]:
    """Return how far the processes lie below and above their mean, which rounding may put outside their range."""
    return [(found["mean"] - found["min"]).clip(lower=0), (found["max"] - found["mean"]).clip(lower=0)]


def front_points(results: Results, by: Axis) -> dict[tuple[str, int], bool]:
    """Return recipe and batch size -> whether no other point beats it in the speed and the other axis."""
    rows = standings(results, verdicts_of(results))
    points = front_of(results, rows, by=("speed", by))
    return {(point.standing.recipe, point.standing.batch_size): point.on_front for point in points}


def figure(
    value: Callable[[Results], pd.Series],
    label: Callable[[Results], str],
    by: Axis,
    *,
    name: str,
    title: str,
    better: Literal["left", "right"],
    key: bool = False,
) -> Figure:
    """Return the figure of the speed against a value of the finished cells.

    Args:
        value: returns it in the unit of the axis, one per finished cell.
        label: of the axis.
        by: what the value is, beside the speed, for the front.
        name: of the picture.
        title: of the figure.
        better: the side on which the value is better.
        key: whether the page shows it beside its answer.
    """

    def points(results: Results) -> pd.DataFrame:
        """Return a row per recipe and batch size: means x and y, as in the tables, and their ranges."""
        ok = results.ok.assign(x=value(results), y=results.ok["images_per_s"]).dropna(subset=["x", "y"])
        keys = [ok["recipe"].astype(str), ok["batch_size"].astype(int)]
        mean = "mean" if by == "accuracy" else geometric_mean
        return ok.groupby(keys).agg(
            {"x": [("mean", mean), "min", "max"], "y": [("mean", geometric_mean), "min", "max"]}
        )

    def shown(results: Results) -> bool:
        return any(len(points(results.where(subject=subject))) > 1 for subject in results.subjects)

    def draw(results: Results, ax: Axes) -> Axes:
        found = points(results)
        if found.empty:
            return bars.say(ax, "Speed and cost were not both measured, so there is nothing to draw.")
        front = front_points(results, by)
        several = found.index.get_level_values("batch_size").nunique() > 1
        for recipe, style in theme.styles_of(results).items():
            if recipe not in found.index:
                continue
            own = found.loc[recipe]
            x, y = own["x"], own["y"]
            ax.plot(x["mean"], y["mean"], color=style.colour, linestyle=style.linestyle, linewidth=1, alpha=0.6)
            ax.errorbar(
                x["mean"], y["mean"], xerr=_reach(x),
                yerr=_reach(y), fmt=style.marker, color=style.colour,
                markersize=7.5, markeredgecolor="white", markeredgewidth=0.6, elinewidth=0.9, label=recipe,
            )  # fmt: skip
            beaten = own[[front.get((recipe, size), True) is False for size in own.index]]
            ax.plot(
                beaten["x"]["mean"], beaten["y"]["mean"], linestyle="", marker=style.marker, markersize=7,
                markerfacecolor="white", markeredgecolor=style.colour, markeredgewidth=1.3, zorder=4,
            )  # fmt: skip
            named = own.index if len(found) <= MOST_LABELLED else own.index[[0, -1]]
            for size in named if several else named[:1]:
                ax.annotate(
                    str(size) if several else recipe, (x["mean"][size], y["mean"][size]), xytext=(6, 4),
                    textcoords="offset points", fontsize=theme.SMALL - 0.5, color=theme.INK,
                )  # fmt: skip
        ax.set_ylim(0, 1.1 * float(found["y"]["max"].max()))
        ax.margins(x=0.12)
        bars.plain_numbers(ax.yaxis)
        ax.set_xlabel(label(results) + ("\nnumbers: batch sizes" if several else ""))
        ax.set_ylabel(results.label("images_per_s"))
        bars.legend(ax)
        return ax

    def describe(results: Results) -> str:
        found = points(results)
        parts = [
            f"{recipe} at batch {size}: {row['y']['mean']:,.0f} images/s, {bars.short(row['x']['mean'])}"
            for (recipe, size), row in found.head(40).iterrows()
        ]
        return f"Speed against {label(results)}. " + "; ".join(parts)

    return Figure(
        name=name, title=title, caption=CAPTION.format(better), draw=draw, describe=describe, shown=shown, key=key,
        height_in=lambda _: 3.0,
    )  # fmt: skip
