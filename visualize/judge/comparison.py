"""Two sides of a comparison: what is chosen, what is matched with what, and what may be said of it.

A cell of A and one of B match if they were asked for the same: every setting but seed and round, which tell the
processes of one cell apart. A setting that a selection names, and of which the sides share no value, is what is
compared; all others must be equal. Then the sides go through `verdict.judge` as if A were the reference and B another
recipe: pairs by seed and round, Welch's interval where fewer than two pair up, Holm over all rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pandas as pd

from ampbench.visualize.judge import verdict
from ampbench.visualize.judge.side import REPLICATED, Side, words_of
from ampbench.visualize.judge.verdict import count
from ampbench.visualize.read.files import NEEDED, ResultsError
from ampbench.visualize.show import table
from ampbench.visualize.stats import statistics
from ampbench.visualize.stats.statistics import Difference, Ratio

SHOWN = ("model", "data", "batch_size", "precision")
"""Settings that every row names; others only where they tell rows apart."""
PART_OF = {"precision": "loss_scale"}
"""A setting -> another that belongs to it, and may differ where it does."""
# fmt: off
ENVIRONMENT = (
    "machine", "cpu", "num_cores", "power_cap_w", "driver", "cuda", "cudnn", "torch", "python", "switches",
    "method_version",
)
# fmt: on
"""Columns in which two sides must agree, or a ratio says something of the machine."""

Row: TypeAlias = tuple[dict[str, str], pd.DataFrame, pd.DataFrame]
"""Axes, cells of A, cells of B."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Cells of A against the cells of B that match them."""

    axes: dict[str, str]
    """Setting -> its value, or `fp32 → bf16_amp` where the sides differ in it."""
    a: dict[str, Any]
    b: dict[str, Any]
    """What the cells of a side have in common, as in `table.summary`: n, images_per_s, steady_peak_mib, ..."""
    speed: Ratio
    """Images/s of B over those of A."""
    memory: Ratio
    """Steady peak of B over that of A; its word is meant for speeds, and unused."""
    accuracy: Difference | None
    """Final test accuracy of B minus that of A in points; None where no two seeds pair up, or one was only timed."""

    @property
    def name(self) -> str:
        """All axes on one line."""
        return " ".join(f"batch {value}" if key == "batch_size" else value for key, value in self.axes.items())

    @property
    def points(self) -> float:
        """Mean accuracy of B minus that of A in points, over pairs where there are any; NaN if one was only timed."""
        if self.accuracy:
            return self.accuracy.estimate
        a, b = (side["test_accuracy"] for side in (self.a, self.b))
        return math.nan if a is None or b is None else 100 * (b - a)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """All that two sides say."""

    comparisons: list[Comparison]
    differs: list[str]
    """What was not alike in how the sides were measured; empty unless one insisted."""
    notes: list[str]
    """What to know before using the numbers, a sentence each."""


def compare(a: Side, b: Side, *, mixed: bool = False) -> Outcome:
    """Compare every cell of A with those of B that match it, all as one family.

    Raises:
        ResultsError: nothing matches, or the sides were not measured alike and `mixed` does not insist.
    """
    rows, notes = _match(a, b)
    differs = _differences(a, rows)
    if differs and not mixed:
        raise ResultsError(
            f"A and B were not measured alike: {'; '.join(differs)}; measure both in one environment, or say --mixed "
            "to compare them all the same"
        )
    cells = pd.concat(
        [_as_recipe(own, name, i) for i, (_, *sides) in enumerate(rows) for name, own in zip("AB", sides, strict=True)],
        ignore_index=True,
    )
    found = {int(v.subject): v for v in verdict.judge(cells, unpaired=True)}
    effects = []
    for i in range(len(rows)):
        own = cells[(cells["subject"] == i) & (cells["status"] == "ok")]
        own = own[:0] if own["memory_instrument"].nunique() > 1 else own  # two instruments, two meanings
        effects.append(verdict.effect_of(own, "A", "B", "steady_peak_bytes", unpaired=True))
    alphas = statistics.holm([effect.p_difference for effect in effects])
    comparisons = [
        Comparison(
            axes=axes,
            a=table.measured(of_a),
            b=table.measured(of_b),
            speed=found[i].speed if i in found else statistics.compare_speed([]),
            memory=statistics.judge_ratio(effects[i], alphas[i]),
            accuracy=found[i].accuracy if i in found else None,
        )
        for i, (axes, of_a, of_b) in enumerate(rows)
    ]
    return Outcome(comparisons=comparisons, differs=differs, notes=notes + _notes(a, b, rows))


def _as_recipe(cells: pd.DataFrame, name: str, number: int) -> pd.DataFrame:
    """Return the cells as `judge` takes them: a side is a recipe, a row a subject, a seed what makes a pair."""
    kept = cells[list(NEEDED["cells"])]
    return kept.assign(subject=number, recipe=name, batch_size=0, group_id=cells["seed"].astype(str))


