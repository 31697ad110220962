"""Several machines in one folder, as a cluster leaves them: what each advises, side by side, and what ran where.

Every machine is answered by itself, from its own cells. The first lines say so, and in a sentence for each network what
a person who must choose wants to know: whether the machines agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from ampbench.visualize.read.environments import counted, kind_of
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.words import count

if TYPE_CHECKING:  # an answer is made with a line of this file
    from ampbench.visualize.judge.answer.answer import Answer

MOST = 4
"""Networks, or machines, that a line names; of more it says how many."""


def first_lines(results: Results, advice: Sequence[Answer]) -> list[str]:
    """Return what stands above the answers: which machines there are, and whether they agree; empty for one machine."""
    started = results.cells[results.cells["status"] != "excluded"]
    names = started["measured_on"] if "measured_on" in started else pd.Series(dtype=str)
    several = names[names != ""]
    if several.nunique() < 2:
        return []
    what = f"{count(several.nunique(), 'environment', kind_of(results.cells))}: {counted(several)}."
    if results.search:
        return [f"{what} The trials are ranked together by {results.search.objective.replace('_', ' ')}."]
    by_workload: dict[str, list[Answer]] = {}
    for one in advice:
        if one.workload:
            by_workload.setdefault(one.workload, []).append(one)
    told = [_agreement(workload, own) for workload, own in by_workload.items() if len(own) > 1]
    more = [f"{len(told) - MOST} further networks: an answer each."] if len(told) > MOST else []
    return [f"{what} Each is answered by itself, and nothing is compared across them.", *told[:MOST], *more]


def elsewhere_line(own: Results, batch_size: int | None) -> str:
    """Return what of a subject's network was measured elsewhere, and so does not count here; empty if nothing was.

    Args:
        own: the results of one subject.
        batch_size: of which the answer speaks.
    """
    whole = own.whole
    if "measured_on" not in whole or own.cells.empty or own.cells["measured_on"].eq("").all():
        return ""
    first = own.cells.iloc[0]
    started = whole[(whole["workload"] == first["workload"]) & (whole["status"] != "excluded")]
    there = started[started["measured_on"] != first["measured_on"]]
    here = started[started["measured_on"] == first["measured_on"]]
    parts = []
    at, elsewhere = (rows.loc[rows["batch_size"] == batch_size] for rows in (here, there))
    if len(at) and len(elsewhere):
        seeds = count(len({*at["seed"], *elsewhere["seed"]}), "seed", "seeds")
        num_elsewhere = elsewhere["seed"].nunique()
        parts.append(
            f"of {seeds} at batch {batch_size}, {at['seed'].nunique()} ran here and {num_elsewhere} on "
            f"{_names(elsewhere)}, which {'does' if num_elsewhere == 1 else 'do'} not count here"
        )
    sizes = sorted(set(there["batch_size"]) - set(here["batch_size"]))
    if sizes:
        lacking = there[there["batch_size"].isin(sizes)]
        some = ", ".join(map(str, sizes[:MOST])) + (" and others" if len(sizes) > MOST else "")
        parts.append(f"batch {some} ran only on {_names(lacking)}")
    return f"machines: {'; '.join(parts)}" if parts else ""


def _agreement(workload: str, answers: Sequence[Answer]) -> str:
    """Return `VGG19: train in bf16_amp at batch 256 on both.`, or who advises what."""
    where: dict[str, list[str]] = {}
    for one in answers:
        where.setdefault(_advice(one), []).append(one.machine)
    if len(where) == 1:
        (advice,) = where
        return f"{workload}: {advice} on {'both' if len(answers) == 2 else f'all {len(answers)}'}."
    parts = [f"{advice} on {_listed(machines)}" for advice, machines in where.items()]
    return f"{workload}: {'; '.join(parts)}."


def _advice(one: Answer) -> str:
    if one.action == "none":
        return "nothing can be advised"
    if one.action == "stay":
        return f"stay with {one.recipe}"
    return f"train in {one.recipe}" + (f" at batch {one.batch_size}" if one.batch_size else "")


def _names(cells: pd.DataFrame) -> str:
    return _listed(list(dict.fromkeys(name for name in cells["measured_on"] if name)) or ["another machine"])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    kept = list(names[:MOST])
    return ", ".join(kept) + more if more or len(kept) < 2 else f"{', '.join(kept[:-1])} and {kept[-1]}"
