"""From a folder of results to tidy frames.

    results = read("results/quickstart")
    results.cells      one row per cell, of any status
    results.epochs     one row per epoch, with subject, recipe, batch_size, seed and status of its cell
    results.steps      one row per step, the same; read when first used, as are results.blocks, layers and exponents

`tidy` describes the columns that are added to the stored ones.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ampbench.schema.files import CELLS
from ampbench.schema.search import SearchRecord, read_search
from ampbench.schema.version import METHOD_VERSION
from ampbench.visualize.read import environments
from ampbench.visualize.read.files import NO_CELLS, TAKEN_AWAY, ResultsError, missing, read_labels, read_table, to_frame
from ampbench.visualize.read.plan import OwnBatches, Plan, read_plan
from ampbench.visualize.read.recipes import in_order
from ampbench.visualize.read.selection import selected
from ampbench.visualize.read.tidy import settings, tidy

OF_NO_MACHINE = ("test_accuracy", "test_loss")
"""Objectives of a search by which trials of several machines can be ranked."""
PLACES = ("machine", "host", "board")
"""Columns that say where a cell ran, by which cells can be selected too."""
JOINED = ("subject", "recipe", "batch_size", "seed", "status")
"""Columns of a cell that are added to the rows of its epochs, steps and blocks."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """The results of one experiment, or of some of its cells."""

    folder: Path
    plan: Plan
    cells: pd.DataFrame
    labels: dict[str, tuple[str, str]]
    """Column -> label and unit, from the files' own metadata."""
    settings: tuple[str, ...]
    """Columns that say what a cell was asked to do."""
    known_ids: frozenset[str] = dataclasses.field(repr=False)
    """Of all cells of the folder."""
    load: Callable[[str], pd.DataFrame] = dataclasses.field(repr=False)
    """Table -> its rows for all cells of the folder; each table is read once."""
    whole: pd.DataFrame = dataclasses.field(repr=False)
    """All cells that were read: `where` leaves them as they are, so that a part is judged as a part of them."""
    judged: dict[float, Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)
    """Margin -> verdicts on the whole, once they were asked for; shared by all parts."""

    @property
    def question(self) -> str:
        """The question in the experiment file; empty if unknown."""
        return self.plan.question

    @property
    def own_batches(self) -> OwnBatches | None:
        """How each recipe got its batch size; None on several machines: the trials were on one of them."""
        return None if self.whole["measured_on"].ne("").any() else self.plan.own_batches

    @functools.cached_property
    def search(self) -> SearchRecord | None:
        """What the search proposed whose trials these cells are; None where a person listed the cells."""
        record = read_search(self.folder)
        cells = {cell_id for trial in record.trials for cell_id in (trial.cell_id, *trial.reruns)} if record else set()
        return record if self.known_ids and self.known_ids <= cells else None

    @functools.cached_property
    def epochs(self) -> pd.DataFrame:
        """One row per epoch."""
        return self.rows_of("epochs")

    @functools.cached_property
    def steps(self) -> pd.DataFrame:
        """One row per step."""
        return self.rows_of("steps")

    @functools.cached_property
    def blocks(self) -> pd.DataFrame:
        """One row per block of timed steps."""
        return self.rows_of("blocks")

    @functools.cached_property
    def layers(self) -> pd.DataFrame:
        """One row per sample, layer and quantity of the numerics probe."""
        return self.rows_of("layers")

    @functools.cached_property
    def exponents(self) -> pd.DataFrame:
        """One row per sample, layer and exponent."""
        return self.rows_of("exponents")

    @functools.cached_property
    def board(self) -> pd.DataFrame:
        """One row per sample of the board; none on a CPU."""
        return self.rows_of("board")

    @functools.cached_property
    def missing(self) -> list[str]:
        """What is missing in the tables, one sentence each."""
        expected = [*["steps", "blocks"] * (len(self.ok) > 0), *["epochs"] * bool((self.ok["epochs"] > 0).any())]
        return missing(self.folder, self.known_ids, expected)

    def of_one_cell_each(self, table: str) -> pd.DataFrame:
        """Return the rows of a table that belong to the first finished cell of each recipe."""
        rows = self.rows_of(table)
        return rows[rows["cell_id"].isin(self._first_of_each)]

    @functools.cached_property
    def _first_of_each(self) -> pd.Series:
        """The ids of those cells; figures ask again and again."""
        return self.ok.sort_values(["batch_size", "seed", "round"]).drop_duplicates("recipe")["cell_id"]

    @functools.cached_property
    def ok(self) -> pd.DataFrame:
        """The cells that ran to their end."""
        return self.cells[self.cells["status"] == "ok"]

    @property
    def subjects(self) -> list[str]:
        """What was trained, in the order of the plan."""
        return list(dict.fromkeys(self.cells["subject"]))

    @property
    def batch_sizes(self) -> list[int]:
        """Ascending."""
        return sorted(int(size) for size in self.cells["batch_size"].unique())

    @property
    def recipes(self) -> list[str]:
        """In the order of every table and legend."""
        return in_order(self.cells["recipe"])

    def where(self, **conditions: Any) -> Results:
        """Return the results of the cells with these values, as in `where(subject="VGG19", batch_size=128)`."""
        here = pd.Series(True, self.cells.index)  # one slice: each one of a wide frame costs more than what is asked
        for name, value in conditions.items():
            here &= self.cells[name] == value
        return dataclasses.replace(self, cells=self.cells[here])

    def label(self, name: str, unit: str | None = None) -> str:
        """Return an axis label such as `throughput (images/s)`; `unit` replaces the stored unit if it is given."""
        label, stored = self.labels.get(name, (name, ""))
        unit = stored if unit is None else unit
        return f"{label} ({unit})" if unit else label

    def rows_of(self, table: str) -> pd.DataFrame:
        """Return the rows of a table that belong to these cells, with the columns of `JOINED`."""
        rows = self.load(table)
        known = pd.Index(self.cells["cell_id"])
        place = known.get_indexer(rows["cell_id"].cat.categories)[rows["cell_id"].cat.codes]
        if (place < 0).any():
            rows, place = rows[place >= 0], place[place >= 0]
        added: dict[str, Any] = {name: self.cells[name].astype("category").array.take(place) for name in JOINED}
        joined: pd.DataFrame = rows.assign(**added)
        return joined