def _match(a: Side, b: Side) -> tuple[list[Row], list[str]]:
    known = dict.fromkeys((*SHOWN, *a.results.settings, *b.results.settings, "environment_id"))
    axes = [name for name in known if name not in REPLICATED]
    texts = [_texts(side, axes) for side in (a, b)]
    # An older ampbench had fewer settings: a column that only one side has is no reason against a match.
    one_sided = {name for name in axes if (name in a.cells) != (name in b.cells)}
    may_differ = a.named | b.named | one_sided | {"environment_id"}
    free = [name for name in axes if name in may_differ and not set(texts[0][name]) & set(texts[1][name])]
    free += [part for whole, part in PART_OF.items() if whole in free and part not in free]
    fixed = [name for name in axes if name not in free]
    of_a, of_b = ({key: own.index for key, own in text.groupby([*fixed, *free], sort=False)} for text in texts)
    met = [(i, j) for i in of_a for j in of_b if i[: len(fixed)] == j[: len(fixed)]]
    if not met:
        raise ResultsError(_why_nothing(fixed, list(of_a), list(of_b)))
    labels = [_labels([*fixed, *free], i, j) for i, j in met]
    shown = list(SHOWN)
    for name in axes:
        tells = len({tuple(x[n] for n in (*shown, name)) for x in labels}) > len(
            {tuple(x[n] for n in shown) for x in labels}
        )
        if name not in shown and (tells or (name in free and name in a.named | b.named)):
            shown.append(name)
    rows = [
        ({name: label[name] for name in shown}, a.cells.loc[of_a[i]], b.cells.loc[of_b[j]])
        for label, (i, j) in zip(labels, met, strict=True)
    ]
    notes = []
    for side, own, there in ((a, of_a, {i for i, _ in met}), (b, of_b, {j for _, j in met})):
        lonely = [" ".join(key[fixed.index(n)] for n in SHOWN if n in fixed) for key in own if key not in there]
        if lonely:
            listed = ", ".join(dict.fromkeys(lonely[:3])) + (", ..." if len(lonely) > 3 else "")
            notes.append(f"{len(lonely)} of {len(own)} of {side.name} match nothing on the other side: {listed}.")
    return rows, notes


def _texts(side: Side, axes: Sequence[str]) -> pd.DataFrame:
    texts = pd.DataFrame({n: words_of(side.cells[n]) if n in side.cells else "" for n in axes}, index=side.cells.index)
    environments = side.ok["environment_id"].dropna().unique()
    if len(environments) == 1:  # a cell that never started has none, and belongs to the others all the same
        texts["environment_id"] = str(environments[0])
    return texts


def _labels(names: Sequence[str], i: Sequence[str], j: Sequence[str]) -> dict[str, str]:
    return {name: x if x == y else f"{x} → {y}" for name, x, y in zip(names, i, j, strict=True)}


def _why_nothing(fixed: Sequence[str], of_a: list[tuple[str, ...]], of_b: list[tuple[str, ...]]) -> str:
    pairs = ([(n, x, y) for n, x, y in zip(fixed, i, j, strict=False) if x != y] for i in of_a for j in of_b)
    nearest = min(pairs, key=len)
    listed = ", ".join(f"{name} ({x} in A, {y} in B)" for name, x, y in nearest)
    options = " ".join(f"--{side} {d[0]}={d[i]}" for d in nearest for i, side in ((1, "a"), (2, "b")))
    return f"nothing in A matches anything in B: the nearest differ in {listed}; to compare across it, say {options}"


def _differences(a: Side, rows: Sequence[Row]) -> list[str]:
    """Say in what the matched sides differ that no selection can name."""
    ran = [[own[own["status"] == "ok"] for own in row[1:]] for row in rows]
    both = [row for row in ran if not any(own.empty for own in row)]
    if not both:
        return []
    sides = [pd.concat(own) for own in zip(*both, strict=True)]
    same_data = all("→" not in axes["data"] for axes, *_ in rows)
    found: list[str] = []
    for column in (*ENVIRONMENT, *(["data_sha256"] if same_data else []), "environment_id"):
        if not all(column in side for side in sides) or (found and column == "environment_id"):
            continue
        of_a, of_b = (_values(side[column]) for side in sides)
        if of_a != of_b:
            found.append(f"{a.results.label(column)} {of_a} in A, {of_b} in B")
    return found


def _values(column: pd.Series) -> str:
    return " / ".join(sorted({"none" if pd.isna(value) else str(value) for value in column.unique()}))


def _notes(a: Side, b: Side, rows: Sequence[Row]) -> list[str]:
    found = []
    same_folder = a.results.folder.resolve() == b.results.folder.resolve()
    for side in (a, b):
        found += [f"{side.name}, not measured: {line}." for line in verdict.reasons(side.cells)]
        unknown = len(side.ok) - len(verdict.positive(side.ok["images_per_s"]))
        if unknown:
            found.append(f"{side.name}: {count(unknown, 'cell that ran holds', 'cells that ran hold')} no images/s.")
        if not (side is b and same_folder):
            found += [f"{side.results.folder}: {note}" for note in table.notes(side.results)]
    shared = len(set(a.cells["cell_id"]) & set(b.cells["cell_id"])) if same_folder else 0
    if shared:
        found.append(f"{count(shared, 'cell is', 'cells are')} on both sides; compared with itself it says nothing.")
    boards = [[_values(own["board"]) for own in row[1:] if "board" in own] for row in rows]
    apart = sum(len(set(pair)) > 1 for pair in boards)
    if apart:
        found.append(f"{apart} of {len(rows)} compare different boards; two of one product differ in speed.")
    return found
