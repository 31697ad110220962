"""An experiment file: read, checked to the last key, and handed on as tables of values.

    question = "..."            what the matrix is to answer
    [matrix]                    one axis a line; the first varies slowest
    [fixed]                     the fields of `Cell` that do not vary
    [[exclude]] [[include]]     cells taken out, with a reason; cells added
    [precision.NAME]            a recipe of one's own
    [measure] [budget]          how long to time, and when to stop
    [search]                    fields that are looked for instead of listed

Every error is a `RequestError` of one line: file, table, key, value, reason, next move.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ampbench.bench.plan.batch_words import BATCH_WORDS, BatchSizes
from ampbench.bench.plan.cell import TABLE_FIELDS, Cell
from ampbench.bench.plan.errors import did_you_mean
from ampbench.bench.plan.field_check import FieldCheck
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES, Recipe
from ampbench.bench.plan.search import Search
from ampbench.bench.plan.search_check import SearchCheck, check_whole
from ampbench.bench.plan.toml_text import table_of, text_of, too_deep


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A checked experiment file. `fixed`, `matrix` and the rest hold valid values of fields of `Cell`."""

    path: Path
    question: str
    text: str
    fixed: dict[str, Any]
    matrix: dict[str, list[dict[str, Any]]]
    """Axis -> its points; a point is a table of fields, with one entry for a plain axis."""
    exclude: list[tuple[dict[str, list[Any]], str]]
    """Fields -> the values that match, and why those cells are left out."""
    include: list[dict[str, Any]]
    protocol: MeasurementProtocol
    budget: Budget
    batch_sizes: BatchSizes = dataclasses.field(default_factory=dict)
    """What the words among its batch sizes stand for, once that is found."""
    search: Search | None = None
    """What is looked for; None where the file lists all its cells."""

    @property
    def name(self) -> str:
        """Stem of the file: the name of its results folder."""
        return self.path.stem


TABLES = ("question", "matrix", "fixed", "exclude", "include", "precision", "measure", "budget", "search")


def read_experiment(path: Path) -> Experiment:
    """Read and check an experiment file.

    Raises:
        RequestError: the file cannot be read, or anything in it is not what the format says.
    """
    return parse_experiment(path, text_of(path))


