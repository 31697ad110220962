"""What a notebook needs of a folder of results, in a line each: `answer`, `cells` and `figure`.

`figure(results, "throughput")` shows a figure of every subject; a single panel in axes of one's own is drawn by
`figures.load("throughput").draw(results.where(subject=...), ax)`.
"""

from __future__ import annotations

import pandas as pd

from ampbench.visualize import figures
from ampbench.visualize.figures import theme
from ampbench.visualize.judge.answer.answer import answers
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.verdict.verdict import verdicts_of
from ampbench.visualize.read.frame import Results, read
from ampbench.visualize.read.notes import provenance
from ampbench.visualize.show.pictures import subjects_drawn
from ampbench.visualize.show.summary import frame_of

__all__ = ["answer", "cells", "figure", "read"]


def answer(results: Results) -> str:
    """Return what to do with each subject, what it rests on, and on which machine it was measured."""
    found = answers(results, standings(results, verdicts_of(results)))
    said = [words for one in found for words in (one.headline, *(f"  {line.text}" for line in one.lines))]
    return "\n".join([*said, f"{provenance(results.cells)}."])


def cells(results: Results) -> pd.DataFrame:
    """Return a row for each subject, batch size and recipe, with its measurements and verdicts."""
    return frame_of(standings(results, verdicts_of(results)))


def figure(results: Results, name: str) -> None:
    """Show a figure of every subject, or of all at once; say so in one line where these results hold nothing for it.

    Args:
        results: of any number of subjects.
        name: one of `figures.NAMES`.
    """
    import matplotlib.pyplot as plt

    from ampbench.visualize.figures.panels import chosen
    from ampbench.visualize.figures.sheet.sheet import sheet

    theme.use()
    kind = figures.load(name)
    parts = [results] if kind.of_all else [results.where(subject=subject) for subject in subjects_drawn(results)]
    shown = [part for part in parts if kind.shown(part)]
    if not shown:
        print(f"{kind.title}: these results hold nothing for it.")
    for part in shown:
        title = kind.title if kind.of_all else f"{kind.title} of {part.subjects[0]}"
        sheet(kind, chosen(kind, part), title, plt.figure())
    plt.show()
