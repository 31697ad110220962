"""The table `[search]` of an experiment file, checked: every line of its space is a field that a cell can have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ampbench.bench.plan.batch_words import BATCH_WORDS
from ampbench.bench.plan.field_check import FieldCheck
from ampbench.bench.plan.model_args import as_text
from ampbench.bench.plan.refusals import why_refused, why_too_many
from ampbench.bench.plan.search import (
    ARGUMENT,
    SEEN_WHILE_TRAINING,
    Choices,
    Parameter,
    Range,
    Search,
    SearchSettings,
    Study,
    cell_of,
    corners,
    plain,
    studies_of,
)
from ampbench.schema.choices import Value

if TYPE_CHECKING:
    from ampbench.bench.plan.experiment import Experiment

SPACE = "[search.space]"
KEYS = ("low", "high", "log", "step")
"""Of a range."""
LARGEST = 2.0**53
"""End of a range: every whole number up to it is a float."""


@dataclass
class SearchCheck:
    """Checks the search of one file."""

    check: FieldCheck

    def search(self, table: dict[str, Any]) -> Search:
        """Return the checked table.

        Raises:
            RequestError: anything in it is not what the format says.
        """
        table = dict(table)
        space = table.pop("space", None)
        if not isinstance(space, dict) or not space:
            raise self.check.error(SPACE, "is missing; say what to look for, as in batch_size = [64, 128]")
        settings = self.check.settings(SearchSettings, table, "[search]")
        lines = _flat(space)
        return Search(settings=settings, space=tuple(self._parameter(key, said) for key, said in lines.items()))

    def _parameter(self, key: str, said: Any) -> Parameter:
        place = f"{SPACE} {key}"
        if key in ("seed", "round"):
            raise self.check.error(place, "is nothing to search for: the luckiest would win; reruns repeat with seeds")
        if isinstance(said, list):
            return self._choices(key, said, place)
        if isinstance(said, dict):
            return self._range(key, said, place)
        raise self.check.error(place, f"{said!r} is one value; put it into [fixed], or write a list or {{low, high}}")

    def _choices(self, key: str, said: list[Any], place: str) -> Choices:
        checked = [self._checked(key, value, place) for value in said]
        values = {plain(value): one for value, one in zip(said, checked, strict=True)}
        if len(said) < 2:
            raise self.check.error(place, "holds fewer than 2 values, so there is nothing to choose; see [fixed]")
        if len(values) < len(said):
            raise self.check.error(place, "holds a value twice; drop one")
        return Choices(field=key, values=values)

    def _range(self, key: str, said: dict[str, Any], place: str) -> Range:
        wrong = next((word for word in said if word not in KEYS), None)
        if wrong is not None:
            raise self.check.error(place, f"{wrong!r} is no word of a range; write {{low = 1, high = 2}}, log or step")
        ends: list[float] = []
        for word in ("low", "high"):
            if not _is_number(said.get(word)):
                raise self.check.error(place, f"{word!r} should be a number; write {{low = 1, high = 2}}")
            value = self._checked(key, said[word], f"{place}.{word}")
            if not _is_number(value):
                raise self.check.error(place, "is no number of a cell, so it has no range; write a list of values")
            ends.append(value)
        low, high = ends
        log, step = said.get("log", False), said.get("step")
        whole = isinstance(low, int) and isinstance(high, int) and (step is None or isinstance(step, int))
        if not all(abs(end) <= LARGEST for end in ends):
            raise self.check.error(place, f"is no range of numbers up to {LARGEST:g}; write {{low = 1, high = 2}}")
        if not low < high:
            raise self.check.error(place, f"low = {low:g} is not below high = {high:g}")
        if not isinstance(log, bool):
            raise self.check.error(place, f"log = {log!r} should be true or false")
        if log and low <= 0:
            raise self.check.error(place, f"low = {low:g} has no logarithm; raise it above 0, or drop log")
        if step is not None and (not _is_number(step) or not 0 < step <= high - low):
            raise self.check.error(place, f"step = {step!r} should be a number above 0 that fits between low and high")
        if step is not None and log:
            raise self.check.error(place, "step and log do not go together; keep one of them")
        return Range(field=key, low=low, high=high, log=log, step=step, whole=whole)

    def _checked(self, key: str, value: Any, place: str) -> Any:
        if not key.startswith(ARGUMENT):
            return self.check.fields({key: value}, SPACE)[key]
        try:
            as_text({key.removeprefix(ARGUMENT): value})
        except ValueError as e:
            raise self.check.error(place, str(e)) from None
        return value


def check_whole(experiment: Experiment, check: FieldCheck) -> None:
    """Check what the search of a whole file needs from its other tables.

    Raises:
        RequestError: with the place and the next move.
    """
    search = experiment.search
    assert search is not None, "its file has [search]"
    settings, fixed, axes = search.settings, experiment.fixed, _axes(experiment)
    for parameter in search.space:
        field, _, argument = parameter.field.partition(".")
        place = f"{SPACE} {parameter.field}"
        if not argument and (field in fixed or field in axes):
            raise check.error(place, f"stands in {'[fixed]' if field in fixed else '[matrix]'} too; keep one of them")
        if argument and any(other.field == field for other in search.space):
            raise check.error(place, f"{field!r} stands in the space too; keep one of them")
    choices = [p.values for p in search.space if isinstance(p, Choices) and p.field == "batch_size"]
    points = [point for points in experiment.matrix.values() for point in points]
    sizes = [*(fields.get("batch_size") for fields in (fixed, *points)), *(size for one in choices for size in one)]
    if word := next((size for size in sizes if size in BATCH_WORDS), None):
        raise check.error("[search]", f"batch_size = {word!r} is found for a matrix; a search takes numbers")
    num_studies = math.prod(len(points) for points in experiment.matrix.values())
    if because := why_too_many(num_studies * (settings.trials + settings.finalists * settings.reruns)):
        raise check.error("[search]", because)
    if "seed" in axes:
        raise check.error("[matrix] seed", "a trial has one seed, and reruns repeat it; put seed into [fixed]")
    if experiment.exclude or experiment.include:
        raise check.error("[search]", "[[exclude]] and [[include]] belong to a matrix; drop them")
    if experiment.protocol.rounds != 1:
        raise check.error("[measure] rounds", "reruns repeat what a search found; drop rounds")
    if settings.objective == "time_to_accuracy_s" and experiment.protocol.target_accuracy is None:
        raise check.error("[search] objective", "needs the accuracy to reach; set [measure] target_accuracy")
    if settings.objective not in SEEN_WHILE_TRAINING and search.pruner != "none":
        raise check.error(
            "[search] pruner", f"{settings.objective} is known at the end only; write 'none' or drop the line"
        )
    for study in studies_of(experiment):
        for values in corners(search.space):
            _check_cell(experiment, study, values, check)


def _check_cell(experiment: Experiment, study: Study, values: Mapping[str, Value], check: FieldCheck) -> None:
    cell, search = cell_of(experiment, study, values), experiment.search
    if because := why_refused(cell):
        raise check.error(SPACE, because)
    if search and not cell.epochs and search.settings.objective != "images_per_s":
        raise check.error("[search] objective", f"{search.settings.objective} needs a training; set epochs in [fixed]")


def _flat(space: dict[str, Any]) -> dict[str, Any]:
    """Return the lines of a space; `model_args.dropout = ...` without quotes is a table in TOML, and means the same."""
    lines: dict[str, Any] = {}
    for key, said in space.items():
        if key == "model_args" and isinstance(said, dict) and not said.keys() & set(KEYS):
            lines |= {f"{ARGUMENT}{name}": line for name, line in said.items()}
        else:
            lines[key] = said
    return lines


def _axes(experiment: Experiment) -> set[str]:
    return {key for points in experiment.matrix.values() for key in points[0]}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
