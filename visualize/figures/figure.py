"""What a figure is: how it is drawn, described in words and divided into panels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the list of figures is read without the libraries that draw them
    from matplotlib.axes import Axes

    from ampbench.visualize.read.frame import Results


def always(_: Results) -> bool:
    """Return True: the page always has this figure, or a sentence in its place if nothing can be drawn."""
    return True


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A kind of figure. Each has a file of its own here that ends with `FIGURE = Figure(...)`."""

    name: str
    """Name of its picture: `figures/<name>.png` in a folder of results."""
    title: str
    """Heading on the page; " of " and the subject are added."""
    caption: str
    """What its lines, bars and colours mean."""
    draw: Callable[[Results, Axes], Axes]
    """Draw one panel into axes and return them; write a sentence into them if there is nothing to draw."""
    describe: Callable[[Results], str]
    """Return in words what one panel shows, for readers who cannot see it."""
    by_batch_size: bool = False
    """Whether each batch size has a panel of its own."""
    by_recipe: bool = False
    """Whether each recipe has a panel of its own."""
    shown: Callable[[Results], bool] = always
    """Return whether the page of these results shows the figure."""

    def panels(self, results: Results) -> dict[str, Results]:
        """Return title -> results for the panels of one subject's sheet."""
        (subject,) = results.subjects
        found = {subject: results}
        if self.by_batch_size:
            found = {f"{subject}, batch {size}": results.where(batch_size=size) for size in results.batch_sizes}
        if self.by_recipe:
            found = {f"{title}, {r}": own.where(recipe=r) for title, own in found.items() for r in own.recipes}
        return found
