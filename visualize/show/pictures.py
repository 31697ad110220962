"""The figures of a report, each as a PNG and an SVG of one subject; `visualize/figures` lists them."""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ampbench.visualize import figures
from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.panels import chosen, spread
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.words import count

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawn

DPI = 150
COLOURS = 128
"""Of a PNG's palette: a figure has few, and a file with a palette is a third as large."""
MOST_SVG_BYTES = 2_000_000
"""A larger SVG is not kept: a viewer would take longer to open it than the PNG beside it says more."""
MOST_SUBJECTS = 4
"""Subjects with figures of their own; the figures of all subjects show the others too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A figure of the page."""

    stem: str
    """Name of its files, without the suffix."""
    title: str
    caption: str
    words: str
    """The figure in words, for readers who cannot see it."""
    note: str
    """Which panels are not drawn, and what draws them; empty if all are."""
    png: bytes
    svg: bytes
    """Empty if it would be too large."""
    key: bool
    """Whether it belongs beside the answer, and not only with all other figures."""

    @property
    def source(self) -> str:
        """A data URL that holds the picture."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


def draw(results: Results, tell: Callable[[str], None] = lambda _: None) -> list[Picture]:
    """Draw every figure for which there are results: those of all subjects once, the others for each subject.

    `tell` is called with a line before each.
    """
    theme.use()
    kinds = [figure for figure in _fitting(results) if figure.shown(results)]
    own = {subject: results.where(subject=subject) for subject in subjects_drawn(results)}
    taken: set[str] = set()
    suffixes = {subject: "" if len(results.subjects) == 1 else f"-{_stem(subject, taken)}" for subject in own}
    planned = []
    for figure in kinds:
        if figure.of_all:
            planned.append((figure, results, figure.name, figure.title))
            continue
        planned += [
            (figure, part, figure.name + suffixes[subject], f"{figure.title} of {subject}")
            for subject, part in own.items()
            if figure.shown(part)
        ]
    pictures = []
    for sheet in planned:
        tell(f"Drawing the page: figures {len(pictures)}/{len(planned)} …")
        pictures.append(_picture(*sheet))
    return pictures


def _fitting(results: Results) -> list[Figure]:
    """Return the figures for a search, or those for a matrix."""
    return [one for one in map(figures.load, figures.NAMES) if one.of_search == (results.search is not None)]


def subjects_drawn(results: Results) -> list[str]:
    """Return the subjects with figures of their own."""
    names = results.subjects
    return [names[i] for i in spread(len(names), MOST_SUBJECTS)]


def not_drawn(results: Results) -> list[str]:
    """Return what is not drawn and why, one sentence each, so that no page has empty figures."""
    found = []
    empty = [figure.title.lower() for figure in _fitting(results) if not figure.shown(results)]
    if empty:
        found.append(f"Not drawn, as these results hold nothing for it: {', '.join(empty)}.")
    further = [subject for subject in results.subjects if subject not in subjects_drawn(results)]
    if further and not results.search:
        some = ", ".join(further[:3]) + (", …" if len(further) > 3 else "")
        found.append(
            f"{count(len(further), 'further subject has', 'further subjects have')} no figures of their own here "
            f"({some}): python -m ampbench report DIR --only model=NAME{_or_machine(results)} draws them."
        )
    return found


def _or_machine(results: Results) -> str:
    return " or --only machine=NAME" if results.cells["measured_on"].ne("").any() else ""


def _picture(figure: Figure, results: Results, stem: str, title: str) -> Picture:
    """Draw one sheet."""
    from ampbench.visualize.figures.sheet.sheet import sheet

    panels = chosen(figure, results)
    fig = sheet(figure, panels, title)
    png, svg = _png(fig), _svg(fig)
    words = "; ".join(
        f"{name}: {figure.describe(own)}" if name else figure.describe(own) for name, own in panels.shown.items()
    )
    return Picture(
        stem=stem,
        title=title,
        caption=figure.caption,
        words=words,
        note=panels.note,
        png=png,
        svg=svg if len(svg) <= MOST_SVG_BYTES else b"",
        key=figure.key,
    )


def _png(fig: Drawn) -> bytes:
    """Return the figure as a PNG with a palette."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    fig.set_dpi(DPI)
    canvas = FigureCanvasAgg(fig)
    with _unknown_letters():
        canvas.draw()
    rgba = canvas.buffer_rgba()
    picture = Image.frombuffer("RGBA", canvas.get_width_height(physical=True), rgba, "raw", "RGBA", 0, 1).convert("RGB")
    out = io.BytesIO()
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(out, "PNG", optimize=True, dpi=(DPI, DPI))
    return out.getvalue()


def _svg(fig: Drawn) -> bytes:
    """Return the figure as an SVG; without a date, so that equal results give equal files."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    out = io.BytesIO()
    with _unknown_letters():
        FigureCanvasSVG(fig).print_svg(out, metadata={"Date": None})  # savefig would lay out and draw it once more
    return out.getvalue()


@contextlib.contextmanager
def _unknown_letters() -> Iterator[None]:
    """Draw a box for a letter that the font lacks, without a warning for each: names are also Chinese or Arabic."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def _stem(subject: str, taken: set[str]) -> str:
    """Return a unique part of a file name: subjects may differ only in characters that are left out of the name."""
    plain = re.sub(r"[^A-Za-z0-9_.]+", "_", subject)[:120]
    names = itertools.chain([plain], (f"{plain}_{i}" for i in itertools.count(2)))
    found = next(name for name in names if name.lower() not in taken)
    taken.add(found.lower())
    return found
