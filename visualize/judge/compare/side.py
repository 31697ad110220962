"""A side of a comparison: the cells of a folder that were chosen by `key=value`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ampbench.visualize.judge.runs.pairs import positive
from ampbench.visualize.read.files import ResultsError
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.notes import reasons
from ampbench.visualize.read.tidy import REPLICATED
from ampbench.visualize.read.words import words_of


@dataclass(frozen=True, kw_only=True)
class Side:
    """A or B: some cells of a folder of results."""

    name: str
    results: Results
    conditions: tuple[str, ...]
    """The `key=value[,value…]` that chose them."""
    named: frozenset[str]
    """Settings that were named for this side only."""
    cells: pd.DataFrame
    """The chosen cells, without the excluded ones."""

    @property
    def ok(self) -> pd.DataFrame:
        """The cells that ran to their end."""
        return self.cells[self.cells["status"] == "ok"]

    @property
    def source(self) -> str:
        """The folder and what was chosen from it."""
        return " ".join([str(self.results.folder), *self.conditions])


def choose(name: str, results: Results, own: Sequence[str] = (), both: Sequence[str] = ()) -> Side:
    """Return the cells that meet every `key=value[,value…]` of `own` and of `both` sides.

    Raises:
        ResultsError: no `key=value`, an unknown key, a value that no cell has, or no cell left with a throughput.
    """
    cells = results.cells[results.cells["status"] != "excluded"]
    for condition in (*both, *own):
        key, equals, values = condition.partition("=")
        if not equals or not values:
            raise ResultsError(f"{condition}: write key=value, as in precision=bf16_amp or seed=0,1,2")
        if key not in results.settings:
            near = difflib.get_close_matches(key, results.settings, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(results.settings)}"
            raise ResultsError(f"{condition}: no setting is called {key}; {hint}")
        words = words_of(cells[key])
        known = list(dict.fromkeys(words))
        wanted = {values} if values in known else set(values.split(","))
        if unknown := sorted(wanted.difference(known)):
            raise ResultsError(
                f"{condition}: no cell chosen from {results.folder} has {key} {' or '.join(unknown)}; name one of "
                f"{', '.join(known)}"
            )
        cells = cells[words.isin(wanted)]
    named = frozenset(condition.partition("=")[0] for condition in own).difference(REPLICATED)
    side = Side(name=name, results=results, conditions=(*both, *own), named=named, cells=cells)
    if side.ok.empty:
        why = "; ".join(reasons(cells)) or "all are excluded"
        raise ResultsError(f"{name}: {side.source}: no cell ran to its end ({why}); fix that and run them with --again")
    if positive(side.ok["images_per_s"]).empty:
        raise ResultsError(f"{name}: {side.source}: no cell holds images/s above zero; run its experiment again")
    return side
