"""`[search]` of an experiment file: settings that are not listed but looked for, and how much looking is worth.

    [search]
    trials    = 20
    objective = "test_accuracy"

    [search.space]
    learning_rate        = {low = 0.01, high = 0.3, log = true}
    batch_size           = [64, 128, 256, 512]
    "model_args.dropout" = {low = 0.3, high = 0.7}

A trial is a cell: `[fixed]`, one point of `[matrix]`, and a value of every line of the space. Each point of the matrix,
such as each recipe, has a search of its own, a study. After the trials the best settings run again with other seeds.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Le

from ampbench.bench.plan.cell import Cell, Seed
from ampbench.bench.plan.model_args import as_arguments, as_text
from ampbench.schema.choices import Value

if TYPE_CHECKING:
    from ampbench.bench.plan.experiment import Experiment

Objective = Literal["test_accuracy", "test_loss", "time_to_accuracy_s", "images_per_s"]
Pruner = Literal["median", "halving", "none"]

GREATER_IS_BETTER: dict[str, bool] = {
    "test_accuracy": True,
    "test_loss": False,
    "time_to_accuracy_s": False,
    "images_per_s": True,
}
SEEN_WHILE_TRAINING = ("test_accuracy", "test_loss")
"""Objectives that every epoch has, so that a training which falls behind can be told."""

ARGUMENT = "model_args."
"""Before the name of an argument of the network, as a line of the space."""
DIGITS = 4
"""Of a proposed number: 0.03174 is as good as 0.031739214 and can be typed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """A line of the space: every number from low to high."""

    field: str
    """Of a cell, or `model_args.` and an argument of the network."""
    low: float
    high: float
    log: bool = False
    """Whether equal factors are equally likely, as for a learning rate."""
    step: float | None = None
    """Distance of the values, from `low` on; None for any number."""
    whole: bool = False
    """Whether the values are whole numbers."""

    def rounded(self, value: float) -> Value:
        """Return a proposal with `DIGITS` digits, still within the range."""
        if self.whole:
            return round(value)
        digits = 12 if self.step is not None else DIGITS
        return min(max(float(f"{value:.{digits}g}"), self.low), self.high)

    def holds(self, value: Value) -> bool:
        """Whether a value is one of the line's."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high and (not self.whole or float(value).is_integer())

    @property
    def num_values(self) -> float:
        """How many values there are."""
        step = self.step if self.step is not None else 1 if self.whole else None
        return math.inf if step is None else math.floor((self.high - self.low) / step + 1e-9) + 1

    def __str__(self) -> str:
        scale = ", equal factors equally likely" if self.log else f", in steps of {self.step:g}" if self.step else ""
        return f"{self.field} from {self.low:g} to {self.high:g}{scale}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """A line of the space: one of some values."""

    field: str
    values: Mapping[Value, Any]
    """What a table of trials holds -> the checked value of the cell's field; a list is written as JSON."""

    def holds(self, value: Value) -> bool:
        """Whether a value is one of the line's."""
        return value in self.values

    @property
    def num_values(self) -> float:
        """How many values there are."""
        return len(self.values)

    def __str__(self) -> str:
        return f"{self.field} of {', '.join(map(str, self.values))}"


