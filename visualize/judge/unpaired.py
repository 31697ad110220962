"""Processes without a partner: what they are, and whether they tell another story than the pairs do."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.visualize.read.words import count


@dataclass(frozen=True, kw_only=True, slots=True)
class Unpaired:
    """The processes of two recipes that ran to their end and form no pair, so that no ratio contains them."""

    recipe: str
    reference: str
    num_recipe: int
    """Processes of the recipe without a partner."""
    num_reference: int
    """Processes of the reference without a partner."""
    because: str
    """Why they have none, as in `the reference did not run with their seed or round`."""
    differs: tuple[str, ...] = ()
    """In what the unpaired processes of a recipe lie outside the spread of its paired ones, in words; empty if they
    agree. Where it is not empty, no advice may rest on the pairs alone."""

    def __str__(self) -> str:
        parts = [
            f"{count(n, 'process', 'processes')} of {name}"
            for n, name in ((self.num_recipe, self.recipe), (self.num_reference, self.reference))
            if n
        ]
        verb = "has" if self.num_recipe + self.num_reference == 1 else "have"
        said = f"{' and '.join(parts)} {verb} no partner, because {self.because}"
        return said + (f"; {' and '.join(self.differs)}" if self.differs else "")
