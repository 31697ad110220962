"""An experiment file that would decide what is open: the contender and the reference alone, as often as needed.

A training is repeated over seeds until two recipes of equal accuracy would come out `equivalent` with 80 % power; a
timing over rounds until the difference that was seen would be told. Where the plan only times steps, its training is
that of study S3: 200 epochs, on CIFAR-10 instead of random images, which have no accuracy. The file says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ampbench.schema.margins import RUN_SD_POINTS
from ampbench.schema.toml_values import key_of, text_of_tables
from ampbench.visualize.judge.answer.cost import HOUR_S, Training
from ampbench.visualize.judge.decision.standing import Standing
from ampbench.visualize.judge.phrases import time_words
from ampbench.visualize.read.company import are_exclusive
from ampbench.visualize.read.plan import Plan
from ampbench.visualize.stats.sample_size import more_seeds

OVERHEAD = 1.2
"""Time of a training over that of its steps at the measured speed: start-up, warm-up and evaluation."""
PATIENCE = 3.0
"""`minutes_per_cell` of a training over its expected time."""
NOT_FIXED = ("cell_id", "run_folder", "seed", "round", "epochs", "precision", "loss_scale")
"""What a planned cell holds and the file says elsewhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settle:
    """The experiment that would decide what is open."""

    toml: str
    """The text of a file that run_matrix.py runs."""
    num_trainings: int
    """Cells: trainings, or timings where the speed is open."""
    hours: float | None
    """About; None if no time is known."""
    decides: str
    """As in `accuracy within 0.3 points`."""
    exclusive: bool
    """Whether it is to run as the cells before it did: with no other cell on the machine."""


def seeds_that_settle(standing: Standing, margin: float) -> int | None:
    """Return in how many seeds both recipes are to be trained; None if no affordable number would decide."""
    found = standing.verdict.accuracy if standing.verdict else None
    if found is not None and found.n > 1:
        return None if found.more is None else found.n + found.more
    return more_seeds(0.0, RUN_SD_POINTS * math.sqrt(2), 0, margin=margin)


def settle_accuracy(
    plan: Plan, cells: pd.DataFrame, base: Standing, contender: Standing, training: Training | None, margin: float
) -> Settle | None:
    """Return the trainings that would settle the accuracy of a contender; None if there are none.

    Args:
        plan: of the results.
        cells: of the subject.
        base: where the reference stands.
        contender: the recipe whose accuracy is open.
        training: how long it is.
        margin: loss of accuracy that is acceptable, in points.
    """
    num_seeds = seeds_that_settle(contender, margin)
    planned = _planned(plan, cells, contender)
    if num_seeds is None or planned is None or training is None:
        return None
    speeds = [row.measured.images_per_s for row in (base, contender)]
    seconds = [OVERHEAD * training.seconds(speed) if speed else math.nan for speed in speeds]
    hours = num_seeds * sum(seconds) / HOUR_S
    drawn = planned["data"] == "synthetic"
    said = ["Random images have no accuracy, so CIFAR-10 stands for them: it has their size."] if drawn else []
    if training.is_usual:
        said.append(f"The plan only times steps; {training.epochs} epochs are those of a usual training on CIFAR-10.")
    known = [one for one in seconds if math.isfinite(one)]
    minutes = math.ceil(max(PATIENCE * max(known) / 60, 10)) if known else 1440
    decides = f"accuracy within {margin:g} points{_on(cells)}"
    toml = _toml(
        question=f"Does {contender.recipe} train {planned['model']} to the test accuracy of {base.recipe}, "
        f"within {margin:g} points?",
        comments=[f"{2 * num_seeds} trainings{_about(hours)}, to settle {decides}.", *said],
        matrix={
            "seed": list(range(num_seeds)),
            "precision": _recipes(cells, base, contender, own_batches=bool(plan.own_batches)),
        },
        fixed={**planned, "epochs": training.epochs} | ({"data": "cifar10"} if drawn else {}),
        measure={"passes": []},
        budget={"minutes_per_cell": minutes},
        plan=plan,
    )
    alone = are_exclusive(cells)
    return Settle(toml=toml, num_trainings=2 * num_seeds, hours=_finite(hours), decides=decides, exclusive=alone)


def settle_speed(plan: Plan, cells: pd.DataFrame, base: Standing, contender: Standing) -> Settle | None:
    """Return the timings that would settle whether a contender is faster; None if no affordable number would."""
    found = contender.verdict.speed if contender.verdict else None
    planned = _planned(plan, cells, contender)
    if planned is None or (found is not None and found.n > 1 and found.more is None):
        return None
    rounds = max(3, (found.n + (found.more or 0)) if found else 3)
    took = pd.concat([_own(cells, row) for row in (base, contender)])
    took = took["cell_s"].dropna() if "cell_s" in took and not planned["epochs"] else pd.Series(dtype=float)
    hours = 2 * rounds * float(took.median()) / HOUR_S if len(took) else math.nan
    decides = f"whether {contender.recipe} is faster than {base.recipe}{_on(cells)}"
    toml = _toml(
        question=f"Is {contender.recipe} faster than {base.recipe} for {planned['model']}{_at(plan, contender)}?",
        comments=[f"{2 * rounds} timings{_about(hours)}, to settle {decides}."],
        matrix={"precision": _recipes(cells, base, contender, own_batches=bool(plan.own_batches))},
        fixed={**planned, "epochs": 0},
        measure={"rounds": rounds, "passes": []},
        budget={},
        plan=plan,
    )
    alone = are_exclusive(cells)
    return Settle(toml=toml, num_trainings=2 * rounds, hours=_finite(hours), decides=decides, exclusive=alone)


