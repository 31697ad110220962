"""An experiment's results folder: its plan, its runs, and which of them are done."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ampbench.bench.machine.file_lock import hold_file
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.matrix import Plan
from ampbench.bench.store.atomic import seems_complete
from ampbench.bench.store.plan_file import SOURCE, source_in, write_plan_file
from ampbench.bench.store.stamp import read_stamp
from ampbench.path import ROOT
from ampbench.schema.files import PLAN, RECORD, RUNS
from ampbench.terminal import printable


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """`results/<experiment>/`."""

    path: Path

    @classmethod
    def of(cls, plan: Plan, results: Path | None) -> Folder:
        """Return where a plan's results go; checks that no other experiment of the same stem lives there.

        Raises:
            RequestError: the folder holds the results of a file of the same name from another place.
        """
        name = plan.experiment.name
        folder = cls(path=((results or ROOT / "results") / name).absolute())
        unfit = {
            "is a file": os.path.isfile(folder.path),
            "is no name for a folder": name in (".", ".."),
            "is not UTF-8, which Parquet's readers need": printable(str(folder.path)) != str(folder.path),
        }
        why = next((why for why, is_so in unfit.items() if is_so), None)
        if why:
            raise RequestError(
                f"{plan.experiment.path}: its results would go to {printable(str(folder.path))}, which {why}; rename "
                "the experiment file, or give --results DIR"
            )
        source = _relative(plan.experiment.path)
        said = folder.said_source()
        if said not in (None, source):
            raise RequestError(
                f"{plan.experiment.path}: {folder.path} holds the results of {said}, another file of the same name; "
                "rename one, or give --results DIR"
            )
        return folder

    def run_path(self, cell: Cell) -> Path:
        """Return the folder of a cell's run."""
        return self.path / RUNS / cell.run_folder

    def done(self, cells: Iterable[Cell]) -> dict[str, Path]:
        """Return cell id -> record of the cells that have one, as far as a quick check finds it whole."""
        return {cell_id: path for cell_id, path in self.records(cells).items() if seems_complete(path)}

    def records(self, cells: Iterable[Cell]) -> dict[str, Path]:
        """Return cell id -> record of the cells that have one, whole or not, in the order of the cells."""
        try:
            present = {entry.name for entry in os.scandir(self.path / RUNS)}
        except (FileNotFoundError, NotADirectoryError):
            return {}
        paths = {c.cell_id: self.run_path(c) / RECORD for c in cells if c.run_folder in present}
        return {cell_id: path for cell_id, path in paths.items() if path.exists()}

    def num_other_runs(self, cells: Iterable[Cell]) -> int:
        """Count runs on disk that the present plan does not hold."""
        ours = {cell.run_folder for cell in cells}
        try:
            others = [Path(entry.path) for entry in os.scandir(self.path / RUNS) if entry.name not in ours]
        except (FileNotFoundError, NotADirectoryError):
            return 0
        return sum(path.is_dir() for path in others)  # False for a link in a circle, where DirEntry raises

    def write_plan(self, plan: Plan, *, command: str, git_commit: str | None, git_dirty: bool | None) -> None:
        """Write plan.json: every cell with its defaults, the file's text, and the commit."""
        experiment = plan.experiment
        self.path.mkdir(parents=True, exist_ok=True)
        head = {
            "question": experiment.question,
            SOURCE: _relative(experiment.path),
            "command": command,
            "git_commit": git_commit,
            "git_dirty": git_dirty,
            "toml": experiment.text,
        }
        cells = ({"cell_id": c.cell_id, "run_folder": c.run_folder, **c.settings} for c in plan.cells)
        excluded = ({**c.settings, "because": because} for c, because in plan.excluded)
        write_plan_file(self.path / PLAN, head, {"cells": cells, "excluded": excluded})

    def said_source(self) -> str | None:
        """Return the experiment file that the folder belongs to; None for a new folder."""
        return source_in(self.path / PLAN)

    def stamp(self) -> dict[str, Any]:
        """Return what the joined tables were made of, as `read_stamp` says."""
        return read_stamp(self.path)

    def lock(self) -> AbstractContextManager[None]:
        """Return the lock under which plan.json and the joined tables are written."""
        self.path.mkdir(parents=True, exist_ok=True)
        return hold_file(self.path / ".lock")


def _relative(path: Path) -> str:
    """Name a file relative to the repository, so that a checkout may be moved."""
    absolute = path.resolve()
    return str(absolute.relative_to(ROOT)) if absolute.is_relative_to(ROOT) else str(absolute)
