"""Short timings of single cells, each in a fresh process, kept as an experiment of their own.

A search that wants to know something writes the cells into an experiment file, `NAME.toml` in its folder, and sweeps
those that have no record yet. So its evidence stays, every trial can be run again by hand, and a search that was killed
finds what it knew.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ampbench.bench.launch.options import Options
from ampbench.bench.launch.sweep import sweep
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import Experiment, parse_experiment, read_experiment
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.plan.model_args import as_arguments
from ampbench.bench.plan.protocol import Budget
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.plan.step_memory import IRRELEVANT_FIELDS
from ampbench.bench.store.atomic import write_text
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import recorded_rows
from ampbench.schema.statuses import Status
from ampbench.schema.toml_values import key_of, value_of

MEASURE = {"target_ci": 0.02, "block_ms": 100.0, "max_warmup_s": 2.0, "max_timing_s": 1.5, "passes": []}
"""A trial orders sizes that differ by more than its noise; who compares recipes times them longer."""

PEAKS = ("startup_peak_bytes", "steady_peak_bytes", "peak_reserved_bytes")
COLUMNS = ("status", "because", "images_per_s", *PEAKS, "num_train_images", "cell_s")

MENDABLE: tuple[Status, ...] = ("failed", "crashed")
"""Endings by an error: they are tried again by the next call. What took too long would take as long again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """How a trial ended."""

    cell: Cell
    status: Status
    because: str | None
    images_per_s: float | None
    peak_bytes: int | None
    """The most that its process took, by the instrument of its record; reserved memory on a GPU."""
    num_train_images: int | None
    cell_s: float | None

    @property
    def fits(self) -> bool:
        """Whether steps of this size were taken; a training that diverges, or is throttled, does take them."""
        return self.status in ("ok", "diverged", "throttled")

    @property
    def is_out_of_memory(self) -> bool:
        """Whether memory ran out: by torch's word, or by the kernel's, which kills without one."""
        return self.status == "oom" or (self.status == "crashed" and "killed by SIGKILL" in str(self.because))

    @property
    def is_mendable(self) -> bool:
        """Whether it ended by an error that a person may mend."""
        return self.status in MENDABLE and not self.is_out_of_memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Trials:
    """The experiment of a search: `NAME.toml` in `folder`, its results in the folder beside it."""

    folder: Path
    name: str
    question: str
    budget: Budget
    options: Options
    """Where cells run; the rest of it is this experiment's own."""
    console: Console

    @property
    def file(self) -> Path:
        """The experiment file."""
        return self.folder / f"{self.name}.toml"

    @property
    def command(self) -> str:
        """What runs all trials again, by hand."""
        file, folder = shlex.quote(str(self.file)), shlex.quote(str(self.folder))
        return f"python bench/run_matrix.py {file} --results {folder}"

    def earlier(self) -> Experiment | None:
        """Return the experiment as it was written before; None if there is none that can be read."""
        try:
            return read_experiment(self.file)
        except RequestError:
            return None

    def known(self) -> tuple[Trial, ...]:
        """Return all that was tried so far, but what failed: its cause may have been mended since."""
        before = self.earlier()
        if before is None:
            return ()
        return tuple(trial for trial in self._recorded(make_plan(before).cells) if not trial.is_mendable)

    def run(self, cells: Sequence[Cell], known: Sequence[Trial]) -> tuple[Trial, ...]:
        """Run cells that have no record yet.

        Args:
            cells: to be tried.
            known: what was tried before; it stays in the experiment file.

        Returns:
            `known` and the new trials.

        Raises:
            RequestError: they cannot be run here.
            KeyboardInterrupt: what is finished is kept.
        """
        planned = {cell.cell_id: cell for cell in (*(trial.cell for trial in known), *cells)}
        text = text_of(self.question, list(planned.values()), self.budget)
        plan = make_plan(parse_experiment(self.file, text))
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.file, text)
        ids = {cell.cell_id for cell in cells}
        chosen = tuple(cell for cell in plan.cells if cell.cell_id in ids)
        own = replace(self.options, results=self.folder, report=False, again=MENDABLE, sinks=(), accumulate=False)
        if sweep(plan, chosen, own, self.console):
            raise KeyboardInterrupt
        return (*known, *self._recorded(chosen))

    def _recorded(self, cells: Sequence[Cell]) -> tuple[Trial, ...]:
        planned = {cell.cell_id: cell for cell in cells}
        folder = Folder(path=(self.folder / self.name).absolute())
        rows = recorded_rows(folder, cells, list(COLUMNS))
        return tuple(_trial(planned[cell_id], row) for cell_id, row in rows.items())


def as_trial(cell: Cell, batch_size: int) -> Cell:
    """Return the cell that times a step of another cell at a batch size; what changes no step is at its default."""
    defaults: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(Cell) if f.name in IRRELEVANT_FIELDS}
    return replace(cell, batch_size=batch_size, **{**defaults, "learning_rate": cell.learning_rate})


def text_of(question: str, cells: Sequence[Cell], budget: Budget, measure: Mapping[str, Any] = MEASURE) -> str:
    """Return the text of an experiment file of exactly these cells, all of them timings, with a table `[measure]`."""
    tables = [_fields(cell) for cell in cells]
    names = [
        name
        for name in tables[0]
        if any(_is_said(name, cell, table) for cell, table in zip(cells, tables, strict=True))
    ]
    moving = [name for name in names if any(table[name] != tables[0][name] for table in tables)] or ["batch_size"]
    points = [f"    {value_of({name: table[name] for name in moving})}," for table in tables]
    fixed = [f"{name} = {value_of(tables[0][name])}" for name in names if name not in moving]
    lines = [f"question = {value_of(question)}", "", "[matrix]", "trial = [", *points, "]", "", "[fixed]", *fixed]
    for recipe in dict.fromkeys(cell.precision for cell in cells):
        if recipe != RECIPES.get(recipe.name):
            own = {key: value for key, value in recipe.settings.items() if key != "name"}
            lines += ["", f"[precision.{value_of(recipe.name)}]", *_lines(own)]
    limits = {name: value for name, value in dataclasses.asdict(budget).items() if value is not None}
    return "\n".join([*lines, "", "[measure]", *_lines(measure), "", "[budget]", *_lines(limits)]) + "\n"


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{key_of(key)} = {value_of(value)}" for key, value in table.items()]


def _fields(cell: Cell) -> dict[str, Any]:
    """Return all fields of a cell as a file says them; a timing has no round but the first."""
    plain = cell.settings | {"model_args": as_arguments(cell.model_args)}
    return {name: value for name, value in plain.items() if name != "round"}


def _is_said(name: str, cell: Cell, table: dict[str, Any]) -> bool:
    """Whether a file has to say a field of a cell."""
    if name in ("model", "data", "precision", "batch_size"):
        return True
    if name == "loss_scale":
        return bool(table[name] != cell.precision.loss_scale)
    return bool(table[name] != _DEFAULTS[name])


_DEFAULTS: dict[str, Any] = {
    f.name: list(f.default) if isinstance(f.default, tuple) else f.default for f in dataclasses.fields(Cell)
} | {"model_args": {}}


def _trial(cell: Cell, row: dict[str, Any]) -> Trial:
    peaks = [row[name] for name in PEAKS]
    return Trial(
        cell=cell,
        status=row["status"],
        because=row["because"],
        images_per_s=row["images_per_s"],
        peak_bytes=max((peak for peak in peaks if peak is not None), default=None),
        num_train_images=row["num_train_images"],
        cell_s=row["cell_s"],
    )
