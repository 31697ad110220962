"""Match the cells of two sides that have the same settings, and find in what else the sides differ.

A cell of A and a cell of B match if their settings are equal. Seed and round may differ: they tell the processes of
one cell apart. A setting that a selection names, and of which the sides share no value, may also differ: it is what is
compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ampbench.visualize.judge.compare.side import Side
from ampbench.visualize.judge.runs.pairs import COMPANY, CONDITIONS
from ampbench.visualize.read.files import ResultsError
from ampbench.visualize.read.tidy import REPLICATED
from ampbench.visualize.read.words import words_of

SHOWN = ("model", "data", "batch_size", "precision")
"""Settings that every row names; other settings are named only where they tell rows apart."""
SAID = {"environment_id": "machine"}
"""Axis that is no setting -> the head of its column."""
PART_OF = {"precision": "loss_scale"}
"""A setting -> a second one that belongs to it, and may differ where the first differs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """Cells of A and the cells of B with the same settings."""

    axes: dict[str, str]
    """Setting -> its value, or `fp32 → bf16_amp` where the sides differ in it."""
    a: pd.DataFrame
    b: pd.DataFrame

    @property
    def sides(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The cells of A and of B."""
        return self.a, self.b

    @property
    def ran(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The cells of each side that ran to their end."""
        return self.a[self.a["status"] == "ok"], self.b[self.b["status"] == "ok"]


def match(a: Side, b: Side) -> tuple[list[Match], list[str]]:
    """Return the matches, and a sentence for each side that has cells which match nothing.

    Raises:
        ResultsError: nothing in A matches anything in B.
    """
    known = dict.fromkeys((*SHOWN, *a.results.settings, *b.results.settings, "environment_id"))
    axes = [name for name in known if name not in REPLICATED]
    texts = [_texts(side, axes) for side in (a, b)]
    # An older ampbench had fewer settings: a column that only one side has does not prevent a match.
    one_sided = {name for name in axes if (name in a.cells) != (name in b.cells)}
    may_differ = a.named | b.named | one_sided | {"environment_id"}
    free = [name for name in axes if name in may_differ and not set(texts[0][name]) & set(texts[1][name])]
    free += [part for whole, part in PART_OF.items() if whole in free and part not in free]
    fixed = [name for name in axes if name not in free]
    of_a, of_b = ({key: own.index for key, own in text.groupby([*fixed, *free], sort=False)} for text in texts)
    met = [(i, j) for i in of_a for j in of_b if i[: len(fixed)] == j[: len(fixed)]]
    if not met:
        raise ResultsError(_why_nothing(fixed, list(of_a), list(of_b)))
    names = {one: name for side in (a, b) for one, name in _names(side).items()}
    labels = [_labels([*fixed, *free], i, j, names) for i, j in met]
    shown = list(SHOWN)
    for name in axes:
        tells = len({tuple(x[n] for n in (*shown, name)) for x in labels}) > len(
            {tuple(x[n] for n in shown) for x in labels}
        )
        if name not in shown and (tells or (name in free and name in a.named | b.named)):
            shown.append(name)
    matches = [
        Match(
            axes={SAID.get(name, name): label[name] for name in shown}, a=a.cells.loc[of_a[i]], b=b.cells.loc[of_b[j]]
        )
        for label, (i, j) in zip(labels, met, strict=True)
    ]
    notes = []
    for side, own, there in ((a, of_a, {i for i, _ in met}), (b, of_b, {j for _, j in met})):
        unmatched = [" ".join(key[fixed.index(n)] for n in SHOWN if n in fixed) for key in own if key not in there]
        if unmatched:
            listed = ", ".join(dict.fromkeys(unmatched[:3])) + (", ..." if len(unmatched) > 3 else "")
            notes.append(f"{len(unmatched)} of {len(own)} of {side.name} match nothing on the other side: {listed}.")
    return matches, notes


def differences(a: Side, matches: Sequence[Match]) -> list[str]:
    """Say in what the matched sides differ that is not a setting: the environment and the data."""
    both = [one.ran for one in matches if not any(own.empty for own in one.ran)]
    if not both:
        return []
    sides = [pd.concat(own) for own in zip(*both, strict=True)]
    same_data = all("→" not in one.axes["data"] for one in matches)
    found: list[str] = []
    company = [name for name in COMPANY if all(name in side and side[name].notna().any() for side in sides)]
    for column in (*CONDITIONS, *company, *(["data_sha256"] if same_data else []), "environment_id"):
        if not all(column in side for side in sides) or (found and column == "environment_id"):
            continue
        of_a, of_b = (values_of(side[column]) for side in sides)
        if of_a != of_b:
            found.append(f"{a.results.label(column)} {of_a} in A, {of_b} in B")
    return found


def values_of(column: pd.Series) -> str:
    """Return each value of a column once, in words."""
    return " / ".join(sorted({"none" if pd.isna(value) else str(value) for value in column.unique()}))


def _texts(side: Side, axes: Sequence[str]) -> pd.DataFrame:
    texts = pd.DataFrame({n: words_of(side.cells[n]) if n in side.cells else "" for n in axes}, index=side.cells.index)
    environments = side.ok["environment_id"].dropna().unique()
    if len(environments) == 1:  # a cell that never started has none; it belongs to the others
        texts["environment_id"] = str(environments[0])
    elif several := {name: one for one, name in _names(side).items()}:
        of_cells = side.cells["measured_on"].map(several).astype(object)
        texts["environment_id"] = of_cells.fillna(texts["environment_id"])
    return texts


def _names(side: Side) -> dict[str, str]:
    """Return environment_id -> its name, where the folder of a side has several."""
    known = side.results.ok[["environment_id", "measured_on"]].dropna().drop_duplicates()
    return {str(one): str(name) for one, name in known.itertuples(index=False) if name}


def _labels(axes: Sequence[str], i: Sequence[str], j: Sequence[str], names: Mapping[str, str]) -> dict[str, str]:
    """Return axis -> its value on both sides; an environment by its name."""
    said = {name: (names.get(x, x), names.get(y, y)) if name == "environment_id" else (x, y)
            for name, x, y in zip(axes, i, j, strict=True)}  # fmt: skip
    return {name: x if x == y else f"{x} → {y}" for name, (x, y) in said.items()}


def _why_nothing(fixed: Sequence[str], of_a: list[tuple[str, ...]], of_b: list[tuple[str, ...]]) -> str:
    pairs = ([(n, x, y) for n, x, y in zip(fixed, i, j, strict=False) if x != y] for i in of_a for j in of_b)
    nearest = min(pairs, key=len)
    listed = ", ".join(f"{name} ({x} in A, {y} in B)" for name, x, y in nearest)
    options = " ".join(f"--{side} {d[0]}={d[i]}" for d in nearest for i, side in ((1, "a"), (2, "b")))
    return f"nothing in A matches anything in B: the nearest differ in {listed}; to compare these values, add {options}"
