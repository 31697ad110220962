"""The figures of a report, each as a PNG of one subject; `visualize/figures` lists them."""

from __future__ import annotations

import base64
import io
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass

from ampbench.visualize import figures
from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.read.frame import Results

DPI = 150


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A figure of the page; if there was nothing to draw, `png` is empty and `words` say why."""

    stem: str
    title: str
    caption: str
    words: str
    """The figure in words, for readers who cannot see it."""
    png: bytes

    @property
    def source(self) -> str:
        """A data URL that holds the picture."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


def draw(results: Results, tell: Callable[[str], None] = lambda _: None) -> list[Picture]:
    """Draw every figure of every subject; `tell` is called with a line before each."""
    theme.use()
    kinds = [figure for figure in map(figures.load, figures.NAMES) if figure.shown(results)]
    pictures: list[Picture] = []
    taken: set[str] = set()
    for subject in results.subjects:
        own = results.where(subject=subject)
        suffix = "" if len(results.subjects) == 1 else f"-{_stem(subject, taken)}"
        for figure in kinds:
            tell(f"Drawing the page: figures {len(pictures)}/{len(kinds) * len(results.subjects)} …")
            pictures.append(_picture(figure, own, figure.name + suffix))
    return pictures


def _picture(figure: Figure, results: Results, stem: str) -> Picture:
    """Draw a figure of one subject; a panel without a finished cell is left out, unless none has any."""
    import matplotlib.pyplot as plt

    from ampbench.visualize.figures.sheet import sheet

    panels = figure.panels(results)
    drawn = {title: panel for title, panel in panels.items() if len(panel.ok)}
    fig = sheet(figure.draw, drawn or panels)
    out = io.BytesIO()
    if any(ax.axison for ax in fig.axes):
        fig.savefig(out, dpi=DPI)
        words = "; ".join(f"{title}: {figure.describe(panel)}" for title, panel in panels.items())
    else:
        words = next((ax.texts[0].get_text() for ax in fig.axes if ax.texts), "")
    plt.close(fig)
    (subject,) = results.subjects
    title = f"{figure.title} of {subject}"
    return Picture(stem=stem, title=title, caption=figure.caption, words=words, png=out.getvalue())


def _stem(subject: str, taken: set[str]) -> str:
    """Return a unique part of a file name: subjects may differ only in characters that are left out of the name."""
    plain = re.sub(r"[^A-Za-z0-9_.]+", "_", subject)[:120]
    names = itertools.chain([plain], (f"{plain}_{i}" for i in itertools.count(2)))
    found = next(name for name in names if name.lower() not in taken)
    taken.add(found.lower())
    return found
