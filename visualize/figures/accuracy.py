"""Test accuracy by epoch: one colour per recipe, with a band from the worst to the best seed."""

from __future__ import annotations

from matplotlib.axes import Axes

from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared import bars, curves
from ampbench.visualize.read.frame import Results


def draw(results: Results, ax: Axes) -> Axes:
    """Draw test accuracy in percent by epoch.

    Args:
        results: of one subject and batch size.
        ax: drawn into, and returned.

    Raises:
        ValueError: several subjects or batch sizes.
    """
    ids = curves.trained(results)
    rows = results.epochs[results.epochs["cell_id"].isin(ids)].dropna(subset=["test_accuracy"])
    if rows.empty:
        reason = "no training finished" if (results.cells["epochs"] > 0).any() else "epochs = 0 measures only speed"
        return bars.say(ax, f"No test accuracy: {reason}.")
    points = rows.assign(x=rows["epoch"], y=100 * rows["test_accuracy"])
    end = curves.share_at_the_end(points["x"].max())
    curves.draw_curves(ax, points, theme.styles_of(results), enlarged=end)
    ax.set_xlabel(curves.x_label(results, results.label("epoch")))
    ax.set_ylabel(results.label("test_accuracy", "%"))
    return ax


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    ok = results.ok[results.ok["epochs"] > 0]
    final = ok.groupby("recipe", observed=True)["test_accuracy"].mean().dropna()
    ends = ", ".join(f"{recipe} {100 * value:.2f}" for recipe, value in final.items())
    return f"Test accuracy by epoch. At the end, in percent: {ends}. {curves.left_out(results)}".strip()


def shown(results: Results) -> bool:
    """Return whether any finished training was evaluated, and not of a lone recipe, whose batch sizes share axes."""
    trained = results.ok[results.ok["epochs"] > 0]
    return bool(trained["test_accuracy"].notna().any()) and not curves.only_batch_sizes(trained)


FIGURE = Figure(
    name="accuracy",
    title="Accuracy",
    caption=(
        "Line: mean over seeds. Band: from the lowest to the highest seed. Inset: the last 20 epochs, or the last "
        "quarter of a shorter training, near the values where most recipes end. Runs that did not finish are left out "
        "and named."
    ),
    draw=draw,
    describe=describe,
    shown=shown,
    by_batch_size=True,
    shared="y",
)