def read(folder: Path | str, *, mixed: bool = False, only: Sequence[str] = ()) -> Results:
    """Read `results/<experiment>/`.

    Args:
        folder: with `cells.parquet`, and the other tables and `plan.json` where there are any.
        mixed: allow a group of cells that ran on several machines or versions; they are still never paired. Groups that
            are whole on one machine each, as a cluster leaves them, need no leave.
        only: conditions `column=value,…` on the settings of cells; the other cells are left out.

    Raises:
        ResultsError: the folder or a file is missing, damaged or not ours, or holds rows that must not be compared.
    """
    folder = Path(folder)
    if not os.path.isdir(folder):  # noqa: PTH112  # no name is too long for it
        raise ResultsError(f"{folder}: no such folder; name one below results/, as in results/demo")
    if not (folder / CELLS).exists():
        raise ResultsError(f"{folder}: holds no cells.parquet; run python bench/run_matrix.py on its experiment first")
    everything = read_table(folder, "cells")
    places = [name for name in PLACES if name in everything.schema.names]
    table = selected(everything, only, [*settings(everything.schema), *places, "status", "cell_id"])
    wanted = [name for name in environments.NEEDED if name in everything.schema.names]
    _check(table.select(wanted).to_pandas(), folder, mixed)
    plan = read_plan(folder)
    cells = tidy(table, environments.environments_of(everything.select(wanted).to_pandas()))
    return Results(
        folder=folder,
        plan=plan.of(set(table["cell_id"].to_pylist())) if only else plan,
        cells=cells,
        whole=cells,
        labels=read_labels(folder),
        settings=tuple(settings(table.schema)),
        known_ids=frozenset(everything["cell_id"].to_pylist()),
        load=functools.cache(lambda name: to_frame(read_table(folder, name))),
    )


def _check(cells: pd.DataFrame, folder: Path, mixed: bool) -> None:
    if cells.empty:
        raise ResultsError(f"{folder / CELLS}: {NO_CELLS if (folder / CELLS).exists() else TAKEN_AWAY}")
    if cells["cell_id"].duplicated().any():
        raise ResultsError(f"{folder / CELLS}: holds a cell twice; run the experiment again to rejoin it")
    newest = cells["method_version"].max()
    if newest > METHOD_VERSION:
        raise ResultsError(
            f"{folder / CELLS}: numbers were measured by method {newest:.0f}, and this ampbench knows methods up to "
            f"{METHOD_VERSION}; update ampbench to read it"
        )
    what, together = _together(cells, folder)
    spread = environments.apart(together)
    if spread and not mixed:
        names = environments.names_of(cells[cells["environment_id"].isin(spread)])
        raise ResultsError(
            f"{folder}: {what} come from {len(spread)} environments "
            f"({'; '.join(names.values())}), so their speeds cannot be compared; use --mixed (mixed=True) to show them "
            "side by side anyway"
        )


def of_matrix(results: Results) -> Results:
    """Return the results of a matrix, whose cells can be compared recipe by recipe.

    Raises:
        ResultsError: they are the trials of a search.
    """
    if results.search is None:
        return results
    raise ResultsError(
        f"{results.folder}: holds the trials of a search, which differ in more than the precision, so recipes are not "
        f"compared; its answer: python -m ampbench report {shlex.quote(str(results.folder))}, its trials: "
        "export --table trials"
    )


def _together(cells: pd.DataFrame, folder: Path) -> tuple[str, pd.DataFrame]:
    """Return what is compared, in words, and the cells, the trials of a search for what a machine does as one group."""
    record = read_search(folder)
    if record is None or record.objective in OF_NO_MACHINE:
        return "cells that differ only in the precision", cells
    trials = {cell_id for trial in record.trials for cell_id in (trial.cell_id, *trial.reruns)}
    of_search = cells["group_id"].where(~cells["cell_id"].isin(trials), "the search")
    return f"trials that are ranked by {record.objective}", cells.assign(group_id=of_search)
