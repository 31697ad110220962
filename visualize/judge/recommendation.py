"""From verdicts to one sentence per subject: the recipe to train in and the evidence, or what would decide."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from ampbench.visualize.judge.choice import LONE, Choice, Kind, choose
from ampbench.visualize.judge.verdict import Verdict

MANY = 3
"""From this number on, subjects with only one recipe each (such as runs of run_one.py) share one sentence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recommendation:
    """What to do with one subject."""

    subject: str
    sentence: str
    decided: bool
    """False if it reads "can't tell" for some batch size."""


def recommend(cells: pd.DataFrame, verdicts: Iterable[Verdict]) -> list[Recommendation]:
    """Return one recommendation per subject; `MANY` or more subjects with only one recipe share one.

    Args:
        cells: `Results.cells`.
        verdicts: `judge(cells)`.
    """
    verdicts = list(verdicts)
    found, lone = [], []
    for subject, rows in cells.groupby("subject", sort=False):
        clauses: dict[tuple[str, ...], list[Choice]] = {}
        for batch_size, own in rows.groupby("batch_size"):
            here = [v for v in verdicts if (v.subject, v.batch_size) == (subject, batch_size)]
            choice = choose(int(str(batch_size)), own[own["status"] == "ok"], here)
            clauses.setdefault((choice.kind, choice.recipe, choice.claim, choice.tail), []).append(choice)
        text = "; ".join(_clause(str(subject), choices) for choices in clauses.values())
        if all(choices[0].claim.endswith(LONE) for choices in clauses.values()):
            lone.append(len(found))
        decided = all(choices[0].kind != "can't tell" for choices in clauses.values())
        found.append(Recommendation(subject=str(subject), sentence=f"{text[0].upper()}{text[1:]}.", decided=decided))
    if len(lone) < MANY:
        return found
    words = (
        f"Can't tell for {len(lone)} subjects of {len(found)}: of each only one recipe ran to its end, {LONE}; run one "
        "of them in another recipe, with all other settings equal."
    )
    shared = Recommendation(subject=found[lone[0]].subject, sentence=words, decided=False)
    return [one for i, one in enumerate(found) if i not in lone] + [shared]


def _clause(subject: str, choices: list[Choice]) -> str:
    first = choices[0]
    batches = ", ".join(str(c.batch_size) for c in choices)
    heads: dict[Kind, str] = {
        "use": f"train {subject} in {first.recipe}",
        "keep": f"keep {first.recipe} for {subject}",
        "can't tell": f"can't tell for {subject}",
    }
    if len(choices) > 1:
        evidence = "; ".join(f"{c.evidence} at batch {c.batch_size}" for c in choices if c.evidence)
    else:
        evidence = first.evidence
    tail = first.tail.format(more=max(c.more for c in choices))
    numbers = f" ({evidence})" if evidence else ""
    rest = tail + numbers if first.kind == "can't tell" else numbers + tail  # what to do next before why
    return f"{heads[first.kind]} at batch {batches}: {first.claim}{rest}"
