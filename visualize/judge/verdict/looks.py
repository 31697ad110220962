"""At which numbers of pairs a question was asked: whoever looks more often finds more, also in noise.

To add a round at a time until something is told gave 10 % false advice in pure noise instead of 2.5 %. So the looks at
one comparison share its alpha (Bonferroni): with the k-th number of pairs at which it is judged, its part is divided by
k. The report writes the numbers into the folder; to judge an unchanged folder again is no new look.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ampbench.schema.files import LOOKS
from ampbench.schema.partial import partial_of
from ampbench.visualize.stats.family import ALONE_LOOKS

IN_ENVIRONMENT = " in environment "
"""In the line of a comparison, before the id of its environment, where a folder has several."""
FEWEST = 2
"""Pairs from which a question can be answered, so that asking it is a look."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Looks:
    """The numbers of pairs at which each comparison was judged."""

    taken: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """Comparison, as one line -> numbers of pairs."""
    are_planned: bool = False
    """Whether there were to be several from the start, as with adaptive rounds."""

    def num(self, comparison: str, n: int) -> int:
        """Return among how many looks a comparison with n pairs shares its alpha, this one included."""
        return max(len(self._with(comparison, n)), 1)

    def and_these(self, comparisons: Iterable[tuple[str, int]]) -> Looks:
        """Return the looks with further ones: comparison and number of pairs."""
        further = {comparison: self._with(comparison, n) for comparison, n in comparisons if n >= FEWEST}
        return replace(self, taken={**self.taken, **further})

    def shares(self, nums: Sequence[int]) -> list[float]:
        """Return what the alpha of each comparison of a family is divided by, from `num` of each."""
        return (
            [num + ALONE_LOOKS for num in nums] if self.are_planned and len(nums) == 1 else [float(num) for num in nums]
        )

    def _with(self, comparison: str, n: int) -> frozenset[int]:
        # Before a further machine joined the folder, the same comparison was asked without the name of one.
        alone = re.sub(f"{IN_ENVIRONMENT}[^,]*", "", comparison)
        before = self.taken.get(comparison, frozenset()) | self.taken.get(alone, frozenset())
        return before | ({n} if n >= FEWEST else set())


def read_looks(folder: Path) -> Looks:
    """Return the looks that were taken at a folder of results; none if its file is missing or damaged."""
    try:
        said = json.loads((folder / LOOKS).read_text(encoding="utf-8"))
        return Looks(taken={str(name): frozenset(int(n) for n in ns) for name, ns in said.items()})
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return Looks()


def write_looks(folder: Path, looks: Looks) -> None:
    """Write the looks into a folder of results, completely or not at all; a folder that is read-only keeps none."""
    path = folder / LOOKS
    text = json.dumps({name: sorted(ns) for name, ns in sorted(looks.taken.items())}, indent=1) + "\n"
    partial = partial_of(path)
    with suppress(OSError):
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
