"""What a figure is: how it is drawn, described in words and divided into panels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # the list of figures is read without the libraries that draw them
    from matplotlib.axes import Axes

    from ampbench.visualize.read.frame import Results


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
    shown: Callable[[Results], bool]
    """Return whether these results hold what the figure draws; cheap, as every figure is asked."""
    by_batch_size: bool = False
    """Whether each batch size has a panel of its own."""
    by_recipe: bool = False
    """Whether each recipe has a panel of its own."""
    of_all: bool = False
    """Whether one picture shows all subjects, and not one picture each subject."""
    of_search: bool = False
    """Whether it shows the trials of a search; a folder of one has no other figures, and no other folder has these."""
    key: bool = False
    """Whether the page shows it beside its answer, and not only with all other figures."""
    shared: Literal["", "x", "y", "both"] = ""
    """Axes whose limits are equal in all panels, so that panels can be compared."""
    height_in: Callable[[Results], float] = lambda _: 2.6
    """Return the height of a panel's axes, in inches; their width is that of the sheet, or half of it."""
    wide: bool = True
    """Whether a panel takes the width of the sheet; else two are side by side."""
    most_panels: int = 3
    """Of more panels the sheet shows representative ones, and says how to draw the others."""

    def panels(self, results: Results) -> dict[str, Results]:
        """Return title -> results for the panels of one sheet: of one subject, or of all if the figure is `of_all`."""
        if self.of_all:
            return {"": results}
        (subject,) = results.subjects
        found = {subject: results}
        if self.by_batch_size:
            found = {f"{subject}, batch {size}": results.where(batch_size=size) for size in results.batch_sizes}
        if self.by_recipe:
            found = {f"{title}, {r}": own.where(recipe=r) for title, own in found.items() for r in own.recipes}
        return found