def parse_experiment(path: Path, text: str) -> Experiment:
    """Check the text of an experiment; `path` names it in errors, and its stem names the results."""
    try:
        return _Reader(path).read(text)
    except RecursionError:  # the message about such a value would nest as deeply
        raise too_deep(path) from None


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.check = FieldCheck(path)
        self.error = self.check.error

    def read(self, text: str) -> Experiment:
        document = table_of(text, self.path)
        for key in document:
            if key not in TABLES:
                raise self.error(f"top level, {key!r}", f"unknown key. {did_you_mean(key, TABLES)}")
        question = document.get("question")
        if not isinstance(question, str) or not question.strip():
            raise self.error("top level, 'question'", 'missing; say in a sentence what is asked: question = "..."')
        for name, row in self._table(document, "precision").items():
            self.check.recipes[name] = self._recipe(name, row)
        fixed = self.check.fields(self._table(document, "fixed"), "[fixed]")
        matrix = {axis: self._axis(axis, points, fixed) for axis, points in self._table(document, "matrix").items()}
        owners: dict[str, str] = {}
        for axis, points in matrix.items():
            for key in points[0]:
                if key in owners:
                    raise self.error(f"[matrix] {axis}", f"axis {owners[key]!r} sets {key!r} too; keep one of them")
                owners[key] = axis
        experiment = Experiment(
            path=self.path,
            question=question.strip(),
            text=text,
            fixed=fixed,
            matrix=matrix,
            exclude=[self._exclude(row, i) for i, row in enumerate(self._rows(document, "exclude"), 1)],
            include=[
                self.check.fields(row, f"[[include]] {i}") for i, row in enumerate(self._rows(document, "include"), 1)
            ],
            protocol=self.check.settings(MeasurementProtocol, self._table(document, "measure"), "[measure]"),
            budget=self.check.settings(Budget, self._table(document, "budget"), "[budget]"),
            search=SearchCheck(self.check).search(self._table(document, "search")) if "search" in document else None,
        )
        searched = [parameter.field for parameter in experiment.search.space] if experiment.search else []
        missing = [f.name for f in dataclasses.fields(Cell) if f.default is dataclasses.MISSING]
        for key in missing:
            if key not in owners and key not in fixed and key not in searched:
                raise self.error("[fixed]", f"{key!r} is missing; set it here, or make it an axis of [matrix]")
        if experiment.search:
            check_whole(experiment, self.check)
        return experiment

    def _table(self, document: dict[str, Any], name: str) -> dict[str, Any]:
        table = document.get(name, {})
        if not isinstance(table, dict):
            raise self.error(f"'{name}'", f"{table!r} is no table; write it as [{name}]")
        return table

    def _rows(self, document: dict[str, Any], name: str) -> list[dict[str, Any]]:
        rows = document.get(name, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self.error(f"[{name}]", f"each entry is a table of its own; write [[{name}]]")
        return rows

    def _recipe(self, name: str, row: Any) -> Recipe:
        place = f"[precision.{name}]"
        if name in RECIPES:
            raise self.error(place, "is built in and stays what it is; choose another name")
        if not isinstance(row, dict):
            raise self.error(place, f"{row!r} is no table; say weights = ..., compute = ...")
        if "name" in row:
            raise self.error(f"{place} name", "the table's own name is the recipe's; drop the key")
        return self.check.settings(Recipe, {"name": name, **row}, place)

    def _axis(self, axis: str, points: Any, fixed: dict[str, Any]) -> list[dict[str, Any]]:
        place = f"[matrix] {axis}"
        if not isinstance(points, list):
            raise self.error(place, f"{points!r} is no list; write [{points!r}], or move it to [fixed]")
        if not points:
            raise self.error(place, "is empty, so there would be no cell; give it a value or drop the line")
        if axis not in TABLE_FIELDS and all(isinstance(point, dict) for point in points):
            tables = _even([self.check.fields(point, place) for point in points])
            for table in tables:
                if table.keys() != tables[0].keys() or not table:
                    raise self.error(place, f"every point sets the same fields, at least one; {list(table)} differs")
        else:
            tables = _even([self.check.fields({axis: point}, "[matrix]") for point in points])
        for key in tables[0].keys() & fixed.keys():
            raise self.error(place, f"{key!r} stands in [fixed] too; keep one of them")
        seen = set()
        for point, table in zip(points, tables, strict=True):
            if (values := tuple(sorted(table.items()))) in seen:
                raise self.error(place, f"{point!r} stands there twice, so cells would be duplicates; drop one")
            seen.add(values)
        return tables

    def _exclude(self, row: dict[str, Any], number: int) -> tuple[dict[str, list[Any]], str]:
        place = f"[[exclude]] {number}"
        because = row.get("because")
        if not isinstance(because, str) or not because.strip():
            raise self.error(place, "'because' is missing; say why, it is shown in tables and plots")
        conditions = {
            key: [self.check.value(key, one, place) for one in (value if isinstance(value, list) else [value])]
            for key, value in row.items()
            if key != "because"
        }
        for word in BATCH_WORDS:
            if word in conditions.get("batch_size", []):
                raise self.error(
                    f"{place} batch_size", f"{word!r} is a number of its own for every cell; name other fields"
                )
        if not conditions:
            raise self.error(place, "names no field, so it would drop every cell; say which, as in seed = 0")
        return conditions, because.strip()


def _even(tables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the points of an axis, of which a model without arguments has none where another model has some."""
    if any("model_args" in table for table in tables):
        return [
            table if "model_args" in table or "model" not in table else table | {"model_args": None} for table in tables
        ]
    return tables