Parameter = Range | Choices


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSettings:
    """The lines of `[search]` beside the space."""

    trials: Annotated[int, Ge(1), Le(10_000)] = 20
    """Settings that are tried, of each point of `[matrix]`. More may be asked for later: they go on from these."""
    seed: Seed = 0
    """Of the proposals; the seed of the trainings is a field of the cell."""
    sampler: Literal["tpe", "random"] = "tpe"
    """`tpe` learns from the trials so far (Bergstra et al., 2011); `random` does not."""
    objective: Objective = "test_accuracy"
    """Of the final epoch, never the best one; or seconds to `[measure] target_accuracy`; or images/s."""
    pruner: Pruner | None = None
    """Which trainings end early. `median`: whose best epoch so far is worse than the median of the earlier trials at
    that epoch, from the sixth trial on. `halving`: that are not among the best third at an epoch of successive halving.
    Unset means `median`, or `none` where the objective is not seen while training."""
    parallel: Annotated[int, Ge(1), Le(1000)] = 1
    """Trials that are proposed together, so that as many boards are busy. It changes what is proposed, the number of
    boards does not."""
    finalists: Annotated[int, Ge(1), Le(1000)] = 3
    """Best trials whose settings run again."""
    reruns: Annotated[int, Ge(0), Le(1000)] = 3
    """Further seeds that each of them runs with; the best mean over these wins, without the trial that was chosen for
    its luck. 0 runs none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """A checked `[search]`."""

    settings: SearchSettings
    space: tuple[Parameter, ...]

    @property
    def pruner(self) -> Pruner:
        """The pruner, chosen by the objective where the file leaves it open."""
        seen = self.settings.objective in SEEN_WHILE_TRAINING
        return self.settings.pruner or ("median" if seen else "none")

    @property
    def greater_is_better(self) -> bool:
        """Whether the objective is to be large."""
        return GREATER_IS_BETTER[self.settings.objective]

    @property
    def num_points(self) -> float:
        """How many settings the space has."""
        return math.prod(parameter.num_values for parameter in self.space)

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Whether values are a point of the space, as those of an earlier search may be."""
        return values.keys() == {p.field for p in self.space} and all(p.holds(values[p.field]) for p in self.space)


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """The search at one point of `[matrix]`."""

    name: str
    """As in `precision=bf16_amp`; empty where the matrix is."""
    fields: Mapping[str, Any]
    """Of the point."""


def studies_of(experiment: Experiment) -> tuple[Study, ...]:
    """Return a study for each point of the matrix, in its order."""
    found = []
    for points in itertools.product(*experiment.matrix.values()):
        fields = {key: value for point in points for key, value in point.items()}
        found.append(Study(name=" ".join(f"{key}={value}" for key, value in fields.items()), fields=fields))
    return tuple(found)


def cell_of(experiment: Experiment, study: Study, values: Mapping[str, Value], *, rerun: int = 0) -> Cell:
    """Return the cell of a trial.

    Args:
        experiment: with a `[search]`.
        study: one of its.
        values: field -> value, a point of its space.
        rerun: 0 for the trial itself; the n-th rerun has a seed n higher.
    """
    assert experiment.search is not None, "its file has [search]"
    fields: dict[str, Any] = {**experiment.fixed, **study.fields}
    arguments = as_arguments(fields.get("model_args"))
    for parameter in experiment.search.space:
        value = values[parameter.field]
        if parameter.field.startswith(ARGUMENT):
            arguments[parameter.field.removeprefix(ARGUMENT)] = value
        else:
            fields[parameter.field] = parameter.values[value] if isinstance(parameter, Choices) else value
    if arguments:
        fields["model_args"] = as_text(arguments)
    fields["seed"] = fields.get("seed", 0) + rerun
    return Cell(**fields)


def corners(space: tuple[Parameter, ...]) -> Iterator[dict[str, Value]]:
    """Yield a point with each end or choice of every line, the others at their first value: where a space is wrong."""
    firsts: dict[str, Value] = {p.field: next(iter(_ends(p))) for p in space}
    for parameter in space:
        for value in _ends(parameter):
            yield firsts | {parameter.field: value}


def plain(value: Any) -> Value:
    """Return a choice as a table of trials holds it."""
    return value if value is None or isinstance(value, str | int | float) else json.dumps(value, sort_keys=True)


def _ends(parameter: Parameter) -> tuple[Value, ...]:
    if isinstance(parameter, Choices):
        return tuple(parameter.values)
    return tuple(parameter.rounded(end) for end in (parameter.low, parameter.high))
