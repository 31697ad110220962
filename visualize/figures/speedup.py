"""The speed-up of every recipe over the reference as a map: a line for each subject and batch size, a recipe a column.

It replaces panels where there are too many bars to be read.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.panels import spread
from ampbench.visualize.figures.shared import bars
from ampbench.visualize.judge.verdict.draft import reference_of
from ampbench.visualize.judge.verdict.judged import Judged, judged
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.words import count

MOST_LINES = 32
"""Of more pairs of subject and batch size some stand for all."""
MOST_NAME = 26
"""Characters of a subject's name beside the map."""
COLOURS = "PuOr"
"""Orange is slower, violet is faster; both ends are told apart with any colour vision."""


def draw(results: Results, ax: Axes) -> Axes:
    """Draw the speed-ups, each as a number on a colour: white at 1, the same factor up and down equally far from it.

    Args:
        results: of any number of subjects.
        ax: drawn into, and returned.
    """
    if not shown(results):
        return bars.say(ax, "No recipe has a pair with the reference, so there is no speed-up to draw.")
    import matplotlib as mpl

    every, verdicts = lines(results), judged(results)
    kept = [every[i] for i in spread(len(every), MOST_LINES)]
    recipes, cells = results.recipes, dict(iter(results.cells.groupby(["subject", "batch_size"])))
    words = [[_words(verdicts, *line, recipe, cells[line]) for recipe in recipes] for line in kept]
    logs = np.array([[_log(verdicts, *line, recipe) for recipe in recipes] for line in kept])
    most = max(math.log(1.25), float(np.nanmax(np.abs(logs))))
    colours = mpl.colormaps[COLOURS].with_extremes(bad="#ffffff")
    normed = 0.5 + 0.5 * 0.85 * logs / most  # the ends of the map are too dark to see differences
    ax.imshow(np.ma.masked_invalid(normed), cmap=colours, vmin=0, vmax=1, aspect="auto")
    for i, j in np.ndindex(logs.shape):
        text, known = words[i][j], not math.isnan(logs[i, j])
        ink = theme.ink_on(colours(float(normed[i, j]))) if known else theme.MUTED
        size = theme.SMALL if len(recipes) <= 7 or known else theme.SMALL - 1.5
        ax.text(
            j, i, text, ha="center", va="center", color=ink, fontsize=size, style="normal" if known else "italic",
            fontweight="bold" if known and not text.endswith("?") else "normal",
        )  # fmt: skip
    ax.set_xticks(
        range(len(recipes)),
        recipes,
        rotation=35 if len(recipes) > 4 else 0,
        ha="right" if len(recipes) > 4 else "center",
    )
    ax.set_yticks(range(len(kept)), [_name(results, *line) for line in kept])
    ax.grid(visible=False)
    ax.tick_params(length=0, labelsize=theme.SMALL)
    for spine in ax.spines.values():
        spine.set_visible(False)
    for edge in np.arange(0.5, len(kept)):
        ax.axhline(float(edge), color="white", linewidth=1.5)
    for edge in np.arange(0.5, len(recipes)):
        ax.axvline(float(edge), color="white", linewidth=1.5)
    if len(kept) < len(every):
        ax.set_xlabel(f"{count(len(every) - len(kept), 'further line is', 'further lines are')} in the table")
    return ax


def lines(results: Results) -> list[tuple[str, int]]:
    """Return subject and batch size of every line, in the order of the table."""
    own = results.cells[["subject", "batch_size"]].drop_duplicates()
    place = {subject: i for i, subject in enumerate(results.subjects)}
    return sorted(
        ((str(s), int(b)) for s, b in own.itertuples(index=False)), key=lambda line: (place[line[0]], line[1])
    )


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    parts, verdicts = [], judged(results)
    for subject, size in lines(results)[:MOST_LINES]:
        own = [(r, verdicts.get((subject, size, r))) for r in results.recipes]
        said = ", ".join(f"{r} {bars.times(v.speed)}" for r, v in own if v and v.speed.n)
        if said:
            parts.append(f"{subject} at batch {size}: {said}")
    return "Map of the speed-ups over the reference. " + "; ".join(parts)


def shown(results: Results) -> bool:
    """Return whether there are several lines, with a speed-up in one of them at least: bars show a single line."""
    several = len(results.cells[["subject", "batch_size"]].drop_duplicates()) > 1
    verdicts = judged(results) if several else {}
    return several and any(
        not math.isnan(_log(verdicts, *line, recipe)) for line in lines(results) for recipe in results.recipes
    )


def height_in(results: Results) -> float:
    """Return the height of the map."""
    return 0.27 * min(MOST_LINES, len(lines(results)))


def _log(verdicts: Judged, subject: str, size: int, recipe: str) -> float:
    verdict = verdicts.get((subject, size, recipe))
    known = verdict is not None and verdict.speed.n and verdict.speed.estimate > 0
    return math.log(verdict.speed.estimate) if known and verdict else math.nan


def _words(verdicts: Judged, subject: str, size: int, recipe: str, cells: pd.DataFrame) -> str:
    verdict = verdicts.get((subject, size, recipe))
    if verdict and verdict.speed.n:
        return bars.times(verdict.speed).replace("×", "")
    own = cells[cells["recipe"] == recipe]
    if own.empty:
        return ""
    if recipe == reference_of(cells[cells["status"] == "ok"]):
        return "1"
    status = str(own["status"].mode().iloc[0])
    return "no pair" if status == "ok" else status


def _name(results: Results, subject: str, size: int) -> str:
    if len(results.subjects) == 1:
        return f"batch {size}"
    half = MOST_NAME // 2  # subjects of several machines differ at their end
    short = subject if len(subject) <= MOST_NAME else f"{subject[: half - 1]}…{subject[-half:]}"
    return f"{short}, {size}"


FIGURE = Figure(
    name="speedup",
    title="Speed-up over the reference",
    caption=(
        "Number: speed over that of the reference, which is 1, as in the table; bold where it is told, with a question "
        "mark where it can't be told from 1. Violet is faster, orange slower. A word says why there is no number."
    ),
    draw=draw,
    describe=describe,
    shown=shown,
    of_all=True,
    height_in=height_in,
    key=True,
)
