"""The fields of a cell and of the tables of an experiment file: each checked for its word, its type and its range."""

from __future__ import annotations

import dataclasses
import functools
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from ampbench.bench.plan.batch_words import BATCH_WORDS
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError, did_you_mean
from ampbench.bench.plan.model_args import split_model
from ampbench.bench.plan.recipe import RECIPES, Recipe
from ampbench.bench.plan.source import check_data, check_model

T = TypeVar("T")

FIELDS = tuple(f.name for f in dataclasses.fields(Cell) if f.name != "round")
"""The words of `[fixed]` and `[matrix]`."""


@dataclass
class FieldCheck:
    """Checks the fields of one file."""

    path: Path
    """Of the file, for messages."""
    recipes: dict[str, Recipe] = field(default_factory=lambda: dict(RECIPES))
    """Those that the file may name: the built-in ones and its own."""

    def error(self, place: str, reason: str) -> RequestError:
        """Return an error that names the file and the place in it."""
        return RequestError(f"{self.path}, {place}: {reason}")

    def fields(self, table: dict[str, Any], place: str) -> dict[str, Any]:
        """Check a table of `Cell` fields; lists become tuples and recipe names recipes."""
        checked = {}
        for key, value in self._apart(table, place).items():
            if key == "round":
                raise self.error(f"{place} {key}", "rounds are set by [measure] rounds = n")
            if key not in FIELDS:
                raise self.error(f"{place} {key}", f"unknown key. {did_you_mean(key, FIELDS)}")
            checked[key] = self._field(key, value, f"{place} {key}")
        return checked

    def value(self, key: str, value: Any, place: str) -> Any:
        """Check the value of one field, which the cells are compared with."""
        checked = self.fields({key: value}, place)
        if len(checked) > 1:
            raise self.error(f"{place} {key}", f"{value!r} sets two fields; write model and model_args apart here")
        return checked[key]

    def _apart(self, table: dict[str, Any], place: str) -> dict[str, Any]:
        """Return a table with the arguments in a model's name as `model_args`."""
        name = table.get("model")
        if not isinstance(name, str):
            return table
        try:
            model, arguments = split_model(name)
        except (ValueError, RuntimeError) as e:
            raise self.error(f"{place} model", f"{name!r} {e}") from None
        if not arguments:
            return table
        if table.get("model_args"):
            raise self.error(f"{place} model", f"{name!r} holds arguments, and so does model_args; keep one of them")
        return table | {"model": model, "model_args": arguments}

    def _field(self, key: str, value: Any, place: str) -> Any:
        if key == "precision":
            if not isinstance(value, str) or value not in self.recipes:
                raise self.error(place, f"{value!r} is no recipe. {did_you_mean(str(value), self.recipes)}")
            return self.recipes[value]
        if key == "batch_size" and isinstance(value, str):
            if value in BATCH_WORDS:
                return value
            raise self.error(place, f"{value!r} is no batch size; write a number, or one of {', '.join(BATCH_WORDS)}")
        checked = self._checked(Cell, key, value, place)
        try:
            if key == "model":
                check_model(checked)
            if key == "data":
                check_data(checked)
        except RequestError as e:
            raise self.error(place, str(e)) from None
        return checked

    def settings(self, kind: type[T], table: dict[str, Any], place: str) -> T:
        """Check a table against a data class of ours."""
        known = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
        for key in table:
            if key not in known:
                raise self.error(f"{place} {key}", f"unknown key. {did_you_mean(key, known)}")
        return kind(**{key: self._checked(kind, key, value, f"{place} {key}") for key, value in table.items()})

    def _checked(self, kind: type, key: str, value: Any, place: str) -> Any:
        try:
            as_tuple = tuple(value) if isinstance(value, list) else value
            checked = _adapter(kind, key).validate_python(as_tuple, strict=True)
        except ValidationError as e:
            raise self.error(place, _explain(e, value)) from None
        return 0.0 if isinstance(checked, float) and checked == 0 else checked  # not -0.0, another cell by its id


@functools.cache
def _adapter(kind: type, key: str) -> TypeAdapter[Any]:
    return TypeAdapter(typing.get_type_hints(kind, include_extras=True)[key])


def _explain(error: ValidationError, value: Any) -> str:
    """Turn pydantic's first complaint into `value: reason; next move`."""
    first = error.errors()[0]
    kind, limits = first["type"], first.get("ctx", {})
    if kind == "value_error":
        return f"{value!r} {limits['error']}"
    words_too = next((one for one in error.errors() if one["type"] == "literal_error"), None)
    if kind == "int_type" and words_too and isinstance(value, str):  # as in rounds: a number, or a word
        return f"{value!r} is neither a whole number nor {words_too['ctx']['expected']}; write one of them"
    if kind == "literal_error":
        words = [w.strip().strip("'") for w in str(limits["expected"]).replace(" or ", ", ").split(",")]
        return f"{first['input']!r} is not known here. {did_you_mean(str(first['input']), words)}"
    reason = first["msg"].removeprefix("Input should be ")
    return f"{value!r} is {type(value).__name__}; it should be {reason}"
