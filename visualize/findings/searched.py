"""What a search found, as frames: its trials with their results, and how much each setting mattered.

How much a setting mattered is the share of the spread of the trials' ranks that it explains alone: by a parabola in the
rank of a number, so that a best value in the middle is seen, or by the means of the words. Twenty trials explain some
of their spread by chance; what 95 of 100 shuffles of the results stay below, for all settings together (Westfall &
Young, 1993), is the line that a share has to pass. It says nothing of settings that matter only together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ampbench.schema.choices import Value
from ampbench.schema.search import SearchRecord, Settled, settled
from ampbench.visualize.read.frame import Results

LEAST_TRIALS = 6
"""With results; of fewer nothing is said about what mattered."""
SHUFFLES = 2000
BEHIND = ("pruned", "diverged", "oom", "timeout")
"""Endings that say that the settings are bad; in ranks they are all equal, and worst."""


def values_of(results: Results, record: SearchRecord) -> dict[str, float | None]:
    """Return cell id -> the objective, of the cells that ran to their end."""
    ok = results.ok
    return dict(zip(ok["cell_id"], ok[record.objective].astype(float), strict=True)) if record.objective in ok else {}


def found(results: Results) -> dict[str, Settled]:
    """Return study -> what it found; none in a folder that is no search."""
    record = results.search
    if record is None:
        return {}
    values = values_of(results, record)
    return {study: settled(record, study, values) for study in record.studies}


def trials_of(results: Results, study: str) -> pd.DataFrame:
    """Return a row per trial of a study, by number: its fields, `value`, `status`, `because`, `mean`, `half_width`."""
    own = found(results)[study]
    endings = results.cells.set_index("cell_id")[["status", "because"]]
    rows = []
    for one in own.settings:
        known = one.trial.cell_id in endings.index
        rows.append(
            {
                "number": one.trial.number,
                **one.trial.values,
                "value": one.value,
                "status": endings.loc[one.trial.cell_id, "status"] if known else "not run",
                "because": endings.loc[one.trial.cell_id, "because"] if known else None,
                "mean": one.mean,
                "half_width": one.half_width if one.mean is not None else None,
                "num_reruns": len(one.reruns),
            }
        )
    return pd.DataFrame(rows).astype({"value": float, "mean": float, "half_width": float})


@dataclass(frozen=True, kw_only=True, slots=True)
class Importance:
    """How much one setting mattered."""

    field: str
    share: float
    """Of the spread of the ranks, from 0 to 1."""
    chance: float
    """What the largest share of all settings stays below in 95 of 100 shuffles."""

    @property
    def is_told(self) -> bool:
        """Whether it is more than chance."""
        return self.share > self.chance


def importance(results: Results, study: str) -> list[Importance]:
    """Return how much each setting of a study mattered, the most first; empty with too few trials."""
    record = results.search
    assert record is not None, "a study is of a search"
    rows = trials_of(results, study)
    rows = rows[rows["value"].notna() | rows["status"].isin(BEHIND)]
    if rows["value"].notna().sum() < LEAST_TRIALS:
        return []
    sign = 1 if record.greater_is_better else -1
    ranks = (sign * rows["value"]).fillna(-np.inf).rank().to_numpy()
    projections = {
        line.field: one
        for line in record.space
        if (one := _projection(rows[line.field], is_number=_are_numbers(line.choices))) is not None
    }
    rng = np.random.default_rng(0)
    shuffled = np.array([rng.permutation(ranks) for _ in range(SHUFFLES)])
    largest = np.max([_share(one, shuffled) for one in projections.values()], axis=0) if projections else np.zeros(1)
    chance = float(np.quantile(largest, 0.95))
    shares = {field: float(_share(one, ranks[None])[0]) for field, one in projections.items()}
    order = sorted(shares, key=lambda field: -shares[field])
    return [Importance(field=field, share=shares[field], chance=chance) for field in order]


def importance_words(found: Sequence[Importance]) -> str:
    """Say which settings mattered; empty where nothing can be said."""
    if not found:
        return ""
    told = [f"{one.field} ({one.share:.0%} of the spread)" for one in found if one.is_told]
    if not told:
        return (
            f"no setting is told to matter by itself: chance alone explains up to {found[0].chance:.0%} of the spread"
        )
    return f"what mattered by itself: {', '.join(told)}; chance explains up to {found[0].chance:.0%}"


def setting_words(values: Mapping[str, Value]) -> str:
    """Return settings as a person types them."""
    return ", ".join(f"{field} = {_short(value)}" for field, value in values.items())


def _short(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _are_numbers(values: Sequence[Value]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _projection(values: pd.Series, *, is_number: bool) -> np.ndarray | None:
    """Return an orthonormal basis of what a setting can explain, without the mean; None if it never varied."""
    if values.nunique(dropna=False) < 2:
        return None
    if is_number:
        ranks = values.astype(float).rank().to_numpy()
        columns = np.stack([ranks, ranks**2], axis=1)
    else:
        columns = pd.get_dummies(values.astype(str)).to_numpy(dtype=float)
    left, sizes, _ = np.linalg.svd(columns - columns.mean(axis=0), full_matrices=False)
    kept: np.ndarray = left[:, sizes > 1e-9 * sizes[0]]
    return kept


def _share(basis: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Return the share of the spread of each row of ranks that a basis explains."""
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    total = (centred**2).sum(axis=1)
    explained: np.ndarray = ((centred @ basis) ** 2).sum(axis=1) / np.where(total > 0, total, 1.0)
    return explained
