"""The panels that a sheet shows: those with a finished cell, and of many some that stand for all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.read.frame import Results


@dataclass(frozen=True, kw_only=True, slots=True)
class Panels:
    """The panels of one sheet."""

    shown: dict[str, Results]
    """Title -> results."""
    further: tuple[str, ...]
    """Titles of the panels that are not drawn, for want of room."""

    @property
    def note(self) -> str:
        """Which panels are not drawn, and the command that draws them; empty if all are."""
        if not self.further:
            return ""
        some = "; ".join(self.further[:3]) + ("; …" if len(self.further) > 3 else "")
        return (
            f"{len(self.further)} further panels ({some}) are drawn by python -m ampbench report DIR --only "
            "batch_size=… or --only precision=…"
        )


def chosen(figure: Figure, results: Results) -> Panels:
    """Choose the panels of a sheet of one subject, or of all if the figure is of all."""
    every = figure.panels(results)
    finished = {title: own for title, own in every.items() if len(own.ok) and figure.shown(own)} or every
    titles = list(finished)
    kept = [titles[i] for i in spread(len(titles), figure.most_panels)]
    return Panels(
        shown={title: finished[title] for title in kept},
        further=tuple(title for title in titles if title not in kept),
    )


def spread(count: int, most: int) -> list[int]:
    """Return at most `most` of the places 0 … count - 1, evenly spread, with the first and the last."""
    if count <= most:
        return list(range(count))
    return sorted({round(float(place)) for place in np.linspace(0, count - 1, most)})