def _on(cells: pd.DataFrame) -> str:
    """Return on which machine it is to be run, where the folder has several: another one would answer for itself."""
    name = next(iter(cells["measured_on"]), "") if "measured_on" in cells else ""
    return f" on {name}" if name else ""


def _at(plan: Plan, contender: Standing) -> str:
    return ", each at its own batch" if plan.own_batches else f" at batch {contender.batch_size}"


def _own(cells: pd.DataFrame, standing: Standing) -> pd.DataFrame:
    return cells[(cells["recipe"] == standing.recipe) & (cells["batch_size"] == standing.batch_size)]


def _planned(plan: Plan, cells: pd.DataFrame, standing: Standing) -> dict[str, Any] | None:
    """Return the fields of a planned cell that its experiment file names, all without a file; None without a plan."""
    ids = set(_own(cells, standing)["cell_id"])
    found = next((cell for cell in plan.cells if cell.get("cell_id") in ids), None)
    if found is None:
        return None
    named = _named(plan)
    fields = {key: value for key, value in found.items() if key not in NOT_FIXED and value is not None}
    kept = {key: value for key, value in fields.items() if not named or key in named}
    if plan.own_batches:
        kept.pop("batch_size", None)
    return {"model": found.get("model"), "data": found.get("data"), **kept, "epochs": found.get("epochs", 0)}


def _named(plan: Plan) -> set[str]:
    """Return the fields that the experiment file sets; the others keep their defaults."""
    file = plan.file
    tables = [file.get("fixed"), *_rows(file.get("include"))]
    matrix = file.get("matrix")
    for axis, points in matrix.items() if isinstance(matrix, Mapping) else ():
        tables += [{axis: None}, *_rows(points)]
    return {key for table in tables if isinstance(table, Mapping) for key in table}


def _rows(value: object) -> list[Any]:
    return list(value) if isinstance(value, list) else []


def _recipes(cells: pd.DataFrame, base: Standing, contender: Standing, *, own_batches: bool) -> list[Any]:
    """Return the points of the axis `precision`: names, or tables with a loss scale where one tells recipes apart.

    Where trials found a batch size for each recipe, each keeps its own: another one does not fit, or is no faster.
    """
    first = [_own(cells, row).iloc[0] for row in (base, contender)]
    if own_batches:
        names = ("precision", "loss_scale", "batch_size")
        return [{name: own[name] if isinstance(own[name], str) else int(own[name]) for name in names} for own in first]
    if all(row.recipe == own["precision"] for row, own in zip((base, contender), first, strict=True)):
        return [str(own["precision"]) for own in first]
    return [{"precision": str(own["precision"]), "loss_scale": str(own["loss_scale"])} for own in first]


def _toml(
    *,
    question: str,
    comments: Sequence[str],
    matrix: Mapping[str, Sequence[Any]],
    fixed: Mapping[str, Any],
    measure: Mapping[str, Any],
    budget: Mapping[str, Any],
    plan: Plan,
) -> str:
    """Return the text of an experiment file; what the original says in [measure] and [budget] of a cell is kept."""
    file = plan.file
    own: dict[str, dict[str, Any]] = {
        name: {key: value for key, value in table.items() if key not in ("rounds", "gpu_hours")}
        for name in ("measure", "budget")
        if isinstance(table := file.get(name, {}), dict)
    }
    used = {point if isinstance(point, str) else point["precision"] for point in matrix["precision"]}
    custom = {name: row for name, row in _table(file, "precision").items() if name in used and isinstance(row, dict)}
    tables: dict[str, Mapping[str, Any]] = {
        "matrix": matrix,
        "fixed": fixed,
        **{f"precision.{key_of(name)}": row for name, row in custom.items()},
        "measure": {**own.get("measure", {}), **measure},
        "budget": {**own.get("budget", {}), **_no_less(budget, own.get("budget", {}))},
    }
    return text_of_tables(question, tables, comments=comments)


def _no_less(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return our limits, but no lower ones than the experiment itself has."""
    given = {key: value for key, value in theirs.items() if isinstance(value, int | float)}
    return {key: max(value, given.get(key, value)) for key, value in ours.items()}


def _table(file: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = file.get(name, {})
    return found if isinstance(found, dict) else {}


def _about(hours: float) -> str:
    return f", about {time_words(hours * HOUR_S)}" if math.isfinite(hours) else ""


def _finite(hours: float) -> float | None:
    return hours if math.isfinite(hours) else None
