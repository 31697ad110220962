"""Training loss over the first steps, by which recipes are compared before their accuracies can be."""

from __future__ import annotations

import textwrap

import pandas as pd
from matplotlib.axes import Axes

from ampbench.schema.start import tail_of
from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared import bars, curves
from ampbench.visualize.judge.verdict.start import first_steps
from ampbench.visualize.judge.verdict.verdict import Verdict, verdicts_of
from ampbench.visualize.read.frame import Results


def draw(results: Results, ax: Axes) -> Axes:
    """Draw the loss of every recipe, and up to where it may lie above the reference's.

    Args:
        results: of one subject and batch size.
        ax: drawn into, and returned.

    Raises:
        ValueError: several subjects or batch sizes.
    """
    curves.one_of_each(results)
    points = smoothed(first_steps(results))
    if points.empty:
        return bars.say(ax, "No loss of first steps was recorded, so there is nothing to draw.")
    curves.draw_curves(ax, points, theme.styles_of(results), enlarged=0.25)
    judged = verdicts_of(results)
    margins = [(v.reference, v.start.margin) for v in judged if v.start and v.start.margin > 0]
    if margins:
        reference, margin = margins[0]
        line = points[points["recipe"] == reference].groupby("x")["y"].mean()
        for place in (ax, *(child for child in ax.child_axes if isinstance(child, Axes))):
            limits = place.get_xlim(), place.get_ylim()
            place.plot(line.index, line + margin, color=theme.MUTED, linewidth=1.0, linestyle=":", label="_margin")
            place.fill_between(line.index, line, line + margin, color=theme.MUTED, alpha=0.25, linewidth=0)
            place.set(xlim=limits[0], ylim=limits[1])
    ax.set_xlabel("\n".join([results.label("step"), *(textwrap.fill(said, 76) for said in _verdicts(judged))]))
    ax.set_ylabel(results.label("loss"))
    return ax


def smoothed(steps: pd.DataFrame) -> pd.DataFrame:
    """Return columns recipe, x, y: the mean loss of each cell over the tenth of the steps that ends at each step."""
    losses = steps.groupby("cell_id", observed=True)["loss"]
    tail = tail_of(int(steps["step"].max())) if len(steps) else 1
    mean = losses.rolling(tail, min_periods=1).mean().reset_index(level=0, drop=True)
    return pd.DataFrame({"recipe": steps["recipe"].astype(str), "x": steps["step"], "y": mean.loc[steps.index]})


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    return "Training loss over the first steps. " + " ".join(f"{said}." for said in _verdicts(verdicts_of(results)))


def _verdicts(judged: list[Verdict]) -> list[str]:
    """Return what is told of each recipe."""
    return [f"{verdict.recipe}: {verdict.start}" for verdict in judged if verdict.start]


def _asked(results: Results) -> bool:
    """Whether the experiment asked for the start: the curves of whole trainings show theirs too."""
    return "start_steps" in results.cells and bool(results.cells["start_steps"].notna().any())


FIGURE = Figure(
    name="start",
    title="Start of the training",
    caption=(
        "Training loss over the first steps from the same weights on the same images, each point the mean over the "
        "tenth of the steps that ends there. Line: mean over seeds. Band: from the lowest to the highest seed. Grey: "
        "up to the margin above the reference, which is what another seed does to its loss; a recipe that ends above "
        "the dotted line by more than chance does harm."
    ),
    draw=draw,
    describe=describe,
    by_batch_size=True,
    shown=_asked,
    shared="y",
)
