"""What a figure is: drawn into axes, told in words, and with so many panels on a sheet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the list of figures is read without the libraries that draw them
    from matplotlib.axes import Axes

    from ampbench.visualize.read.frame import Results


def always(_: Results) -> bool:
    """Return that the page has the figure; what could not be drawn is said there in a sentence."""
    return True


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A kind of figure. Each has a file of its own here that ends with `FIGURE = Figure(...)`."""

    name: str
    """Of its picture: `figures/<name>.png` in a folder of results."""
    title: str
    """Above it on the page; " of " and the subject follow."""
    caption: str
    """What its lines, bars and colours mean."""
    draw: Callable[[Results, Axes], Axes]
    """Draw one panel into axes and return them; say a sentence in them where there is nothing to draw."""
    describe: Callable[[Results], str]
    """Return what one panel shows, for those who do not see it."""
    by_batch_size: bool = False
    """Whether a panel is of one batch size."""
    by_recipe: bool = False
    """Whether a panel is of one recipe."""
    shown: Callable[[Results], bool] = always
    """Return whether the page of these results has it."""

    def panels(self, results: Results) -> dict[str, Results]:
        """Return title -> results for the panels of one subject's sheet."""
        (subject,) = results.subjects
        found = {subject: results}
        if self.by_batch_size:
            found = {f"{subject}, batch {size}": results.where(batch_size=size) for size in results.batch_sizes}
        if self.by_recipe:
            found = {f"{title}, {r}": own.where(recipe=r) for title, own in found.items() for r in own.recipes}
        return found
