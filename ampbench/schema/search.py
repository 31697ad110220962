"""search.json in a folder of results: which cells are trials of a search, with which settings, and which are reruns.

What the trials came to is in their records; this file only says what was proposed, so it stays true whatever a cell
becomes. `settled` judges both together, the same way for the bench and for the page.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ampbench.schema.choices import Value
from ampbench.schema.files import SEARCH


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line of the space that was searched."""

    field: str
    low: float | None = None
    """None for a list of choices."""
    high: float | None = None
    log: bool = False
    choices: tuple[Value, ...] = ()
    """Empty for a range."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """Settings that were proposed."""

    study: str
    """The point of the matrix that it belongs to, as `precision=bf16_amp`; empty where there is one."""
    number: int
    """From 0 in its study, in the order of proposal."""
    values: Mapping[str, Value]
    """Field -> value."""
    cell_id: str
    reruns: tuple[str, ...] = ()
    """Cells with the same settings and further seeds, of a finalist."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchRecord:
    """What a search asks, and what it has proposed so far."""

    objective: str
    """A column of `cells`."""
    greater_is_better: bool
    num_trials: int
    """That were asked for, of each study."""
    space: tuple[Line, ...]
    trials: tuple[Trial, ...] = ()

    @property
    def studies(self) -> tuple[str, ...]:
        """In the order of the matrix."""
        return tuple(dict.fromkeys(trial.study for trial in self.trials))

    def of(self, study: str) -> tuple[Trial, ...]:
        """Return the trials of a study, by number."""
        return tuple(trial for trial in self.trials if trial.study == study)


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A trial with what it and its reruns came to."""

    trial: Trial
    value: float | None
    """Of the trial itself; None if it did not end with one."""
    reruns: tuple[float, ...] = ()
    """Of the reruns that did."""
    half_width: float | None = None
    """Of the 95 % interval of their mean; the spread is shared by all finalists of the study. None with too few."""

    @property
    def mean(self) -> float | None:
        """Over the reruns, without the trial: that was chosen because it came out well."""
        return statistics.fmean(self.reruns) if self.reruns else None

    @property
    def is_whole(self) -> bool:
        """Whether every rerun ended with a value."""
        return bool(self.trial.reruns) and len(self.reruns) == len(self.trial.reruns)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """What a study found."""

    settings: tuple[Setting, ...]
    """All trials, by number."""
    best: Setting | None
    """The finalist with the best mean over its reruns; without reruns the luckiest trial; None if none has a value."""
    luckiest: Setting | None
    """The trial with the best value in its only run."""

    @property
    def finalists(self) -> tuple[Setting, ...]:
        """Those that ran again."""
        return tuple(one for one in self.settings if one.trial.reruns)


def settled(record: SearchRecord, study: str, values: Mapping[str, float | None]) -> Settled:
    """Judge a study.

    A finalist of which a rerun failed cannot win while another one is whole: settings that train only with some seeds
    are not the best ones.

    Args:
        record: of the search.
        study: one of its.
        values: cell id -> the objective; None or missing if the cell did not end with one.
    """
    sign = 1 if record.greater_is_better else -1
    trials = record.of(study)
    again = {
        trial.number: tuple(value for cell in trial.reruns if (value := _finite(values.get(cell))) is not None)
        for trial in trials
    }
    half_widths = _half_widths(list(again.values()))
    settings = tuple(
        Setting(
            trial=trial,
            value=_finite(values.get(trial.cell_id)),
            reruns=again[trial.number],
            half_width=half_widths.get(len(again[trial.number])),
        )
        for trial in trials
    )
    finished = [one for one in settings if one.value is not None]
    luckiest = max(finished, key=lambda one: (sign * (one.value or 0.0), -one.trial.number), default=None)
    finalists = [one for one in settings if one.mean is not None]
    best = max(finalists, key=lambda one: (one.is_whole, sign * (one.mean or 0.0), -one.trial.number), default=luckiest)
    return Settled(settings=settings, best=best, luckiest=luckiest)


def best_first(record: SearchRecord, study: str, values: Mapping[str, float | None]) -> tuple[Trial, ...]:
    """Return the trials of a study that ended with a value, best first; of equal ones the earlier."""
    sign = 1 if record.greater_is_better else -1
    found = [(value, trial) for trial in record.of(study) if (value := _finite(values.get(trial.cell_id))) is not None]
    return tuple(trial for _, trial in sorted(found, key=lambda pair: (-sign * pair[0], pair[1].number)))


def read_search(folder: Path) -> SearchRecord | None:
    """Return what a folder of results says of its search; None if there is none, or its file is damaged."""
    try:
        plain: dict[str, Any] = json.loads((folder / SEARCH).read_text(encoding="utf-8"))
        space = tuple(Line(**line | {"choices": tuple(line["choices"])}) for line in plain["space"])
        trials = tuple(Trial(**trial | {"reruns": tuple(trial["reruns"])}) for trial in plain["trials"])
        return SearchRecord(**plain | {"space": space, "trials": trials})
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _half_widths(groups: Sequence[Sequence[float]]) -> dict[int, float]:
    """Return the number of reruns -> half-width of the 95 % interval of their mean.

    The variance is pooled over the finalists: each was trained by the same code on the same data, and three values
    alone say little of their spread.
    """
    groups = [group for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in groups)
    if not freedom:
        return {}
    from scipy.stats import t  # here: it takes half a second, and most readers of a folder find no search

    pooled = sum(statistics.variance(group) * (len(group) - 1) for group in groups) / freedom
    width = float(t.ppf(0.975, freedom)) * math.sqrt(pooled)
    return {n: width / math.sqrt(n) for n in {len(group) for group in groups} | {1}}
